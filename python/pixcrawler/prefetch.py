"""Threads that open chunks and fetch segments ahead of decoding, in the order of use, within the byte budget."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING

from pixcrawler.downloader import RangesUnsupportedError
from pixcrawler.exceptions import DownloadError, PixCrawlerError
from pixcrawler.schedule import OpenedChunk, Segment, plan_segments, segment_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pixcrawler._native import Buffer
    from pixcrawler.records import ChunkRecord
    from pixcrawler.schedule import ByteBudget, InOrder, Part, RunLock, Sample, Shuffled
    from pixcrawler.sources import Source

__all__ = ["NoSample", "Plan", "Prefetcher"]

# Parts that are opened before the segments of the one in work are all asked for.
_OPEN_AHEAD = 2


@dataclass(eq=False)
class Plan:
    """What became of a part: its segments in order, or why the chunk cannot be opened."""

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
        parts: What is read, in order. A part whose chunk is opened already costs no request for its directory.
        order: In which order the samples of its segments are used.
        lock: The run's lock. All state here is behind it.
        budget: Bytes that may be held.
        first_batch: Samples of the first batch.
        max_workers: Requests at once.

    Attributes:
        threads: They end when the run's lock is closed.
        bytes_fetched: Bytes of segments that came, so far.
        num_samples: Samples of the parts opened, so far.
    """

    def __init__(
        self,
        source: Source,
        parts: Sequence[Part],
        order: InOrder | Shuffled,
        lock: RunLock,
        budget: ByteBudget,
        *,
        first_batch: int,
        max_workers: int,
    ) -> None:
        self._source = source
        self._parts = parts
        self._order = order
        self._lock = lock
        self._budget = budget
        self._sizes = segment_sizes(source.is_remote)
        self._max_workers = max_workers
        self._next_open = 0
        # By number: None while a part is being opened, its plan until those before it are planned too.
        self._opening: dict[int, Plan | None] = {}
        self._plans: deque[Plan] = deque()
        self._planned = 0
        self._queue: deque[Segment] = deque()
        self._urgent_samples_left = first_batch if source.is_remote else 0
        self._urgent_in_flight = 0
        self._whole_chunks = False
        # Whether a fetch thread was refused room since the last time that some became free.
        self._waits_for_room = False
        # Whether the next sample is not known before another part is planned.
        self._wants_parts = False
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
        order = self._order
        while order.wants_more:
            if not self._plans:
                if self._planned == len(self._parts):
                    break
                if not self._wants_parts:
                    self._wants_parts = True
                    self._lock.fetchable.notify_all()
                return NoSample.YET
            plan = self._plans[0]
            if plan.segments:
                order.add(plan.segments.popleft())
            else:
                self._plans.popleft()
                if plan.error is not None:
                    return plan
        return order.take() or NoSample.LEFT

    def need(self, segment: Segment) -> None:
        """Note that nothing goes on without a segment: it is fetched next, whether there is room for it or not.

        In the order of the segments there is always room for it. Where samples are drawn from several, those that are
        held may all be used later.
        """
        if segment.is_needed:
            return
        segment.is_needed = True
        if segment in self._queue:
            self._queue.remove(segment)
            self._queue.appendleft(segment)
            self._lock.fetchable.notify_all()

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
                    if not waits and self._take_room(segment.size_bytes, is_needed=segment.is_needed):
                        self._queue.popleft()
                        self._urgent_in_flight += segment.urgent
                        return partial(self._fetch, segment)
                elif self._planned == len(self._parts):
                    return None
                self._lock.fetchable.wait()
            return None

    def _take_room(self, size_bytes: int, *, is_needed: bool) -> bool:
        taken = self._budget.take_segment(size_bytes, is_needed=is_needed)
        self._waits_for_room |= not taken
        return taken

    def _take_room_for_chunk(self, size_bytes: int) -> bool:
        # Samples that wait to be drawn until there is another part hold their segments.
        return self._take_room(size_bytes, is_needed=self._wants_parts and len(self._order) > 0)

    def _may_open(self) -> bool:
        if self._next_open == len(self._parts) or len(self._opening) >= _OPEN_AHEAD:
            return False
        if self._urgent_samples_left > 0:
            return len(self._opening) == 0
        if self._urgent_in_flight or (self._queue and self._queue[0].urgent):
            return False
        if self._is_whole(self._next_open):
            # At most two chunks in memory: one being decoded, one on its way.
            size = self._parts[self._next_open].chunk.size_bytes or 0
            return not self._opening and self._take_room_for_chunk(size)
        return self._wants_parts or len(self._queue) <= self._max_workers

    def _is_whole(self, number: int) -> bool:
        """Whether a part is a chunk that the server sends as a whole."""
        return self._whole_chunks and self._parts[number].opened is None

    def _begin_open(self) -> Callable[[], None]:
        number = self._next_open
        self._next_open += 1
        self._opening[number] = None
        # In whole-chunk mode the bytes were accounted for by _may_open.
        return partial(self._open, number, whole=self._is_whole(number) and self._urgent_samples_left <= 0)

    def _open(self, number: int, *, whole: bool) -> None:
        part = self._parts[number]
        chunk = part.chunk
        plan = Plan(chunk)
        opened, buffer = part.opened, None
        try:
            if opened is None and not whole:
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
                samples = opened.directory.samples if part.opened is None else part.samples
                self._plan(plan, opened, samples, buffer)
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
                if self._planned == number and self._take_room_for_chunk(chunk.size_bytes or 0):
                    return
                self._lock.fetchable.wait()

    def _plan(self, plan: Plan, opened: OpenedChunk, samples: Sequence[int], buffer: Buffer | None) -> None:
        urgent = min(max(self._urgent_samples_left, 0), len(samples))
        self._urgent_samples_left -= len(samples)
        self.num_samples += len(samples)
        if buffer is not None:
            self.bytes_fetched += len(buffer)
            if samples:
                # Its size is the one that was accounted for.
                plan.segments.append(Segment(opened, 0, plan.chunk.size_bytes or 0, list(samples), buffer=buffer))
            return
        one_by_one = self._source.is_loose
        plan.segments.extend(plan_segments(opened, samples, self._sizes, urgent=urgent, one_by_one=one_by_one))

    def _publish(self) -> None:
        """Queue the segments of parts that are opened, in order."""
        while self._opening.get(self._planned) is not None:
            plan = self._opening.pop(self._planned)
            self._planned += 1
            if plan is not None:
                self._wants_parts = False
                self._plans.append(plan)
                self._queue.extend(segment for segment in plan.segments if not segment.is_settled)

    def _fetch(self, segment: Segment) -> None:
        buffer: Buffer | None = None
        error: PixCrawlerError | None = None
        try:
            buffer = self._source.read(segment.opened.chunk, segment.start, segment.stop)
        except PixCrawlerError as exc:
            error = exc.with_place(chunk_id=segment.opened.chunk.id)
        except RangesUnsupportedError:
            # It did send ranges when the directory was read, before this pass.
            message = f"expected bytes {segment.start} to {segment.stop - 1}, the server now sends whole chunks only"
            error = DownloadError(message, code="range_mismatch", chunk_id=segment.opened.chunk.id, retryable=True)
        with self._lock.changed:
            segment.buffer, segment.error = buffer, error
            self.bytes_fetched += segment.size_bytes if buffer is not None else 0
            self._urgent_in_flight -= segment.urgent
            self._lock.changed.notify_all()
            if segment.urgent:
                self._lock.fetchable.notify_all()
