"""A dataset as torch takes it: samples by number, for a ``DataLoader`` with or without workers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pixcrawler._machine import usable_cpus
from pixcrawler.loaders.missing import needs

with needs("torch", "to_torch()"):
    import torch
    from torch.utils.data import get_worker_info

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pixcrawler.options import Options

__all__ = ["WorkerShare", "options_of_worker", "to_float", "worker_share"]


class WorkerShare(NamedTuple):
    """Which of a DataLoader's workers this process is.

    Attributes:
        number: From 0.
        workers: How many there are; 1 where the DataLoader has none, or there is no DataLoader.
    """

    number: int
    workers: int


def worker_share() -> WorkerShare:
    """Which of a DataLoader's workers this process is: the only one, outside of them."""
    info = get_worker_info()
    return WorkerShare(0, 1) if info is None else WorkerShare(info.id, info.num_workers)


def options_of_worker(options: Options, workers: int) -> Options:
    """The options with a worker's share of memory, and of processors if their number was not given.

    Args:
        options: Those of the dataset.
        workers: How many processes share what it may use.
    """
    if workers == 1:
        return options
    return replace(
        options,
        memory_limit=max(options.memory_bytes // workers, 1),
        decode_threads=options.decode_threads or max(usable_cpus() // workers, 1),
    )


def to_float(image: NDArray[np.uint8]) -> torch.Tensor:
    """An image as torchvision's ``ToTensor`` gives it, bit for bit.

    Args:
        image: uint8 (H, W, C).

    Returns:
        float32 (C, H, W) in [0, 1], contiguous, in memory of its own.
    """
    height, width, channels = image.shape
    out = np.empty((channels, height, width), np.float32)
    # Plane by plane into fresh memory of one image's size: 8 ms for 64 of 224 x 224, where one conversion of the whole
    # batch takes 27, most of them page faults, and ToTensor 46.
    for plane in range(channels):
        np.divide(image[:, :, plane], np.float32(255), out=out[plane], dtype=np.float32, casting="unsafe")
    return torch.from_numpy(out)
