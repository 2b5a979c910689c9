"""What to fetch next, in which pieces, within which memory: pure planning and the byte budget."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from random import Random

    from pixcrawler._native import Buffer, Directory, Item
    from pixcrawler.exceptions import PixCrawlerError
    from pixcrawler.records import ChunkRecord
    from pixcrawler.sources import OpenChunk, SampleLabel

__all__ = [
    "ByteBudget",
    "InOrder",
    "OpenedChunk",
    "Part",
    "Sample",
    "Segment",
    "Shuffled",
    "parse_bytes",
    "plan_segments",
    "segment_sizes",
]

_log = logging.getLogger(__name__)

# Requests begin small, so that decoding starts early, and grow, so that latency is paid seldom.
_FIRST_SEGMENT_BYTES = 1 << 20
_SEGMENT_BYTES = 4 << 20
# Bytes between two members that are fetched along rather than paid for with another request.
_GAP_BYTES = 64 << 10


def parse_bytes(text: str | int) -> int:
    """A number of bytes from an int or a text such as "256MB" (10^6) or "64MiB" (2^20).

    Raises:
        ValueError: The text is no size, or the size is not positive.
    """
    units = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
    number, unit = text, ""
    if isinstance(text, str):
        unit = text.strip().lstrip("0123456789.").strip().lower()
        number = text.strip()[: len(text.strip()) - len(unit)].strip()
    try:
        size = int(float(number) * units[unit])
    except (ValueError, KeyError, OverflowError):
        size = 0
    if size <= 0:
        message = f'expected a size such as "256MB" or a positive number of bytes, got {text!r}'
        raise ValueError(message)
    return size


@dataclass(eq=False)
class OpenedChunk:
    """A chunk of a run, its members known.

    Attributes:
        chunk: Which chunk.
        directory: Its members.
        labels: What its metadata.jsonl says, by member name, or None.
        is_whole: Whether its server sends it only whole.
    """

    chunk: ChunkRecord
    directory: Directory
    labels: Mapping[str, SampleLabel] | None
    is_whole: bool = False

    @classmethod
    def of(cls, chunk: ChunkRecord, opened: OpenChunk, *, is_whole: bool = False) -> OpenedChunk:
        """Put a chunk and what its source said of it together."""
        return cls(chunk, opened.directory, opened.labels, is_whole)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Samples of one chunk that a pass reads.

    Attributes:
        chunk: Which chunk.
        opened: The same, its members known; None if its directory is to be read on the way, and then all its samples
            are meant.
        samples: Indices into the directory, in order.
    """

    chunk: ChunkRecord
    opened: OpenedChunk | None = None
    samples: Sequence[int] = ()


@dataclass(eq=False)
class Segment:
    """A contiguous byte range of a chunk holding whole members: the unit of fetching, memory accounting and release.

    Attributes:
        opened: The chunk.
        start: First byte, in the chunk.
        stop: One past the last byte.
        samples: Indices into the directory, in order of use.
        urgent: Whether the first batch needs it.
        is_needed: Whether the consumer waits for it.
        buffer: Its bytes, once they are there and until the last sample is decoded.
        error: Why they could not be had.
        undecoded: Samples that are not decoded yet.
    """

    opened: OpenedChunk
    start: int
    stop: int
    samples: list[int]
    urgent: bool = False
    is_needed: bool = False
    buffer: Buffer | None = None
    error: PixCrawlerError | None = None
    undecoded: int = field(init=False)

    def __post_init__(self) -> None:
        """All samples are still to be decoded."""
        self.undecoded = len(self.samples)

    def append(self, index: int, stop: int) -> None:
        """Add a sample that follows the last, or lies within the segment."""
        self.samples.append(index)
        self.stop = max(self.stop, stop)
        self.undecoded += 1

    @property
    def size_bytes(self) -> int:
        """Length in bytes."""
        return self.stop - self.start

    @property
    def is_settled(self) -> bool:
        """Whether its bytes are there, or known not to come."""
        return self.buffer is not None or self.error is not None


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One image member of a run: the segment that brings its bytes and its index in the chunk's directory."""

    segment: Segment
    index: int

    @property
    def member(self) -> str:
        """The member's name."""
        return self.segment.opened.directory.name(self.index)

    def item(self, buffer: Buffer) -> Item:
        """The sample as the native decoder takes it, in the segment's bytes."""
        return buffer, self.segment.start, self.segment.opened.directory, self.index


class InOrder:
    """The samples of segments one after the other."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def __len__(self) -> int:
        """Samples of the segments taken in."""
        return len(self._samples)

    @property
    def wants_more(self) -> bool:
        """Whether another segment, if there is one, comes in before the next sample is known."""
        return not self._samples

    def add(self, segment: Segment) -> None:
        """Take in the next segment."""
        self._samples.extend(Sample(segment, index) for index in segment.samples)

    def take(self) -> Sample | None:
        """The next sample; None if there is none."""
        return self._samples.popleft() if self._samples else None


class Shuffled:
    """Samples drawn at random from a window of segments, each with the same chance.

    The window is filled up before each draw: which samples are drawn depends on the segments and the random numbers,
    not on when bytes come. It begins small, so that the first samples do not wait for all of it, and takes in two
    segments for each one that is used up until it is full.

    Args:
        random: Random numbers.
        window_bytes: Segments come in until they have this size together: it is exceeded by a part of the last one.
    """

    _FIRST_BYTES = _SEGMENT_BYTES

    def __init__(self, random: Random, window_bytes: int) -> None:
        self._random = random
        self._full_bytes = window_bytes
        self._wanted_bytes = min(self._FIRST_BYTES, window_bytes)
        self._held_bytes = 0
        self._samples: list[Sample] = []
        self._left: dict[Segment, int] = {}

    def __len__(self) -> int:
        """Samples of the segments taken in."""
        return len(self._samples)

    @property
    def wants_more(self) -> bool:
        """Whether another segment, if there is one, comes in before the next sample is known."""
        return self._held_bytes < self._wanted_bytes or not self._samples

    def add(self, segment: Segment) -> None:
        """Take in the next segment."""
        self._samples.extend(Sample(segment, index) for index in segment.samples)
        self._left[segment] = len(segment.samples)
        self._held_bytes += segment.size_bytes

    def take(self) -> Sample | None:
        """The next sample; None if there is none."""
        samples = self._samples
        if not samples:
            return None
        at = self._random.randrange(len(samples))
        sample, samples[at] = samples[at], samples[-1]
        samples.pop()
        segment = sample.segment
        self._left[segment] -= 1
        if not self._left[segment]:
            del self._left[segment]
            self._held_bytes -= segment.size_bytes
            self._wanted_bytes = min(self._wanted_bytes + segment.size_bytes, self._full_bytes)
        return sample


def segment_sizes(is_remote: bool) -> Iterator[int]:
    """The target sizes in bytes of a run's segments: 1, 2, then always 4 MiB from a server; 4 MiB from a disk."""
    size = _FIRST_SEGMENT_BYTES if is_remote else _SEGMENT_BYTES
    while True:
        yield size
        size = min(size * 2, _SEGMENT_BYTES)


def plan_segments(
    opened: OpenedChunk,
    samples: Sequence[int],
    sizes: Iterator[int],
    *,
    urgent: int = 0,
    one_by_one: bool = False,
) -> list[Segment]:
    """Group samples into segments in the order in which they are used.

    A segment ends where its target size would be passed, where the next member does not follow closely in the file, and
    after the first batch's last sample, so that nothing of the second delays the first.

    Args:
        opened: The chunk.
        samples: Indices into its directory, in order of use.
        sizes: Target sizes in bytes; one is taken for each segment.
        urgent: How many of the first samples belong to the run's first batch.
        one_by_one: Give each sample its own segment: members that are files of their own fail alone.

    Returns:
        Segments whose ``samples``, put together, are ``samples``. Each holds at least one.
    """
    segments: list[Segment] = []
    target = 0
    for position, index in enumerate(samples):
        start, stop = opened.directory.extent(index)
        last = segments[-1] if segments else None
        fits = (
            last is not None
            and not one_by_one
            and position != urgent
            # Members that claim the same bytes are refused, but must not cost a request each.
            and last.start <= start <= last.stop + _GAP_BYTES
            and stop - last.start <= target
        )
        if fits and last is not None:
            last.append(index, stop)
        else:
            target = next(sizes)
            segments.append(Segment(opened, start, stop, [index], urgent=position < urgent))
    return segments


class ByteBudget:
    """Bytes that a run may hold at once, in segments and decoded batches. Not a lock: whoever uses it holds the run's.

    Segments may take half at most, so that decoded batches always find room. The segment that is needed next and the
    batch that is delivered next are granted whatever they need (:meth:`take_segment` with nothing held or with
    ``is_needed``, :meth:`take_output` with ``is_next``): so what is larger than the budget runs alone instead of
    waiting for ever.

    Args:
        limit_bytes: The bound.
        segments_ahead: Segments of full size that may be held: as many as hide the latency, and no more, since memory
            that is used again is warm and fresh memory is not. None for as many as fit.
    """

    def __init__(self, limit_bytes: int, segments_ahead: int | None) -> None:
        self.limit_bytes = limit_bytes
        self.segment_limit_bytes = limit_bytes // 2
        if segments_ahead is not None:
            self.segment_limit_bytes = min(self.segment_limit_bytes, segments_ahead * _SEGMENT_BYTES)
        self.segment_bytes = 0
        self.output_bytes = 0
        self._has_warned = False

    def take_segment(self, size_bytes: int, *, is_needed: bool = False) -> bool:
        """Account for a segment, if it fits, none is held, or nothing goes on without it."""
        held = self.segment_bytes
        total = held + self.output_bytes + size_bytes
        if held and not is_needed and (held + size_bytes > self.segment_limit_bytes or total > self.limit_bytes):
            return False
        self._warn_if_large(size_bytes, size_bytes, "a segment")
        self.segment_bytes += size_bytes
        return True

    def return_segment(self, size_bytes: int) -> None:
        """A segment was released."""
        self.segment_bytes -= size_bytes

    def take_output(self, size_bytes: int, *, is_next: bool) -> bool:
        """Account for decoded images, if they fit or are those that the consumer waits for."""
        if not is_next and self.segment_bytes + self.output_bytes + size_bytes > self.limit_bytes:
            return False
        # The consumer has one in hand while the next is decoded.
        self._warn_if_large(size_bytes, 2 * size_bytes, "a batch")
        self.output_bytes += size_bytes
        return True

    def return_output(self, size_bytes: int) -> None:
        """Decoded images were handed out."""
        self.output_bytes -= size_bytes

    def _warn_if_large(self, size_bytes: int, needed_bytes: int, what: str) -> None:
        if needed_bytes > self.limit_bytes and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "%s of %d bytes is larger than memory_limit leaves room for: it runs alone, in %d bytes at once "
                "where %d are left after decoding and reuse",
                what,
                size_bytes,
                needed_bytes,
                self.limit_bytes,
            )


class RunLock:
    """The one lock of a run, through which its threads learn that something changed, or that the run is over.

    Attributes:
        changed: For the decode threads: samples, bytes, room for images.
        deliverable: For the consumer: images, or why none come. On the same lock, as the next one is.
        fetchable: For the fetch threads, which are many and seldom have anything to do.
        is_closed: Whether the run is over.
    """

    def __init__(self) -> None:
        lock = threading.RLock()
        self.changed = threading.Condition(lock)
        self.deliverable = threading.Condition(lock)
        self.fetchable = threading.Condition(lock)
        self.is_closed = False

    def close(self) -> None:
        """Wake every thread to end."""
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()
            self.deliverable.notify_all()
            self.fetchable.notify_all()
