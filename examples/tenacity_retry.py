"""Try again with tenacity.

This is how it is commonly written. A wrong key and a missing job are tried again too, in vain; and what is tried again
is opening the dataset, not reading it, as images are fetched later. See tenacity_retry_fixed.py.

python tenacity_retry.py JOB
"""

import sys

from tenacity import retry, stop_after_attempt, wait_exponential

from pixcrawler import Dataset, load_dataset

JOB_ID = sys.argv[1]


@retry(stop=stop_after_attempt(3), wait=wait_exponential(multiplier=1, min=1, max=10))
def load(job_id: str) -> Dataset:
    return load_dataset(job_id)


dataset = load(JOB_ID)
print(f"{sum(1 for image, label in dataset)} images read")
