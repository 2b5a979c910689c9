"""A tf.data pipeline.

python tensorflow_pipeline.py JOB
"""

import sys

import tensorflow as tf

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]

dataset = load_dataset(JOB_ID, image_size=64).to_tensorflow()
print(dataset.element_spec, len(dataset))

for images, labels in dataset.batch(32).prefetch(tf.data.AUTOTUNE):
    print(images.shape, images.dtype.name, labels.shape, labels.dtype.name)
