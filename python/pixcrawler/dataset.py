"""``load_dataset`` and the ``Dataset`` it returns: lazy, re-iterable, picklable, safe after a fork."""

from __future__ import annotations

import multiprocessing.context
import operator
import threading
import warnings
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, overload

from pixcrawler._fork import restart_in_children
from pixcrawler._machine import usable_cpus
from pixcrawler._native import MemoryLease
from pixcrawler.conversions import Conversions
from pixcrawler.decode_jobs import ArrayJobs, EncodedJobs, StackedJobs
from pixcrawler.delivery import Delivery
from pixcrawler.exceptions import DecompressionError, PixCrawlerError
from pixcrawler.failures import FailureLedger
from pixcrawler.options import Options, check_count, size_of
from pixcrawler.passes import Pass, PassIterator, decoder_for, kept_bytes
from pixcrawler.random_access import GAP_BYTES, Located, RandomAccess
from pixcrawler.schedule import OpenedChunk, Part
from pixcrawler.sources.labels import folder_label
from pixcrawler.stats import Stats
from pixcrawler.worker_failures import WorkerFailures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from pixcrawler._native import Decoder
    from pixcrawler.decode_ahead import JobKind
    from pixcrawler.options import ImageSize
    from pixcrawler.records import ChunkRecord, DatasetInfo, DecodedSample, EncodedSample
    from pixcrawler.sources import Source

__all__ = ["Dataset"]

# Requests that bring the first image before all others, when single samples are iterated over.
_FIRST_SAMPLES = 8


class Dataset(Conversions):
    """Images of a finished job, or of a local path, decoded as they are asked for.

    Iterating gives ``(image, label)``: uint8 (H, W, C) and the label as it is stored. The order is that of the chunks
    and of the members in each, whatever the timing and the number of threads. Each ``for`` begins a new pass.

    Made by :func:`pixcrawler.load_dataset`.

    Args:
        source: Where chunks come from.
        options: How samples are decoded and delivered.
    """

    def __init__(self, source: Source, options: Options) -> None:
        self._source = source
        self._options = options
        self._start()

    def _start(self, opened: Mapping[int, OpenedChunk | DecompressionError] | None = None) -> None:
        """Set up what belongs to this process alone.

        Args:
            opened: Chunks whose directory another process has read, by number; or why one can never be opened.
        """
        self._lock = threading.RLock()
        self._latest: Pass | None = None
        # Taken by the first pass, given back by close().
        self._lease: MemoryLease | None = None
        self._passes: weakref.WeakSet[Pass] = weakref.WeakSet()
        self._last_stats = Stats()
        self._random = RandomAccess(
            self._source,
            self._options.memory_bytes // 4,
            self._options.max_workers,
            skips=self._options.skips,
            opened=opened,
        )
        self._classes: tuple[str, ...] | None = None
        self._num_images: int | None = None
        self._failures = FailureLedger()
        self._kept = FailureLedger()
        self._shared_failures: WorkerFailures | None = None
        self._shared_before = 0
        self._report_to: WorkerFailures | None = None
        self._decoder: Decoder | None = None
        restart_in_children(self)

    def start_after_fork(self) -> None:
        """Begin anew in a child, but for the directories: locks, threads and connections are the parent's."""
        self._start(self._random.known)

    # What it is.

    @property
    def info(self) -> DatasetInfo:
        """What is known of the dataset without reading images: id, name, counts, labels, classes, tags."""
        return self._source.info

    @property
    def options(self) -> Options:
        """How samples are decoded and delivered."""
        return self._options

    @property
    def num_images(self) -> int:
        """Samples in all chunks. Reads the directories if the catalogue does not say.

        Unless ``on_error`` is "raise", chunks whose directory cannot be read count as none then.
        """
        with self._lock:
            if self._num_images is None:
                count = self.info.num_images
                if count is None:
                    count = sum(len(opened.directory.samples) for opened in self._random.readable())
                self._num_images = count
            return self._num_images

    @property
    def num_chunks(self) -> int:
        """Chunks."""
        return len(self._source.chunks)

    @property
    def chunks(self) -> tuple[ChunkRecord, ...]:
        """The chunks, in order."""
        return self._source.chunks

    @property
    def chunk_size(self) -> int | None:
        """Samples in a full chunk, if the catalogue says."""
        return self.info.chunk_size

    @property
    def classes(self) -> tuple[str, ...]:
        """The sorted distinct string labels: from the catalogue, else from all directories (one request a chunk).

        Raises:
            PixCrawlerError: A directory cannot be read.
        """
        with self._lock:
            if self._classes is None:
                self._classes = self.info.classes if self._options.label_fn is None else ()
                if not self._classes:
                    self._classes = tuple(sorted(self._string_labels()))
            return self._classes

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The position of each class in :attr:`classes`."""
        return {name: position for position, name in enumerate(self.classes)}

    @property
    def failures(self) -> FailureLedger:
        """What was left out of the latest pass; each pass has a ledger of its own.

        What is read by number through :meth:`to_torch`, here or in workers, has one ledger for as long as the dataset
        lives, in which each sample comes once however often it was asked for. It is the one returned if something was
        added to it since the latest pass began.
        """
        if self._shared_failures is not None:
            shared = self._shared_failures.read()
            if len(shared) > self._shared_before:
                self._failures = shared
        return self._failures

    def share_failures(self) -> WorkerFailures | None:
        """The ledger of what this process and its workers read by number; None if the first failure ends it all."""
        with self._lock:
            if self._shared_failures is None and self._options.skips:
                self._shared_failures = WorkerFailures(self._allowed_failures())
            return self._shared_failures

    def _allowed_failures(self) -> int | None:
        allowed = self._options.max_failures
        return part_of(len(self), allowed) if isinstance(allowed, float) else allowed

    @property
    def kept(self) -> FailureLedger:
        """What the latest pass delivered though it ends too early (``on_truncated="keep"``).

        Single samples (``dataset[i]``) are not recorded.
        """
        return self._kept

    def stats(self) -> Stats:
        """Where the time of the latest pass went, and in ``.limit`` what limits it, in one plain sentence."""
        latest = self._latest
        return self._last_stats if latest is None else latest.stats()

    def _string_labels(self) -> set[str]:
        labels = set()
        for opened in self._random.readable():
            for index in opened.directory.samples:
                label, _ = self._label(opened, index)
                if isinstance(label, str):
                    labels.add(label)
        return labels

    def _label(self, opened: OpenedChunk, index: int) -> tuple[Any, dict[str, Any]]:
        """A sample's label and metadata."""
        member = opened.directory.name(index)
        found = opened.labels.get(member) if opened.labels is not None else None
        label, metadata = (folder_label(member), {}) if found is None else found
        if self._options.label_fn is not None:
            label = self._options.label_fn(member, label, metadata)
        return label, metadata

    # Passes.

    def __len__(self) -> int:
        """Samples in all chunks."""
        return self.num_images

    def __iter__(self) -> PassIterator[tuple[NDArray[np.uint8], Any]]:
        """Iterate over (image, label).

        Returns:
            An iterator of (uint8 (H, W, C), label). It can be closed, and used as a context manager.

        Raises:
            PixCrawlerError: While iterating, at the first sample that cannot be delivered, unless ``on_error`` skips.
        """
        return self.iter_parts(None, self._options)

    def iter_parts(
        self,
        parts: Sequence[Part] | None,
        options: Options,
        *,
        batch_size: int | None = None,
        stacked_size: tuple[int, int] | None = None,
        drop_last: bool = False,
        seed: str | None = None,
        report_to: WorkerFailures | None = None,
    ) -> PassIterator[tuple[NDArray[np.uint8], Any]]:
        """Iterate over parts of the dataset: for loaders.

        Args:
            parts: What is read, in order; None for all of it.
            options: Those of the dataset, where they are not those of this pass.
            batch_size: Images a batch, as :meth:`iter_batches` gives them; None for single ones.
            stacked_size: (height, width) that images of batches must have where they are not resized; by default that
                of the first.
            drop_last: Leave out a last batch that is not full.
            seed: Shuffle the samples, over as many parts as the memory allows, by this seed; None for in order.
            report_to: Takes what this process leaves out of this and further passes, for another that iterates.
        """
        self._report_to = report_to
        if batch_size is None:
            run = self._begin_samples(options, parts=parts, seed=seed)
            return self._delivery(run).samples()
        jobs = StackedJobs(batch_size, options.image_size or stacked_size, options.channels)
        run = self._begin(options, options.image_size, jobs, first_batch=batch_size, parts=parts, seed=seed)
        return self._delivery(run).batches(batch_size, drop_last=drop_last)

    def iter_decoded(self) -> PassIterator[DecodedSample]:
        """As iterating over the dataset itself, but each sample with its chunk, its name and its metadata.

        Returns:
            An iterator of :class:`pixcrawler.DecodedSample`. It can be closed, and used as a context manager.

        Raises:
            PixCrawlerError: While iterating, at the first sample that cannot be delivered, unless ``on_error`` skips.
        """
        run = self._begin_samples(self._options)
        return self._delivery(run).decoded()

    def _begin_samples(self, options: Options, *, parts: Sequence[Part] | None = None, seed: str | None = None) -> Pass:
        jobs = ArrayJobs(_threads_of(options), options.memory_bytes)
        return self._begin(options, options.image_size, jobs, first_batch=_FIRST_SAMPLES, parts=parts, seed=seed)

    def iter_batches(
        self,
        batch_size: int = 32,
        drop_last: bool = False,
        *,
        image_size: ImageSize | None = None,
        resize_mode: Literal["stretch", "crop", "pad"] | None = None,
        interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] | None = None,
    ) -> PassIterator[tuple[NDArray[np.uint8], list[Any]]]:
        """Iterate over batches.

        Args:
            batch_size: Images a batch.
            drop_last: Leave out a last batch that is not full.
            image_size: (height, width) in pixels of every image, or an int for a square; by default as the dataset's.
            resize_mode: "stretch", "crop" or "pad"; by default as the dataset's.
            interpolation: "nearest", "bilinear", "bicubic" or "lanczos"; by default as the dataset's.

        Returns:
            An iterator of (uint8 (B, H, W, C), list of B labels). Each array is new and the caller's own. The
            iterator can be closed, and used as a context manager.

        Raises:
            ValueError: An argument is out of its range.
            ImageSizeError: While iterating: without any ``image_size`` an image has another size than the first.
            PixCrawlerError: While iterating, at the first sample that cannot be delivered, unless ``on_error`` skips.
        """
        check_count("batch_size", batch_size)
        options = replace(
            self._options,
            image_size=self._options.image_size if image_size is None else size_of(image_size),
            resize_mode=resize_mode or self._options.resize_mode,
            interpolation=interpolation or self._options.interpolation,
        )
        return self.iter_parts(None, options, batch_size=batch_size, drop_last=drop_last)

    def iter_encoded(self, *, chunks: Sequence[int] | None = None, probe: bool = False) -> PassIterator[EncodedSample]:
        """Iterate over the samples as they are stored: inflated and their CRC checked, but not decoded.

        What is no picture at all (``not_an_image``) cannot be delivered; a damaged picture is, unless its own header
        is to be read and cannot be. Failures, order and memory are those of the other passes: files read ahead count
        in ``memory_limit``.

        Args:
            chunks: Numbers of the chunks to read, in that order; by default all.
            probe: Read each picture's header for its size. A picture whose header cannot be read fails then.

        Returns:
            An iterator of :class:`pixcrawler.EncodedSample`. It can be closed, and used as a context manager.

        Raises:
            IndexError: There is no such chunk.
            PixCrawlerError: While iterating, at the first sample that cannot be delivered, unless ``on_error`` skips.
        """
        options = self._options
        run = self._begin(
            options,
            None,
            EncodedJobs(options.memory_bytes, probes=probe),
            first_batch=_FIRST_SAMPLES,
            threads=min(_threads_of(self._options), EncodedJobs.THREADS),
            parts=None if chunks is None else [Part(self._source.chunks[number]) for number in chunks],
        )
        return self._delivery(run).encoded()

    def _begin(
        self,
        options: Options,
        image_size: tuple[int, int] | None,
        jobs: JobKind,
        *,
        first_batch: int,
        threads: int | None = None,
        parts: Sequence[Part] | None = None,
        seed: str | None = None,
    ) -> Pass:
        _warn_of_slow_build()
        if self._lease is None:
            self._lease = MemoryLease(kept_bytes(options))
        run = Pass(
            self._source,
            options,
            image_size,
            jobs,
            first_batch=first_batch,
            threads=threads or _threads_of(options),
            max_failures=self._allowed_failures(),
            parts=parts,
            seed=seed,
        )
        self._failures, self._kept = run.failures, run.kept
        self._shared_before = 0 if self._shared_failures is None else len(self._shared_failures.read())
        self._latest = run
        self._passes.add(run)
        return run

    def _delivery(self, run: Pass) -> Delivery:
        return Delivery(run, self._options, self._label, self._report_to)

    def first_size(self) -> tuple[int, int] | None:
        """The size that the images of the first segment share, from their headers: for loaders.

        Returns:
            (height, width) as delivered without ``image_size``; None if they are of several sizes, or there is none.

        Raises:
            PixCrawlerError: A chunk cannot be opened, unless ``on_error`` skips it.
        """
        return self._random.first_size(decoder_for(self._options, None, _threads_of(self._options)))

    def decode_all_into(
        self,
        out: NDArray[np.uint8] | Callable[[tuple[int, int]], NDArray[np.uint8]],
        *,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[Any]:
        """Decode the whole dataset into one array, in order and without a second copy.

        Args:
            out: uint8, shape (len(self), H, W, C), C-contiguous; image i goes to ``out[i]``. Or a function that is
                called once with (H, W), the size of the first image that can be decoded, and returns that array; it is
                not called if there is none.
            on_progress: Called with the number of samples that are done.

        Returns:
            The labels of the images delivered. Where ``on_error`` skips they may be fewer than ``out`` has places:
            the good images stand together at its front.

        Raises:
            PixCrawlerError: The first sample that cannot be delivered, unless ``on_error`` skips, or the dataset has
                more samples than the catalogue counts.
        """
        options = self._options
        whole: NDArray[np.uint8] | None = None

        def place(size: tuple[int, int]) -> NDArray[np.uint8]:
            nonlocal whole
            whole = out(size) if callable(out) else out
            return whole

        # Where no size was asked for, images of another size than the array's are an error, not resized.
        image_size = options.image_size if callable(out) else (out.shape[1], out.shape[2])
        jobs = StackedJobs(64, image_size, options.channels, destination=place)
        run = self._begin(options, options.image_size, jobs, first_batch=64)
        return self._delivery(run).in_place(lambda: whole, on_progress)

    # Single samples.

    @overload
    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], Any]: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int]) -> list[tuple[NDArray[np.uint8], Any]]: ...
    def __getitem__(
        self,
        index: int | slice | Sequence[int],
    ) -> tuple[NDArray[np.uint8], Any] | list[tuple[NDArray[np.uint8], Any]]:
        """Samples by number: only their bytes are fetched.

        Args:
            index: A number (negative ones count from the end), a slice, or a sequence of numbers.

        Returns:
            (image, label) for a number, else a list of them; images are uint8 (H, W, C).

        Raises:
            IndexError: There is no such sample.
            PixCrawlerError: The sample cannot be delivered, whatever ``on_error`` says.
        """
        if isinstance(index, slice):
            return self._read(range(len(self))[index])
        if isinstance(index, Sequence):
            return self._read(index)
        return self._read([index])[0]

    def _read(self, numbers: Sequence[int]) -> list[tuple[NDArray[np.uint8], Any]]:
        read = []
        for result in self.read(numbers):
            if isinstance(result, PixCrawlerError):
                raise result
            read.append(result)
        return read

    def read(
        self, numbers: Sequence[int], *, gap_bytes: int = GAP_BYTES
    ) -> list[tuple[NDArray[np.uint8], Any] | PixCrawlerError]:
        """Samples by number, fetched together and decoded in one native call.

        Args:
            numbers: Negative ones count from the end.
            gap_bytes: Samples that lie this close together in a chunk are fetched at once, with what lies between.

        Returns:
            For each number (image, label), as :meth:`__getitem__` gives it, or why it cannot be delivered.

        Raises:
            IndexError: There is no such sample.
        """
        _warn_of_slow_build()
        length = len(self)
        samples = self._random.locate_all([_checked(number, length) for number in numbers])
        if self._decoder is None:
            self._decoder = decoder_for(self._options, self._options.image_size, _threads_of(self._options))
        if self._lease is None:
            self._lease = MemoryLease(kept_bytes(self._options))
        located = [one for one in samples if isinstance(one, Located)]
        results = iter(self._random.read(located, self._decoder, gap_bytes))
        read: list[tuple[NDArray[np.uint8], Any] | PixCrawlerError] = []
        for sample in samples:
            if isinstance(sample, PixCrawlerError):
                read.append(sample)
                continue
            image = next(results)
            if isinstance(image, PixCrawlerError):
                read.append(image)
            else:
                read.append((image, self._label(sample.opened, sample.index)[0]))
        return read

    # Life and death.

    def close(self) -> None:
        """End passes and reads that are under way, let go of connections, files and memory. May be called again."""
        latest, self._latest = self._latest, None
        if latest is not None:
            self._last_stats = latest.stats()
        for run in list(self._passes):
            run.close()
        self._random.close()
        self._source.close()
        self._lease = self._decoder = None

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs to read the same samples; the source leaves its secrets out where it must.

        A child that multiprocessing is starting gets the directories as well, and asks for none again.
        """
        state = {"source": self._source, "options": self._options}
        if multiprocessing.context.get_spawning_popen() is not None:
            state["opened"] = {
                number: opened
                if isinstance(opened, DecompressionError)
                else (opened.directory, opened.labels, opened.is_whole)
                for number, opened in self._random.known.items()
            }
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set up in the other process."""
        self._source, self._options = state["source"], state["options"]
        chunks = self._source.chunks
        self._start(
            {
                number: OpenedChunk(chunks[number], *found) if isinstance(found, tuple) else found
                for number, found in state.get("opened", {}).items()
            }
        )

    def opened(self, number: int) -> OpenedChunk:
        """A chunk with its directory, which is kept.

        Raises:
            PixCrawlerError: It cannot be read.
        """
        return self._random.opened(number)

    def open_all(self, *, whole: bool = True) -> list[OpenedChunk | None]:
        """Read the directories of all chunks, several at once, and keep them.

        Args:
            whole: Fetch chunks that their server sends only whole; else they are left unknown.

        Returns:
            The chunks, in order; None for one that cannot be opened, or is left unknown.

        Raises:
            AuthenticationError: The key is refused.
            PixCrawlerError: A chunk cannot be opened, and ``on_error`` is "raise".
        """
        return self._random.open_all(whole=whole)

    def with_options(self, options: Options) -> Dataset:
        """A dataset of the same source and directories under other options. Closing either closes both.

        Args:
            options: How samples are decoded and delivered.
        """
        other = Dataset(self._source, options)
        other._start(self._random.known)
        return other

    def __repr__(self) -> str:
        """Name and size."""
        info = self.info
        return f"<Dataset {info.name!r} ({info.job_id}): {info.num_images} images in {self.num_chunks} chunks>"


def _checked(number: int, length: int) -> int:
    """A sample's number, from 0."""
    position = operator.index(number)
    if not -length <= position < length:
        message = f"sample {position} of {length}"
        raise IndexError(message)
    return position % length


def _threads_of(options: Options) -> int:
    return options.decode_threads or usable_cpus()


def part_of(samples: int, fraction: float) -> int:
    """How many of so many samples a fraction is, rounded down: 0.29 of 100 are 29, whatever floating point says.

    Args:
        samples: All of them.
        fraction: From 0 to 1.
    """
    return int(round(samples * fraction, 6))


_has_checked_build = False


def _warn_of_slow_build() -> None:
    """Say once if the native module was built without optimisation or without JPEG SIMD code."""
    global _has_checked_build  # noqa: PLW0603 - once a process
    if _has_checked_build:
        return
    _has_checked_build = True
    from pixcrawler import _native

    build = _native.build_info()
    if build["profile"] == "debug" or not build["jpeg_simd"]:
        message = f"pixcrawler's native module is slow: profile {build['profile']}, JPEG SIMD {build['jpeg_simd']}"
        warnings.warn(message, RuntimeWarning, stacklevel=3)
