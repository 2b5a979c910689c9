"""Every image and its label, one by one.

python simple_iteration.py JOB
"""

import sys

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]

dataset = load_dataset(JOB_ID)
print(f"{dataset.num_images} images of {', '.join(dataset.classes)}")

for image, label in dataset:
    print(label, image.shape, image.dtype)  # uint8 (height, width, 3), each image at its own size
