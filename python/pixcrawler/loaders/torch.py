"""A dataset as torch takes it: samples by number, for a ``DataLoader`` with or without workers."""

from __future__ import annotations

import contextlib
import copyreg
import operator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pixcrawler._machine import usable_cpus
from pixcrawler.delivery import excused
from pixcrawler.exceptions import PixCrawlerError
from pixcrawler.loaders.class_index import ClassIndex
from pixcrawler.loaders.missing import needs

with needs("torch", "to_torch()"):
    import torch
    import torch.utils.data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from pixcrawler.dataset import Dataset
    from pixcrawler.options import Options

__all__ = ["TorchDataset", "WorkerShare", "errors_to_parent", "options_of_worker", "to_float", "worker_share"]


class TorchDataset(torch.utils.data.Dataset[tuple[Any, int]]):
    """What :meth:`pixcrawler.dataset.Dataset.to_torch` returns.

    Args:
        dataset: Whose samples. Its directories are read.
        transform: Called with each image, uint8 (H, W, C); None for :func:`to_float`.
    """

    def __init__(self, dataset: Dataset, transform: Callable[[NDArray[np.uint8]], Any] | None) -> None:
        dataset.open_all()
        self._dataset = dataset
        self._transform: Callable[[NDArray[np.uint8]], Any] = transform or to_float
        self._class_index = ClassIndex(dataset)
        self._failures = dataset.share_failures()
        # Of a worker; None in the process that iterates over the DataLoader.
        self._own: Dataset | None = None

    def __len__(self) -> int:
        """Samples in all chunks."""
        return len(self._dataset)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """A sample.

        Args:
            index: Negative ones count from the end.

        Raises:
            IndexError: There is no such sample.
            PixCrawlerError: It cannot be delivered, whatever ``on_error`` says.
        """
        with errors_to_parent():
            return self._sample(*self._here()[operator.index(index)])

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, int]]:
        """The samples of a batch, fetched together and decoded in one native call.

        Args:
            indices: Negative ones count from the end.

        Returns:
            In the order of the indices; unless ``on_error`` is "raise", those that are good.

        Raises:
            IndexError: There is no such sample.
            PixCrawlerError: One cannot be delivered and is not to be left out, or none can.
        """
        with errors_to_parent():
            # Nothing is fetched along: another worker is asked for what lies between.
            found = self._here().read(indices, gap_bytes=0)
            samples = []
            first: PixCrawlerError | None = None
            for index, one in zip(indices, found, strict=True):
                if isinstance(one, PixCrawlerError):
                    self._leave_out(one, index)
                    first = first or one
                else:
                    samples.append(one)
            if first is not None and not samples:
                raise first
        return [self._sample(image, label) for image, label in samples]

    def _sample(self, image: NDArray[np.uint8], label: Any) -> tuple[Any, int]:
        return self._transform(image), self._class_index(label)

    def _leave_out(self, error: PixCrawlerError, index: int) -> None:
        failure = excused(self._dataset.options, error)
        assert self._failures is not None, "on_error lets nothing pass where there is none"
        self._failures.record(failure, sample=operator.index(index) % len(self))

    def _here(self) -> Dataset:
        """The dataset, in a worker with its share of the memory and the processors."""
        workers = worker_share().workers
        if workers == 1:
            return self._dataset
        if self._own is None:
            self._own = self._dataset.with_options(options_of_worker(self._dataset.options, workers))
        return self._own


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
    info = torch.utils.data.get_worker_info()
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


class _CarriedType(type):
    """The class of an error that is to arrive in another process as the object that it is.

    torch carries an error's class and traceback text across, and calls the class with the text: this one's answer is
    the error itself, and the text is its note.
    """

    error: PixCrawlerError

    def __call__(cls, text: str) -> PixCrawlerError:
        error = cls.error
        if hasattr(error, "add_note"):
            error.add_note(text)
        return error


def _carried_type(error: PixCrawlerError) -> _CarriedType:
    kind = type(error)
    return _CarriedType(kind.__name__, (kind,), {"error": error, "__module__": kind.__module__})


copyreg.pickle(_CarriedType, lambda kind: (_carried_type, (kind.error,)))


@contextlib.contextmanager
def errors_to_parent() -> Iterator[None]:
    """Around what a worker does: its errors reach the process that iterates with class, chunk, member and code."""
    try:
        yield
    except PixCrawlerError as error:
        if torch.utils.data.get_worker_info() is None:
            raise
        carried = _carried_type(error)
        raised: PixCrawlerError = type(error).__new__(carried)  # type: ignore[arg-type]  # made by a metaclass
        raised.args = error.args
        vars(raised).update(vars(error))
        raise raised.with_traceback(error.__traceback__) from error.__cause__
