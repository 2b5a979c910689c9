"""Download once, then open as arrays that stay on the disk: images are read when they are looked at.

pixcrawler download JOB --output-dir ./datasets --format numpy --image-size 64
python download_and_open.py ./datasets/JOB
"""

import sys

import numpy as np

from pixcrawler import open_arrays

FOLDER = sys.argv[1]

arrays = open_arrays(FOLDER)
print(f"{len(arrays)} images of {arrays.classes}")

image, label = arrays[17]
print(image.shape, image.dtype, label)  # the label's position in arrays.classes

images, labels = arrays[:32]
print(f"{len(images)} images, mean {np.mean(images):.1f}, labels {labels}")
