"""Connections, threads and memory are let go of at the end of the block, also after an error or an early end.

python context_manager.py JOB
"""

import sys

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]

with load_dataset(JOB_ID, image_size=64) as dataset:
    for images, labels in dataset.iter_batches(batch_size=16):
        print(f"the first batch: {images.shape}, {labels[0]} to {labels[-1]}")
        break

print(dataset.stats().limit)  # what was measured is still known
