"""A whole dataset as two numpy arrays."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from pixcrawler._machine import available_bytes
from pixcrawler.exceptions import AuthenticationError, LimitError, PixCrawlerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pixcrawler.dataset import Dataset

__all__ = ["label_array", "to_arrays"]

_log = logging.getLogger(__name__)


def label_array(labels: list[Any]) -> NDArray[Any]:
    """Labels as an array: fixed-width str for strings, int64 for ints, object otherwise."""
    if all(isinstance(label, str) for label in labels):
        return np.array(labels, dtype=np.str_)
    if all(isinstance(label, int) and not isinstance(label, bool) for label in labels):
        return np.array(labels, dtype=np.int64)
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array


def _first_size(dataset: Dataset) -> tuple[int, int]:
    """(height, width) of the first image that can be decoded; (0, 0) if there is none."""
    for number in range(len(dataset)):
        try:
            height, width, _ = dataset[number][0].shape
        except AuthenticationError:
            raise
        except PixCrawlerError:
            if not dataset.options.skips:
                raise
        else:
            return height, width
    return 0, 0


def to_arrays(dataset: Dataset) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """The arrays of :meth:`pixcrawler.dataset.Dataset.to_arrays`.

    Args:
        dataset: Which.

    Returns:
        X, uint8 (N, H, W, C), and y.

    Raises:
        LimitError: X is larger than the memory that is available.
        ImageSizeError: Without ``image_size`` the images are of several sizes.
        PixCrawlerError: A sample cannot be delivered.
    """
    count = len(dataset)
    options = dataset.options
    height, width = options.image_size or dataset.info.image_size or _first_size(dataset)
    shape = (count, height, width, options.channels)
    needed = count * height * width * options.channels
    _log.info("to_arrays: %d images of %d x %d x %d are %.1f MB", *shape, needed / 1e6)
    available = available_bytes()
    if available is not None and needed > available:
        message = (
            f"{count} images of {height} x {width} x {options.channels} are {needed / 1e9:.1f} GB, "
            f"{available / 1e9:.1f} GB are available"
        )
        raise LimitError(message, code="memory")
    out = np.empty(shape, np.uint8)
    if not out.size:
        return out, label_array([])
    labels = dataset.decode_all_into(out, (height, width))
    return out[: len(labels)], label_array(labels)
