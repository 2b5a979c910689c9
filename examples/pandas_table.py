"""A table of the images: look at it, count, describe, filter.

python pandas_table.py JOB
"""

import sys

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]

dataset = load_dataset(JOB_ID)
df = dataset.to_dataframe()

print(df.head())
print(df["label"].value_counts())
print(df.describe())

label = dataset.classes[0]
some = df[df["label"] == label]
print(f"{len(some)} of label {label}, the widest {some['width'].max()} pixels")
