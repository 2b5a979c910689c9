"""The whole dataset in memory, as two arrays.

python to_arrays.py JOB
"""

import sys

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]

X, y = load_dataset(JOB_ID, image_size=64).to_arrays()

print(X.shape, X.dtype, f"{X.nbytes / 1e6:.1f} MB")
print(y.shape, y.dtype)
for label in sorted(set(y)):
    print(label, X[y == label].mean(axis=(0, 1, 2)).round(1))  # the mean colour of each class
