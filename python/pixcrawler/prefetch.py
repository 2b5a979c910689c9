"""Threads that open chunks and fetch segments ahead of decoding, in the order of use, within the byte budget."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING

from pixcrawler.downloader import RangesUnsupportedError
from pixcrawler.exceptions import PixCrawlerError
from pixcrawler.schedule import OpenedChunk, Sample, Segment, plan_segments, segment_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pixcrawler._native import Buffer
    from pixcrawler.records import ChunkRecord
    from pixcrawler.schedule import ByteBudget, RunLock
    from pixcrawler.sources import Source

__all__ = ["NoSample", "Plan", "Prefetcher"]

# Chunks whose directory is read before the segments of the one in work are all asked for.
_OPEN_AHEAD = 2


@dataclass(eq=False)
class Plan:
    """What became of a chunk: its segments in order of use, or why there are none."""

    chunk: ChunkRecord
    segments: deque[Segment] = field(default_factory=deque)
    error: PixCrawlerError | None = None


class NoSample(Enum):
    """Why there is no next sample."""

    YET = auto()
    LEFT = auto()


class Prefetcher:
    """Fetches the segments of a run.

    The first batch's segments come before everything else: while one of them is under way from a server, nothing
    further is asked for, so that they share the line with nobody.

    Args:
        source: Where chunks come from.
        chunks: The chunks, in order of use.
        lock: The run's lock. All state here is behind it.
        budget: Bytes that may be held.
        first_batch: Samples of the first batch.
        max_workers: Requests at once.

    Attributes:
        threads: They end when the run's lock is closed.
        bytes_fetched: Bytes of segments that came, so far.
        num_samples: Samples in the directories opened, so far.
    """

    def __init__(
        self,
        source: Source,
        chunks: Sequence[ChunkRecord],
        lock: RunLock,
        budget: ByteBudget,
        *,
        first_batch: int,
        max_workers: int,
    ) -> None:
        self._source = source
        self._chunks = chunks
        self._lock = lock
        self._budget = budget
        self._sizes = segment_sizes(source.is_remote)
        self._max_workers = max_workers
        self._next_open = 0
        # By number: None while a chunk is being opened, its plan until those before it are planned too.
        self._opening: dict[int, Plan | None] = {}
        self._plans: deque[Plan] = deque()
        self._planned = 0
        self._queue: deque[Segment] = deque()
        self._urgent_samples_left = first_batch if source.is_remote else 0
        self._urgent_in_flight = 0
        self._whole_chunks = False
        # Whether a fetch thread was refused room since the last time that some became free.
        self._waits_for_room = False
        self._error: BaseException | None = None
        self.bytes_fetched = 0
        self.num_samples = 0
        self.threads = [
            threading.Thread(target=self._work, name=f"pixcrawler-fetch-{number}", daemon=True)
            for number in range(max_workers if source.is_remote else 1)
        ]

    def start(self) -> None:
        """Begin fetching."""
        for thread in self.threads:
            thread.start()

    # The decoder's side; the run's lock is held in all of these.

    def next_sample(self) -> Sample | Plan | NoSample:
        """The next sample in order of use; a plan whose chunk cannot be opened; or why there is none.

        Raises:
            BaseException: A fetch thread failed in a way that it should not.
        """
        if self._error is not None:
            raise self._error
        while self._plans:
            plan = self._plans[0]
            if plan.error is not None:
                return self._plans.popleft()
            if plan.segments:
                return self._take(plan.segments)
            self._plans.popleft()
        return NoSample.LEFT if self._planned == len(self._chunks) else NoSample.YET

    @staticmethod
    def _take(segments: deque[Segment]) -> Sample:
        segment = segments[0]
        index = segment.samples[len(segment.samples) - segment.unassigned]
        segment.unassigned -= 1
        if segment.unassigned == 0:
            segments.popleft()
        return Sample(segment, index)

    def release(self, segment: Segment) -> None:
        """Note that one more of a segment's samples is decoded; after the last its bytes are let go."""
        segment.undecoded -= 1
        if segment.undecoded == 0:
            segment.buffer = None
            self._budget.return_segment(segment.size_bytes)
            self._lock.changed.notify_all()
            self.note_room()

    def note_room(self) -> None:
        """Note that something that was accounted for is so no more."""
        if self._waits_for_room:
            self._waits_for_room = False
            self._lock.fetchable.notify_all()

    # The fetch threads.

    def _work(self) -> None:
        try:
            while (task := self._next_task()) is not None:
                task()
        except BaseException as exc:  # noqa: BLE001 - whatever it is, the consumer must hear of it instead of waiting
            with self._lock.changed:
                self._error = exc
                self._lock.changed.notify_all()

    def _next_task(self) -> Callable[[], None] | None:
        """What to do next; waits until something may be done; None when nothing is left."""
        with self._lock.changed:
            while not self._lock.is_closed:
                if self._may_open():
                    return self._begin_open()
                if self._queue:
                    segment = self._queue[0]
                    waits = self._urgent_in_flight > 0 and not segment.urgent
                    if not waits and self._take_room(segment.size_bytes):
                        self._queue.popleft()
                        self._urgent_in_flight += segment.urgent
                        return partial(self._fetch, segment)
                elif self._planned == len(self._chunks):
                    return None
                self._lock.fetchable.wait()
            return None

    def _take_room(self, size_bytes: int) -> bool:
        taken = self._budget.take_segment(size_bytes)
        self._waits_for_room |= not taken
        return taken

    def _may_open(self) -> bool:
        if self._next_open == len(self._chunks) or len(self._opening) >= _OPEN_AHEAD:
            return False
        if self._urgent_samples_left > 0:
            return len(self._opening) == 0
        if self._urgent_in_flight or (self._queue and self._queue[0].urgent):
            return False
        if self._whole_chunks:
            # At most two chunks in memory: one being decoded, one on its way.
            size = self._chunks[self._next_open].size_bytes or 0
            return not self._opening and self._take_room(size)
        return len(self._queue) <= self._max_workers

    def _begin_open(self) -> Callable[[], None]:
        number = self._next_open
        self._next_open += 1
        self._opening[number] = None
        # In whole-chunk mode the bytes were accounted for by _may_open.
        return partial(self._open, number, whole=self._whole_chunks and self._urgent_samples_left <= 0)

    def _open(self, number: int, *, whole: bool) -> None:
        chunk = self._chunks[number]
        plan = Plan(chunk)
        opened, buffer = None, None
        try:
            if not whole:
                try:
                    opened = OpenedChunk.of(chunk, self._source.open(chunk))
                except RangesUnsupportedError:
                    whole = True
                    self._account_whole(number, chunk)
            if whole:
                members, buffer = self._source.open_whole(chunk)
                opened = OpenedChunk.of(chunk, members)
        except PixCrawlerError as exc:
            plan.error = exc.with_place(chunk_id=chunk.id)
        with self._lock.changed:
            if opened is not None:
                self._plan(plan, opened, buffer)
            if whole and not plan.segments:
                self._budget.return_segment(chunk.size_bytes or 0)
            self._opening[number] = plan
            self._publish()
            self._lock.changed.notify_all()
            self._lock.fetchable.notify_all()

    def _account_whole(self, number: int, chunk: ChunkRecord) -> None:
        """The server was found to send whole chunks only: wait until this one is next in order, and fits.

        In order, because a later chunk that took the room first would wait for this one to be used, for ever.
        """
        with self._lock.changed:
            self._whole_chunks = True
            while not self._lock.is_closed:
                if self._planned == number and self._take_room(chunk.size_bytes or 0):
                    return
                self._lock.fetchable.wait()

    def _plan(self, plan: Plan, opened: OpenedChunk, buffer: Buffer | None) -> None:
        samples = opened.directory.samples
        urgent = min(max(self._urgent_samples_left, 0), len(samples))
        self._urgent_samples_left -= len(samples)
        self.num_samples += len(samples)
        if buffer is not None:
            self.bytes_fetched += len(buffer)
            if samples:
                # Its size is the one that was accounted for.
                plan.segments.append(Segment(opened, 0, plan.chunk.size_bytes or 0, samples, buffer=buffer))
            return
        one_by_one = self._source.is_loose
        plan.segments.extend(plan_segments(opened, samples, self._sizes, urgent=urgent, one_by_one=one_by_one))

    def _publish(self) -> None:
        """Queue the segments of chunks that are opened, in order."""
        while self._opening.get(self._planned) is not None:
            plan = self._opening.pop(self._planned)
            self._planned += 1
            if plan is not None:
                self._plans.append(plan)
                self._queue.extend(segment for segment in plan.segments if not segment.is_settled)

    def _fetch(self, segment: Segment) -> None:
        buffer, error = None, None
        try:
            buffer = self._source.read(segment.opened.chunk, segment.start, segment.stop)
        except PixCrawlerError as exc:
            error = exc.with_place(chunk_id=segment.opened.chunk.id)
        with self._lock.changed:
            segment.buffer, segment.error = buffer, error
            self.bytes_fetched += segment.size_bytes if buffer is not None else 0
            self._urgent_in_flight -= segment.urgent
            self._lock.changed.notify_all()
            if segment.urgent:
                self._lock.fetchable.notify_all()
