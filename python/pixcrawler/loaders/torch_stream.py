"""A dataset as torch streams it: every sample once over all ranks and workers, in order or shuffled."""

from __future__ import annotations

import multiprocessing.context
import operator
import os
from random import Random
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pixcrawler.loaders.class_index import ClassIndex
from pixcrawler.loaders.missing import needs
from pixcrawler.loaders.split import Span, count, cut, portion, spans_of_size
from pixcrawler.loaders.torch import errors_to_parent, options_of_worker, to_float, worker_share
from pixcrawler.options import check_count
from pixcrawler.schedule import Part

with needs("torch", "to_torch()"):
    import torch
    import torch.utils.data
    from torch.utils.data import IterableDataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from pixcrawler.dataset import Dataset
    from pixcrawler.loaders.torch import WorkerShare
    from pixcrawler.passes import PassIterator

    _Items: TypeAlias = PassIterator[tuple[NDArray[np.uint8], Any]]

__all__ = ["Rank", "StreamingDataset", "current_rank"]

# What moves as a whole when samples are shuffled: small, so that even a worker's share of the memory holds many, and
# large enough to be worth a request.
_SHUFFLED_BYTES = 1 << 20


class Rank(NamedTuple):
    """Which of the processes that train together this one is.

    Attributes:
        number: From 0.
        world: How many there are.
    """

    number: int
    world: int


def current_rank() -> Rank:
    """This process's rank: of ``torch.distributed`` where it is initialised, else ``RANK`` of ``WORLD_SIZE``.

    Raises:
        ValueError: Only one of the two variables is set, or they are no rank.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return Rank(torch.distributed.get_rank(), torch.distributed.get_world_size())
    number, world = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if number is None and world is None:
        return Rank(0, 1)
    try:
        rank = Rank(int(number or ""), int(world or ""))
    except ValueError:
        rank = Rank(0, 0)
    if not 0 <= rank.number < rank.world:
        message = f"expected RANK from 0 to below WORLD_SIZE in the environment, got {number!r} of {world!r}"
        raise ValueError(f"{message}: set both or none, or initialise torch.distributed")
    return rank


class StreamingDataset(IterableDataset[Any]):
    """A dataset as an ``IterableDataset``: every sample comes exactly once over all ranks and workers.

    Made by :meth:`pixcrawler.dataset.Dataset.to_torch` with ``streaming=True``.

    **What it yields.** Without ``batch_size`` (image, label): float32 (C, H, W) in [0, 1], as torchvision's
    ``ToTensor`` makes it, or what the transform makes of the uint8 (H, W, C) array; the label is an int. With it
    (images, labels): uint8 (B, C, H, W), in memory channels_last, or (B, H, W, C), and int64 (B,). Images of several
    sizes need ``image_size`` then. No array is copied on the way, but that torch moves a worker's batches into memory
    that it shares with the process that iterates.

    **Who reads what.** The samples are split between ranks (of ``torch.distributed`` where it is initialised when the
    pass begins, else ``RANK`` and ``WORLD_SIZE`` of the environment), whose shares differ by one sample at most, and a
    rank's share between the DataLoader's workers, at multiples of ``batch_size``, so that a rank has one batch at most
    that is not full. Without ``shuffle`` one reader delivers in the order of the chunks; of several workers each does,
    and the DataLoader takes their batches in turn.

    **Length.** The batches of this rank, whatever the number of workers; without ``batch_size`` its samples (a
    DataLoader that makes batches of these gets a last one that is not full from each worker). What ``on_error`` leaves
    out is counted: a pass is shorter by it. With ``drop_last`` all ranks have the same length.

    **Shuffling.** The order depends on seed, epoch, rank, the numbers of ranks and of workers, and
    ``memory_limit``, and on nothing else: neither on timing nor on what the network does.

    **A server that sends whole chunks only.** Its chunks are not cut: ranks differ by up to a chunk, also with
    ``drop_last``, and samples are mixed over those chunks that fit the memory. Of a rank's workers the first reads all
    if ``batch_size`` is given, so that the length holds and no chunk is sent twice; without it they share the chunks. A
    chunk whose directory could not be read when the stream was made, and that ``on_error`` lets pass, is tried again by
    the one that it falls to.

    Args:
        dataset: Whose samples.
        transform: Called with each image, or each batch.
        batch_size: Images a batch; None for single samples.
        shuffle: Whether in another order each epoch.
        seed: What the order of all epochs depends on.
        drop_last: Whether every rank gets as many samples, in full batches.
        layout: The axes of a batch.

    Raises:
        ValueError: An argument is out of its range.
        PixCrawlerError: A chunk's directory cannot be read, unless ``on_error`` skips it.
    """

    def __init__(
        self,
        dataset: Dataset,
        transform: Callable[[Any], Any] | None = None,
        *,
        batch_size: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        layout: Literal["NCHW", "NHWC"] = "NCHW",
    ) -> None:
        if batch_size is not None:
            check_count("batch_size", batch_size)
        if layout not in {"NCHW", "NHWC"}:
            message = f'layout must be "NCHW" or "NHWC", not {layout!r}'
            raise ValueError(message)
        self._dataset = dataset
        self._transform = transform
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._seed = operator.index(seed)
        self._drop_last = drop_last
        self._layout = layout
        # Before the labels: where the catalogue does not name them, these are read from all chunks, also whole ones.
        self._spans = _spans(dataset, shuffle=shuffle)
        self._class_index = ClassIndex(dataset)
        self._failures = dataset.share_failures()
        # In shared memory, so that workers that live on see the next epoch.
        self._epoch = _shared(0)
        # Of the process that started this one as a worker, and in which process that holds.
        self._handed_rank: tuple[int, Rank] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass; call it before each, as ``DistributedSampler.set_epoch``.

        Without it every pass of a shuffled dataset has the same order. It reaches workers that live on
        (``persistent_workers=True``) as well.

        Args:
            epoch: Its number.
        """
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """Batches of this rank; without ``batch_size`` its samples."""
        samples = count(self._spans_of_rank(self._spans, self._rank()))
        if self._batch_size is None:
            return samples
        return samples // self._batch_size if self._drop_last else -(-samples // self._batch_size)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """A pass over what is this rank's and this worker's to read.

        Raises:
            TypeError, ValueError: While iterating: a label is neither an int nor one of ``dataset.classes``.
            ImageSizeError: While iterating: batches need ``image_size``.
            PixCrawlerError: While iterating, at the first sample that cannot be delivered, unless ``on_error`` skips.
        """
        share, rank, epoch = worker_share(), self._rank(), int(self._epoch)
        spans = self._spans_of_worker(rank, share, epoch)
        items = self._dataset.iter_parts(
            _parts(spans, self._dataset),
            options_of_worker(self._dataset.options, share.workers),
            batch_size=self._batch_size,
            drop_last=self._drop_last,
            seed=f"{self._seed}, {epoch}, {rank.number}, {share.number}" if self._shuffle else None,
            report_to=self._failures if _is_worker() else None,
        )
        return self._samples(items) if self._batch_size is None else self._batches(items)

    def _samples(self, items: _Items) -> Iterator[tuple[Any, int]]:
        transform = to_float if self._transform is None else self._transform
        with errors_to_parent(), items:
            for image, label in items:
                yield transform(image), self._class_index(label)

    def _batches(self, items: _Items) -> Iterator[tuple[Any, torch.Tensor]]:
        with errors_to_parent(), items:
            for images, labels in items:
                batch = self._tensor(images)
                indices = torch.tensor([self._class_index(label) for label in labels], dtype=torch.int64)
                yield batch if self._transform is None else self._transform(batch), indices

    def _tensor(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """A batch in the memory that it was decoded into."""
        batch = torch.from_numpy(images)
        return batch.permute(0, 3, 1, 2) if self._layout == "NCHW" else batch

    # Who reads what.

    def _rank(self) -> Rank:
        """This process's rank, or in a worker that of the process that started it."""
        if self._handed_rank is not None and _is_worker() and self._handed_rank[0] == os.getpid():
            return self._handed_rank[1]
        return current_rank()

    def _spans_of_rank(self, spans: Sequence[Span], rank: Rank) -> list[Span]:
        total = count(spans)
        start, stop = portion(total, rank.world, rank.number)
        if self._drop_last and not any(span.is_whole for span in spans):
            unit = self._batch_size or 1
            stop = start + total // rank.world // unit * unit
        return cut(spans, start, stop)

    def _spans_of_worker(self, rank: Rank, share: WorkerShare, epoch: int) -> list[Span]:
        spans = list(self._spans)
        if self._shuffle:
            Random(f"{self._seed}, {epoch}").shuffle(spans)  # noqa: S311 - an order, not a secret
        own = self._spans_of_rank(spans, rank)
        if self._batch_size is not None and any(span.is_whole for span in own):
            # Chunks that are not cut end anywhere: with one reader one batch at most is not full.
            return own if share.number == 0 else []
        return cut(own, *portion(count(own), share.workers, share.number, unit=self._batch_size or 1))

    # Other processes.

    def __getstate__(self) -> dict[str, Any]:
        """All of it, with the rank: a worker that is started, not forked, has no ``torch.distributed``."""
        is_starting_child = multiprocessing.context.get_spawning_popen() is not None
        # Only multiprocessing's own pickles can carry shared memory.
        epoch = self._epoch if is_starting_child else int(self._epoch)
        return {**self.__dict__, "_epoch": epoch, "_handed_rank": self._rank()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set up in the other process."""
        self.__dict__.update(state)
        self._handed_rank = (os.getpid(), state["_handed_rank"])
        if isinstance(self._epoch, int):
            self._epoch = _shared(self._epoch)


def _shared(value: int) -> torch.Tensor:
    """A number in memory that is shared with workers."""
    number = torch.tensor(value)
    number.share_memory_()  # type: ignore[no-untyped-call]  # torch's own
    return number


def _is_worker() -> bool:
    return torch.utils.data.get_worker_info() is not None


def _spans(dataset: Dataset, *, shuffle: bool) -> list[Span]:
    """All samples, in order: whole chunks, or what moves as a whole when they are shuffled."""
    spans: list[Span] = []
    for number, opened in enumerate(dataset.open_all(whole=False)):
        if opened is None:
            # Its members are not known: it counts as what the catalogue says.
            counted = dataset.chunks[number].num_images
            spans.append(Span(number, 0, max(1 if counted is None else counted, 1), is_whole=True))
            continue
        samples = opened.directory.samples
        if not samples:
            continue
        if opened.is_whole or not shuffle:
            spans.append(Span(number, 0, len(samples), is_whole=opened.is_whole))
            continue
        extents = map(opened.directory.extent, samples)
        spans += spans_of_size(number, [stop - start for start, stop in extents], _SHUFFLED_BYTES)
    return spans


def _parts(spans: Sequence[Span], dataset: Dataset) -> list[Part]:
    """What a pass reads of these spans."""
    samples: dict[int, list[int]] = {}
    parts = []
    for span in spans:
        if span.is_whole:
            parts.append(Part(dataset.chunks[span.chunk]))
            continue
        opened = dataset.opened(span.chunk)
        if span.chunk not in samples:
            samples[span.chunk] = opened.directory.samples
        parts.append(Part(opened.chunk, opened, samples[span.chunk][span.start : span.stop]))
    return parts
