"""Try again with tenacity: opening and reading, after errors that may pass.

Single requests are tried again by pixcrawler itself, three times within seconds. This is for a server that is away for
minutes.

python tenacity_retry_fixed.py JOB
"""

import sys

from tenacity import RetryCallState, retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from pixcrawler import PixCrawlerError, load_dataset

JOB_ID = sys.argv[1]


def may_pass(error: BaseException) -> bool:
    return isinstance(error, PixCrawlerError) and error.retryable


def tell(state: RetryCallState) -> None:
    print(f"attempt {state.attempt_number} failed: {state.outcome and state.outcome.exception()}")


@retry(
    retry=retry_if_exception(may_pass),
    stop=stop_after_attempt(10),
    wait=wait_random_exponential(max=60),
    before_sleep=tell,
    reraise=True,
)
def read(job_id: str) -> int:
    with load_dataset(job_id, image_size=64) as dataset:
        return sum(len(labels) for images, labels in dataset.iter_batches(batch_size=32))


print(f"{read(JOB_ID)} images read")
