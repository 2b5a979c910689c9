"""Batches of one size: uint8 arrays (batch, height, width, 3) and lists of labels.

python batches.py JOB
"""

import sys

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]

dataset = load_dataset(JOB_ID)

for images, labels in dataset.iter_batches(batch_size=32, image_size=224):
    print(images.shape, images.dtype, f"mean {images.mean():.1f}", sorted(set(labels)))
