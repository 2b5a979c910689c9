"""A Hugging Face dataset: the images as they are stored, labels as ClassLabel.

python huggingface_dataset.py JOB
"""

import sys

from pixcrawler import load_dataset

JOB_ID = sys.argv[1]

dataset = load_dataset(JOB_ID).to_hf()
print(dataset)
print(dataset.features)

parts = dataset.train_test_split(test_size=0.2, seed=42, stratify_by_column="label")
print(f"{len(parts['train'])} images for training, {len(parts['test'])} for testing")

example = parts["test"][0]
print(example["image"].size, dataset.features["label"].int2str(example["label"]))
