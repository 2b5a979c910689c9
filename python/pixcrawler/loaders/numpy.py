"""A whole dataset as two numpy arrays."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from pixcrawler._machine import available_bytes
from pixcrawler.exceptions import LimitError
from pixcrawler.loaders.progress import ProgressBar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pixcrawler.dataset import Dataset

__all__ = ["allocate", "label_array", "to_arrays"]

_log = logging.getLogger(__name__)


def label_array(labels: list[Any]) -> NDArray[Any]:
    """Labels as an array: fixed-width str for strings, int64 for ints, object otherwise."""
    if all(isinstance(label, str) for label in labels):
        return np.array(labels, dtype=np.str_)
    if all(isinstance(label, int) and not isinstance(label, bool) for label in labels):
        try:
            return np.array(labels, dtype=np.int64)
        except OverflowError:
            pass
    # One by one: labels that are sequences must not become an axis.
    return np.fromiter(labels, dtype=object, count=len(labels))


def allocate(shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """The array for so many images, its size logged before.

    Args:
        shape: (N, H, W, C).

    Returns:
        uint8, of unspecified content.

    Raises:
        LimitError: It is larger than the memory that is available.
    """
    count, height, width, channels = shape
    needed = count * height * width * channels
    _log.info("to_arrays: %d images of %d x %d x %d are %.1f MB", *shape, needed / 1e6)
    available = available_bytes()
    if available is None or needed <= available:
        try:
            return np.empty(shape, np.uint8)
        except MemoryError:
            available = None
    left = "more than can be had" if available is None else f"{available / 1e9:.1f} GB are available"
    message = f"{count} images of {height} x {width} x {channels} are {needed / 1e9:.1f} GB, {left}"
    raise LimitError(f"{message}: iter_batches() needs memory for a few batches only", code="memory")


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
    count, channels = len(dataset), dataset.options.channels
    size = dataset.options.image_size or dataset.info.image_size
    if not count:
        return np.empty((0, *(size or (0, 0)), channels), np.uint8), label_array([])
    out: NDArray[np.uint8] | None = None

    def place(found: tuple[int, int]) -> NDArray[np.uint8]:
        nonlocal out
        out = allocate((count, *found, channels))
        return out

    if size is not None:
        # What is too large is refused before anything is fetched.
        place(size)
    with ProgressBar("to_arrays", count) as bar:
        labels = dataset.decode_all_into(place if out is None else out, on_progress=bar.update)
    if out is None:
        # No image could be decoded, so none has a size.
        out = np.empty((0, 0, 0, channels), np.uint8)
    return out[: len(labels)], label_array(labels)
