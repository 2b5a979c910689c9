"""Threads that decode samples ahead of the consumer, in order, one native call for as many as are there."""

from __future__ import annotations

import threading
import time
from collections import deque
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pixcrawler import _native
from pixcrawler.downloader import RangesUnsupportedError
from pixcrawler.exceptions import ArchiveError, ImageSizeError, PixCrawlerError
from pixcrawler.prefetch import NoSample, Plan
from pixcrawler.schedule import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from pixcrawler._native import Buffer, Decoder, ImageInfo, Item
    from pixcrawler.prefetch import Prefetcher
    from pixcrawler.schedule import ByteBudget, RunLock, Segment
    from pixcrawler.sources import Source
    from pixcrawler.stats import PassClock

    NativeCall: TypeAlias = Callable[[list[Item], int], Sequence[object]]

__all__ = ["DRIVERS", "DecodeAhead", "Encoded", "Job", "JobKind", "Piece"]

# Two batches in work at once: while the last images of one are decoded, idle threads begin the next.
DRIVERS = 2
# Batches that exist but were not handed out: two ahead of the one that the consumer waits for.
_JOBS_AHEAD = 3


class Encoded(NamedTuple):
    """A sample as it is stored.

    Attributes:
        data: Its bytes, inflated.
        size: (height, width) of its picture, if that was asked for.
    """

    data: bytes
    size: tuple[int, int] | None


@dataclass(eq=False)
class Piece:
    """Samples decoded together, in order.

    Attributes:
        position: Samples of the run before them.
        samples: The samples.
        images: (N, H, W, C) uint8, or one array for each sample; where ``errors`` has an entry the content is
            unspecified. Of :class:`EncodedJobs` what each sample is in the file.
        errors: By position in the piece, why a sample failed.
        kept: By position in the piece, why an image that is delivered all the same is not whole.
        size_bytes: What was accounted for it.
        chunk_error: Why a whole chunk could not be opened, in place of samples.
        chunk_samples: How many samples the catalogue counts in that chunk, if it says.
        infos: Of :class:`InspectJobs`, in place of images: what each sample is, or None for one that failed.
    """

    position: int
    samples: list[Sample]
    images: NDArray[np.uint8] | list[NDArray[np.uint8] | None] | list[Encoded | None]
    errors: dict[int, PixCrawlerError] = field(default_factory=dict)
    kept: dict[int, PixCrawlerError] = field(default_factory=dict)
    size_bytes: int = 0
    chunk_error: PixCrawlerError | None = None
    chunk_samples: int | None = None
    infos: Sequence[ImageInfo | None] = ()


class Decoded(NamedTuple):
    """What became of samples.

    Attributes:
        images: For each sample its new array; None if it failed, or its image was written into a slot.
        errors: By position, why a sample failed.
        kept: By position, why an image that is delivered all the same is not whole.
    """

    images: list[Any]
    errors: dict[int, PixCrawlerError]
    kept: dict[int, PixCrawlerError]


@dataclass(eq=False)
class Job:
    """Consecutive samples of the run, and what became of them so far.

    Attributes:
        position: Samples of the run before it.
        wanted: Samples that it is to have; the last job may get fewer.
        samples: Those known so far. Decoding begins before all are: with whole chunks the later ones may be known only
            when the bytes of the first are released.
        undecoded: How many of them are in no piece yet.
        encoded_bytes: Their size in the chunk.
        is_complete: No further samples come.
        pieces: Decoded, not handed out yet.
        is_done: No further pieces come.
        error: Why a thread failed at it.
    """

    position: int
    wanted: int
    samples: list[Sample] = field(default_factory=list)
    undecoded: int = 0
    encoded_bytes: int = 0
    is_complete: bool = False
    pieces: deque[Piece] = field(default_factory=deque)
    is_done: bool = False
    error: BaseException | None = None

    def append(self, sample: Sample) -> None:
        """Add a sample."""
        start, stop = sample.segment.opened.directory.extent(sample.index)
        self.samples.append(sample)
        self.undecoded += 1
        self.encoded_bytes += stop - start


class JobKind(Protocol):
    """How samples become pieces: the kinds are in :mod:`pixcrawler.decode_jobs`."""

    def size_after(self, good: int, /) -> int:
        """Samples of the next job, at most, when ``good`` ones were assigned before it."""

    def is_full(self, job: Job, /) -> bool:
        """Whether a job is large enough before it has all its samples."""

    def run(self, ahead: DecodeAhead, job: Job, /) -> None:
        """Decode a job: hand over its pieces."""


class DecodeAhead:
    """Decodes a run's samples in jobs of consecutive ones.

    Args:
        source: Where the bytes come from, for reading a damaged member once more.
        prefetcher: Brings samples and their bytes.
        decoder: The native decoder.
        lock: The run's lock. All state here is behind it.
        budget: Bytes that may be held.
        clock: Takes the waiting times.
        jobs: How samples become pieces.

    Attributes:
        threads: They end when the run's lock is closed.
        failed: Samples that the consumer found failed so far: later jobs are cut so that batches end with jobs again.
    """

    def __init__(
        self,
        source: Source,
        prefetcher: Prefetcher,
        decoder: Decoder,
        lock: RunLock,
        budget: ByteBudget,
        clock: PassClock,
        jobs: JobKind,
    ) -> None:
        self.source = source
        self.prefetcher = prefetcher
        self.decoder = decoder
        self.lock = lock
        self.budget = budget
        self._clock = clock
        self._strategy = jobs
        self._jobs: deque[Job] = deque()
        self._stacked_size: tuple[int, int] | None = None
        self._handed_bytes = 0
        self._assigned = 0
        self.failed = 0
        # The job that further samples go to, until it is complete; a later one waits for it.
        self._gathering: Job | None = None
        # A chunk that could not be opened, met after samples that were to be delivered before.
        self._failed_chunk: Plan | None = None
        self._is_exhausted = False
        self.threads = [
            threading.Thread(target=self._work, name=f"pixcrawler-decode-{number}", daemon=True)
            for number in range(DRIVERS)
        ]

    def start(self) -> None:
        """Begin decoding."""
        for thread in self.threads:
            thread.start()

    # The consumer's side.

    def next_piece(self) -> Piece | None:
        """The next decoded samples in order; None at the end of the run.

        Raises:
            RuntimeError: The run was closed before its end.
            BaseException: A thread of the run failed in a way that it should not.
        """
        began = time.perf_counter()
        with self.lock.changed:
            try:
                while not self.lock.is_closed:
                    if self._jobs:
                        job = self._jobs[0]
                        if job.pieces:
                            piece = job.pieces.popleft()
                            # The one before it stays accounted for until now: the consumer had it in hand.
                            self.budget.return_output(self._handed_bytes)
                            self._handed_bytes = piece.size_bytes
                            self.prefetcher.note_room()
                            self.lock.changed.notify_all()
                            return piece
                        if job.error is not None:
                            raise job.error
                        if job.is_done:
                            self._jobs.popleft()
                            self.lock.changed.notify_all()
                            continue
                    elif self._is_exhausted:
                        return None
                    self.lock.deliverable.wait()
            finally:
                self._clock.wait_decode_s += time.perf_counter() - began
        # Never a quiet end: it would look like a dataset that has fewer images.
        message = "the pass was closed while it was being read"
        raise RuntimeError(message)

    # The decode threads.

    def is_next(self, job: Job) -> bool:
        """Whether the consumer waits for this job; the lock is held."""
        return bool(self._jobs) and self._jobs[0] is job

    def _work(self) -> None:
        while (job := self._next_job()) is not None:
            try:
                self._strategy.run(self, job)
            except BaseException as exc:  # noqa: BLE001 - the consumer raises it in its own thread
                job.error = exc
            with self.lock.changed:
                if not job.is_done:
                    job.is_done = True
                    self.lock.deliverable.notify_all()

    def _next_job(self) -> Job | None:
        """The next job, with its first sample; waits for room and for the sample to be known; None at the end."""
        with self.lock.changed:
            while not self.lock.is_closed and (self._gathering is not None or len(self._jobs) >= _JOBS_AHEAD):
                began = time.perf_counter()
                waits_for_consumer = len(self._jobs) >= _JOBS_AHEAD
                self.lock.changed.wait()
                waited_s = (time.perf_counter() - began) / DRIVERS
                if waits_for_consumer:
                    self._clock.wait_consumer_s += waited_s
                else:
                    self._clock.wait_network_s += waited_s
            while not self.lock.is_closed and not self._is_exhausted:
                job = Job(self._assigned, self._strategy.size_after(self._assigned - self.failed))
                self._gathering = job
                self._gather_first(job)
                if job.samples or job.pieces or job.error is not None:
                    self._jobs.append(job)
                if job.samples:
                    return job
                # A chunk that cannot be opened, an error, or the end: nothing to decode.
                job.is_done = True
                self.lock.deliverable.notify_all()
            return None

    def _gather_first(self, job: Job) -> None:
        """Wait until a job has a sample or is complete without any; the lock is held."""
        try:
            while not self.lock.is_closed:
                self._gather(job)
                if job.samples or job.is_complete:
                    return
                self.lock.changed.wait()
        except BaseException as exc:  # noqa: BLE001 - the consumer raises it in its own thread
            job.error = exc
            self._is_exhausted = True
            self._complete(job)

    def _gather(self, job: Job) -> None:
        """Add the samples that are known to a job that is not complete; the lock is held."""
        if self._failed_chunk is not None:
            plan, self._failed_chunk = self._failed_chunk, None
            counted = plan.chunk.num_images
            job.pieces.append(Piece(job.position, [], [], chunk_error=plan.error, chunk_samples=counted))
            self._complete(job)
        while not job.is_complete:
            sample = self.prefetcher.next_sample()
            if sample is NoSample.YET:
                return
            if isinstance(sample, Sample):
                job.append(sample)
                if len(job.samples) == job.wanted or self._strategy.is_full(job):
                    self._complete(job)
            elif isinstance(sample, Plan):
                # In a job of its own, behind the samples before it.
                self._failed_chunk = sample
                if job.samples:
                    self._complete(job)
                else:
                    self._gather(job)
            else:
                self._is_exhausted = True
                self._complete(job)

    def _complete(self, job: Job) -> None:
        job.is_complete = True
        self._assigned += len(job.samples)
        self._gathering = None
        self.lock.changed.notify_all()

    # What the kinds of jobs are made of.

    def take_output(self, job: Job, size_bytes: int) -> bool:
        """Wait until decoded images of that size may be held; False if the run is over."""
        began = time.perf_counter()
        with self.lock.changed:
            while not self.lock.is_closed:
                if self.budget.take_output(size_bytes, is_next=self.is_next(job)):
                    self._clock.wait_consumer_s += (time.perf_counter() - began) / DRIVERS
                    return True
                self.lock.changed.wait()
        return False

    def ready(self, job: Job, start: int) -> int:
        """Wait until sample ``start`` of a job is known, and its bytes are there or known not to come.

        Returns:
            The end of the samples from ``start`` on of which the same is known; ``start`` itself if the job has no
            more, or the run is over.
        """
        with self.lock.changed:
            began = time.perf_counter()
            while not self.lock.is_closed:
                if not job.is_complete:
                    self._gather(job)
                if start < len(job.samples):
                    segment = job.samples[start].segment
                    if segment.is_settled:
                        break
                    if self.is_next(job):
                        self.prefetcher.need(segment)
                elif job.is_complete:
                    return start
                self.lock.changed.wait()
            self._clock.wait_network_s += (time.perf_counter() - began) / DRIVERS
            if self.lock.is_closed:
                return start
            first = job.samples[start].segment
            stop = start + 1
            while stop < len(job.samples) and _are_alike(first, job.samples[stop].segment):
                stop += 1
            return stop

    def decode(self, samples: Sequence[Sample], call: NativeCall) -> Decoded:
        """Decode samples that :meth:`ready` found alike; those whose bytes came damaged are fetched once more.

        Args:
            samples: The samples.
            call: The native call: takes items and the position of the first, returns an error or anything else for
                each of the first ones at least.

        Returns:
            What became of the samples that were dealt with. Their segments are released.
        """
        segment_error = samples[0].segment.error
        if segment_error is not None:
            results: list[Any] = [copy(segment_error) for _ in samples]
        else:
            results = list(call([sample.item(_bytes_of(sample.segment)) for sample in samples], 0))
            for position, result in enumerate(results):
                if isinstance(result, ArchiveError) and self.source.is_remote:
                    results[position] = self._decode_again(samples[position], position, call, result)
                if isinstance(results[position], ImageSizeError):
                    results[position] = self._real_error(samples[position], results[position])
        errors: dict[int, PixCrawlerError] = {}
        kept: dict[int, PixCrawlerError] = {}
        for position, found in enumerate(results):
            if isinstance(found, PixCrawlerError):
                errors[position] = _placed(found, samples[position])
                results[position] = None
            elif isinstance(found, _native.Kept):
                kept[position] = _placed(found.error, samples[position])
                results[position] = found.image
        with self.lock.changed:
            for sample in samples[: len(results)]:
                self.prefetcher.release(sample.segment)
        return Decoded(results, errors, kept)

    def _decode_again(self, sample: Sample, position: int, call: NativeCall, error: ArchiveError) -> object:
        """Fetch a sample's own bytes once more: those that came had another checksum, or no sound structure."""
        opened = sample.segment.opened
        if opened.directory.is_refused(sample.index):
            return error
        start, stop = opened.directory.extent(sample.index)
        try:
            buffer = self.source.read(opened.chunk, start, stop)
        except (PixCrawlerError, RangesUnsupportedError):
            return error
        return call([(buffer, start, opened.directory, sample.index)], position)[0]

    def _real_error(self, sample: Sample, error: ImageSizeError) -> PixCrawlerError:
        """Why an image of another size cannot be decoded at all, if so: a broken one's header may claim any."""
        (found,) = self.decoder.decode([sample.item(_bytes_of(sample.segment))], max_bytes=0)
        return found if isinstance(found, PixCrawlerError) else error

    def note_inflated(self, seconds: float) -> None:
        """Count time in which members were read outside the native decoder, which counts its own."""
        with self.lock.changed:
            self._clock.inflate_s += seconds

    def hand_over(self, job: Job, piece: Piece, *, reserved_bytes: int) -> None:
        """Give a piece to the consumer, accounted with what it really takes."""
        with self.lock.changed:
            self.budget.output_bytes += piece.size_bytes - reserved_bytes
            self.prefetcher.note_room()
            job.pieces.append(piece)
            job.undecoded -= len(piece.samples)
            # With the last piece, so that the consumer is woken once.
            job.is_done = job.is_complete and job.undecoded == 0
            self.lock.deliverable.notify_all()
            if piece.size_bytes < reserved_bytes:
                self.lock.changed.notify_all()

    def find_stacked_size(self, job: Job) -> tuple[int, int] | None:
        """The size of the run's first image that can be decoded: a broken one's header may claim any.

        Only the job that the consumer waits for looks for it.
        """
        with self.lock.changed:
            while not self.lock.is_closed and self._stacked_size is None and not self.is_next(job):
                self.lock.changed.wait()
            if self._stacked_size is not None or self.lock.is_closed:
                return self._stacked_size
        position = 0
        while self.ready(job, position) > position:
            segment = job.samples[position].segment
            if segment.error is None:
                (found,) = self.decoder.decode([job.samples[position].item(_bytes_of(segment))], max_bytes=0)
                image = found.image if isinstance(found, _native.Kept) else found
                if image is not None and not isinstance(image, PixCrawlerError):
                    height, width, _ = image.shape
                    with self.lock.changed:
                        self._stacked_size = height, width
                        self.lock.changed.notify_all()
                    return height, width
            position += 1
        return None


def _are_alike(one: Segment, other: Segment) -> bool:
    """Whether the bytes of both segments are there, or one error explains both."""
    if one.error is not None:
        return other.error is one.error
    return one.buffer is not None and other.buffer is not None


def _placed(error: PixCrawlerError, sample: Sample) -> PixCrawlerError:
    return error.with_place(chunk_id=sample.segment.opened.chunk.id, member=sample.member)


def _bytes_of(segment: Segment) -> Buffer:
    if segment.buffer is None:
        message = "a segment was released before its samples were decoded"
        raise RuntimeError(message)
    return segment.buffer
