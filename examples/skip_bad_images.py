"""Read what is good, write down what is not, give up if it is too much.

python skip_bad_images.py JOB FILE
"""

import sys

from pixcrawler import TooManyFailuresError, load_dataset

JOB_ID = sys.argv[1]
FILE = sys.argv[2]  # such as failures.jsonl

dataset = load_dataset(JOB_ID, image_size=64, on_error="skip", max_failures=0.1)
try:
    count = sum(len(images) for images, labels in dataset.iter_batches(batch_size=32))
    print(f"{count} images read, {len(dataset.failures)} left out")
except TooManyFailuresError as error:
    sys.exit(f"This is no dataset to train on: {error}")
finally:
    for failure in dataset.failures:
        print(failure.chunk_id, failure.member, failure.code)
    dataset.failures.save(FILE)
