"""A progress bar.

python tqdm_progress.py JOB
"""

import sys

from tqdm import tqdm

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]

dataset = load_dataset(JOB_ID)

pixels = 0
for image, label in tqdm(dataset, total=dataset.num_images):
    pixels += image.shape[0] * image.shape[1]

print(f"{pixels / 1e6:.1f} million pixels")
