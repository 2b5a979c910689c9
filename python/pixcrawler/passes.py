"""One pass over a dataset: the machinery between a source and the consumer, started, read in order, and shut down."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from random import Random
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pixcrawler import _native
from pixcrawler.decode_ahead import DecodeAhead
from pixcrawler.exceptions import InternalError
from pixcrawler.failures import FailureLedger
from pixcrawler.prefetch import Prefetcher
from pixcrawler.schedule import ByteBudget, InOrder, Part, RunLock, Shuffled
from pixcrawler.stats import PassClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from pixcrawler._native import Decoder
    from pixcrawler.decode_ahead import JobKind, Piece
    from pixcrawler.options import Options
    from pixcrawler.sources import Source
    from pixcrawler.stats import Stats

__all__ = ["Pass", "PassIterator", "decoder_for", "kept_bytes"]

_T_co = TypeVar("_T_co", covariant=True)

# How long shutting down waits for threads: one that is inside a native batch ends with it.
_JOIN_S = 1.0
_EXIT_JOIN_S = 10.0

# Segments held at once: for each worker one on its way and one that waits to be decoded.
_SEGMENTS_A_WORKER = 2
_LOCAL_SEGMENTS = 6
# The share of the memory for segments from which a shuffled run draws; the rest is for those on their way.
_WINDOW = 0.75

# What threads, the allocator and connections take beside the memory that is accounted for: measured, 20 to 26 MB.
_OVERHEAD_BYTES = 24 * 10**6


def _accounted_bytes(options: Options) -> int:
    """The part of the memory limit that is shared out here."""
    return max(options.memory_bytes - _OVERHEAD_BYTES, options.memory_bytes // 2)


def working_bytes(options: Options) -> int:
    """The share of the memory limit that decoders may use beside their output."""
    return _accounted_bytes(options) // 4


def kept_bytes(options: Options) -> int:
    """The share of the memory limit that a dataset may keep for using it again."""
    return _accounted_bytes(options) // 4


def decoder_for(options: Options, image_size: tuple[int, int] | None, threads: int) -> Decoder:
    """The native decoder for these options."""
    return _native.Decoder(
        mode=options.mode,
        image_size=image_size,
        resize_mode=options.resize_mode,
        interpolation=options.interpolation,
        apply_exif=options.apply_exif,
        draft=options.draft,
        keep_truncated=options.on_truncated == "keep",
        limits=options.limits,
        threads=threads,
        working_bytes=working_bytes(options),
    )


class Pass:
    """A run through all samples of a source, in order; or through parts of it, in order or shuffled.

    Args:
        source: Where chunks come from.
        options: How samples are decoded.
        image_size: (height, width) that images get, or None.
        jobs: How samples become pieces.
        first_batch: Samples that are fetched before all others.
        threads: Decode threads.
        max_failures: Samples that may be left out; None for any number.
        parts: What is read, in order; None for all chunks, whose directories are then read on the way.
        seed: Shuffle the samples, over as many parts as the memory limit allows, by this seed; None for in order.

    Attributes:
        clock: What it measures of itself.
        failures: What it left out.
        kept: What it delivered though it is not whole.
    """

    def __init__(
        self,
        source: Source,
        options: Options,
        image_size: tuple[int, int] | None,
        jobs: JobKind,
        *,
        first_batch: int,
        threads: int,
        max_failures: int | None,
        parts: Sequence[Part] | None = None,
        seed: str | None = None,
    ) -> None:
        self.clock = PassClock()
        self.failures = FailureLedger(max_failures)
        self.kept = FailureLedger()
        # Samples that came out of decoding, and those that the catalogue counts in chunks that could not be opened.
        self._met = 0
        self._never_met = 0
        self._threads = threads
        self._pid = os.getpid()
        self._lock = RunLock()
        self._decoder = decoder_for(options, image_size, threads)
        # Its requests are counted, and end, with this pass.
        self._source = source = source.for_run()
        segments_ahead = _SEGMENTS_A_WORKER * options.max_workers if source.is_remote else _LOCAL_SEGMENTS
        budget = ByteBudget(
            _accounted_bytes(options) - working_bytes(options) - kept_bytes(options),
            segments_ahead if seed is None else None,
        )
        self._prefetcher = Prefetcher(
            source,
            [Part(chunk) for chunk in source.chunks] if parts is None else parts,
            InOrder() if seed is None else Shuffled(Random(seed), int(_WINDOW * budget.segment_limit_bytes)),  # noqa: S311
            self._lock,
            budget,
            # Of a shuffled run the first batch needs about as many segments as the window begins with.
            first_batch=first_batch if seed is None else 0,
            max_workers=options.max_workers,
        )
        self._ahead = DecodeAhead(source, self._prefetcher, self._decoder, self._lock, budget, self.clock, jobs)
        _live.add(self)
        self._prefetcher.start()
        self._ahead.start()

    def pieces(self) -> Iterator[Piece]:
        """Decoded samples in order.

        Raises:
            InternalError: A sample of a directory is missing or comes twice.
            RuntimeError: The pass was begun in another process: its threads are not here.
        """
        while True:
            if os.getpid() != self._pid:
                message = "this iterator was begun before a fork: begin a new one in the child process"
                raise RuntimeError(message)
            piece = self._ahead.next_piece()
            at = self._prefetcher.num_samples if piece is None else piece.position
            if at != self._met:
                raise _miscounted(f"expected sample {self._met} next, got {at}")
            if piece is None:
                return
            self._met += len(piece.samples)
            yield piece

    def note_failure(self) -> None:
        """A sample that will not be delivered, so that later batches are cut to end with a job again."""
        self._ahead.failed += 1
        self.clock.failures += 1

    def note_failed_chunk(self, samples: int) -> None:
        """A chunk that could not be opened, and the samples that the catalogue counts in it."""
        self._never_met += samples
        self.clock.failures += samples

    def finish(self, *, dropped: int = 0) -> int:
        """Note that all samples were taken, and check that each was delivered or left out.

        Args:
            dropped: Good samples of a last batch that was not wanted.

        Returns:
            Samples, those of chunks that could not be opened included.

        Raises:
            InternalError: The counts do not add up.
        """
        self.clock.end()
        settled = self.clock.images + self.clock.failures + dropped
        if settled != self._met + self._never_met:
            delivered = f"{self.clock.images} delivered, {self.clock.failures} left out, {dropped} dropped"
            raise _miscounted(f"expected {self._met + self._never_met} samples, got {delivered}")
        return settled

    def stats(self) -> Stats:
        """Where the time went so far."""
        fetched = self._prefetcher.bytes_fetched
        return self.clock.read(self._decoder.stats(), fetched, self._threads, self._source.stats())

    def close(self, join_s: float = _JOIN_S) -> None:
        """End the pass: its threads stop, its memory is let go. May be called again."""
        self.clock.end()
        if os.getpid() != self._pid:
            return
        self._lock.close()
        self._source.interrupt()
        self._decoder.stop()
        deadline = time.monotonic() + join_s
        for thread in (*self._prefetcher.threads, *self._ahead.threads):
            # A garbage collection in one of these threads may be what closes the pass.
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(deadline - time.monotonic(), 0))


def _miscounted(detail: str) -> InternalError:
    return InternalError(detail, code="accounting")


_live: weakref.WeakSet[Pass] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Threads inside a native call while the interpreter is taken down would crash it: wait for them before."""
    for run in list(_live):
        run.close(_EXIT_JOIN_S)


class PassIterator(Generic[_T_co]):
    """An iterator over a pass. It ends the pass when it is exhausted, closed, left as a context manager, or dropped."""

    def __init__(self, run: Pass, items: Iterator[_T_co]) -> None:
        self._items = items
        self._finalizer = weakref.finalize(self, run.close)
        # At exit _close_all waits longer for the threads.
        self._finalizer.atexit = False

    def __iter__(self) -> Self:
        """Itself."""
        return self

    def __next__(self) -> _T_co:
        """The next item; at the end, or at an error, the pass is closed."""
        try:
            return next(self._items)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the pass. May be called again; no items come after it."""
        self._items = iter(())
        self._finalizer()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        """End the pass."""
        self.close()
