"""Every error that reading a dataset may end with, and what to do about each.

The order matters: an error is also each of the classes that it is derived from. See docs/errors.md for the codes.

python error_handling.py JOB
"""

import sys

from pixcrawler import (
    ArchiveError,
    AuthenticationError,
    DecompressionError,
    DownloadError,
    ImageDecodeError,
    ImageSizeError,
    IntegrityError,
    JobNotCompleteError,
    LimitError,
    NetworkError,
    NotFoundError,
    PixCrawlerError,
    ProtocolError,
    RateLimitError,
    UnsupportedImageError,
    load_dataset,
)

JOB_ID = sys.argv[1]

try:
    with load_dataset(JOB_ID) as dataset:
        count = sum(len(images) for images, labels in dataset.iter_batches(batch_size=32))
    print(f"{count} images read")

# The job.
except AuthenticationError as error:
    sys.exit(f"Check your key: {error}")
except NotFoundError as error:
    sys.exit(f"Check the job's id: {error}")
except JobNotCompleteError as error:
    sys.exit(f"Come back later, the job is {error.status} ({error.progress:.0f}%): {error}")

# The server and the way to it. pixcrawler has tried again three times.
except RateLimitError as error:
    sys.exit(f"Too many requests, wait for {error.retry_after_s} s: {error}")
except ProtocolError as error:
    sys.exit(f"Is this the API's address? {error}")
except NetworkError as error:
    sys.exit(f"Check the network and the address: {error}")

# A chunk.
except IntegrityError as error:
    sys.exit(f"Chunk {error.chunk_id} is not what the catalogue promises: {error}")
except DownloadError as error:
    sys.exit(f"Chunk {error.chunk_id} cannot be had: {error}")
except ArchiveError as error:
    sys.exit(f"Chunk {error.chunk_id} has a broken archive: {error}")

# An image: on_error="skip" leaves it out, see skip_bad_images.py.
except UnsupportedImageError as error:
    sys.exit(f"{error.member} is of a kind that is not decoded: {error}")
except ImageDecodeError as error:
    sys.exit(f"{error.member} is broken: {error}")
except LimitError as error:
    sys.exit(f"{error.member} is larger than the limits allow: {error}")
except ImageSizeError as error:
    sys.exit(f"Pass image_size, {error.member} has another size than the others: {error}")

# Whatever else there may be: first of the bytes, then at all.
except DecompressionError as error:
    sys.exit(f"{error.member} cannot be read: {error}")
except PixCrawlerError as error:
    sys.exit(f"{type(error).__name__} [{error.code}]: {error}")
