"""PixCrawler datasets in Python: images flow from the network or the disk into numpy, as fast as the processor decodes.

::

    from pixcrawler import load_dataset

    dataset = load_dataset("job_abc123", api_key="...")
    for images, labels in dataset.iter_batches(batch_size=64, image_size=224):
        train(images, labels)

Everything here loads on first use: importing the package alone costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixcrawler.client import PixCrawlerClient
    from pixcrawler.dataset import Dataset
    from pixcrawler.download.arrays import ArrayFolder, open_arrays
    from pixcrawler.download.engine import download_dataset
    from pixcrawler.download.progress import DownloadProgress, DownloadReport
    from pixcrawler.exceptions import (
        ArchiveError,
        AuthenticationError,
        DecompressionError,
        DownloadError,
        ImageDecodeError,
        ImageSizeError,
        IntegrityError,
        InternalError,
        JobNotCompleteError,
        LimitError,
        NetworkError,
        NotFoundError,
        PixCrawlerError,
        ProtocolError,
        RateLimitError,
        StoreError,
        TooManyFailuresError,
        UnsupportedImageError,
    )
    from pixcrawler.failures import Failure, FailureLedger
    from pixcrawler.limits import Limits
    from pixcrawler.load import load_dataset
    from pixcrawler.records import ChunkRecord, DatasetInfo, DecodedSample, EncodedSample, Job, JobStatus, LabelCount
    from pixcrawler.stats import Stats
    from pixcrawler.verify import ChunkReport, Problem, RepairReport, VerifyReport, verify_dataset

__all__ = [
    "ArchiveError",
    "ArrayFolder",
    "AuthenticationError",
    "ChunkRecord",
    "ChunkReport",
    "Dataset",
    "DatasetInfo",
    "DecodedSample",
    "DecompressionError",
    "DownloadError",
    "DownloadProgress",
    "DownloadReport",
    "EncodedSample",
    "Failure",
    "FailureLedger",
    "ImageDecodeError",
    "ImageSizeError",
    "IntegrityError",
    "InternalError",
    "Job",
    "JobNotCompleteError",
    "JobStatus",
    "LabelCount",
    "LimitError",
    "Limits",
    "NetworkError",
    "NotFoundError",
    "PixCrawlerClient",
    "PixCrawlerError",
    "Problem",
    "ProtocolError",
    "RateLimitError",
    "RepairReport",
    "Stats",
    "StoreError",
    "TooManyFailuresError",
    "UnsupportedImageError",
    "VerifyReport",
    "__version__",
    "download_dataset",
    "load_dataset",
    "open_arrays",
    "verify_dataset",
]

__version__ = "0.1.0"

_HOMES = {
    "ArrayFolder": "download.arrays",
    "ChunkRecord": "records",
    "ChunkReport": "verify",
    "Dataset": "dataset",
    "DatasetInfo": "records",
    "DecodedSample": "records",
    "DownloadProgress": "download.progress",
    "DownloadReport": "download.progress",
    "EncodedSample": "records",
    "Failure": "failures",
    "FailureLedger": "failures",
    "Job": "records",
    "JobStatus": "records",
    "LabelCount": "records",
    "Limits": "limits",
    "PixCrawlerClient": "client",
    "Problem": "verify",
    "RepairReport": "verify",
    "Stats": "stats",
    "VerifyReport": "verify",
    "download_dataset": "download.engine",
    "load_dataset": "load",
    "open_arrays": "download.arrays",
    "verify_dataset": "verify",
}


def __getattr__(name: str) -> object:
    """Import a public name from where it is defined, at its first use."""
    if name.startswith("_") or name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value: object = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'exceptions')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
