"""From ranges of chunks to sealed segments: requests, resumption, checks, refreshed addresses.

A body is written as it arrives into a buffer of the length that was asked for. After a failure the range is resumed
from the byte it reached, with the ETag of the chunk's first answer, so that no segment mixes two versions of a chunk.

One pass has one downloader: what it counts, what it may spend on a server that fails, which version of each chunk it
reads, and what ends when the pass ends.
"""

from __future__ import annotations

import hashlib
import re
import threading
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol, TypeVar

from pixcrawler._constants import CHUNK_GIVEN_UP, RUN_GIVEN_UP, TAIL_BYTES
from pixcrawler._fork import restart_in_children
from pixcrawler._native import SegmentBuffer
from pixcrawler._retry import Attempts, Clock, RetryPolicy
from pixcrawler.exceptions import (
    DownloadError,
    IntegrityError,
    LimitError,
    NetworkError,
    NotFoundError,
    PixCrawlerError,
    ProtocolError,
    escape,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pixcrawler._http import Answer, Http
    from pixcrawler.limits import Limits
    from pixcrawler.records import ChunkRecord

__all__ = ["ChunkFile", "Downloader", "RangesUnsupportedError", "Tail"]

_T = TypeVar("_T")

_OK = 200
_PARTIAL = 206
_UNSATISFIABLE = 416
_REDIRECTED = range(300, 400)
_LENGTH = re.compile(r"\d{1,18}\Z", re.ASCII)
# What a server of presigned addresses says of one that has expired.
_EXPIRED = frozenset({401, 403, 410})
_CONTENT_RANGE = re.compile(r"\s*bytes\s+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18}|\*)\s*\Z", re.IGNORECASE | re.ASCII)
# Taken of a body that is no chunk; the text shown of them is shorter.
_SHOWN_BYTES = 800
# close() waits this long for requests to notice; only one that is still connecting can take longer.
_CLOSE_WAIT_S = 0.9


class RangesUnsupportedError(Exception):
    """The server sends whole chunks only. Internal: whoever reads a source takes the whole-chunk path then."""


class Tail(NamedTuple):
    """The end of a chunk.

    Attributes:
        buffer: Sealed.
        start: Position in the chunk of the buffer's first byte.
        size_bytes: Length of the whole chunk.
    """

    buffer: SegmentBuffer
    start: int
    size_bytes: int


class ChunkFile(Protocol):
    """Where :meth:`Downloader.fetch_file` puts a chunk.

    Attributes:
        filled: Bytes that are there.
        etag: The strong ETag that they came with; None if that is not known.
    """

    filled: int
    etag: str | None

    def restart(self, etag: str | None) -> None:
        """Discard what is there; what is written next comes with this ETag."""

    def write(self, data: bytes) -> None:
        """Append."""


@dataclass(slots=True)
class _ChunkState:
    """What answers have told about a chunk so far.

    Attributes:
        chunk: The record, with the latest address.
        etag: Of the first answer, if strong.
        size_bytes: From the catalogue or the first answer.
        has_ranges: Whether a Range request was answered as such; None before the first answer.
        whole_answers: Range requests that were answered with the whole chunk.
        given_up: Ranges in a row whose retries were used up.
        is_direct: Whether it is where its address says, and not where that redirects to.
    """

    chunk: ChunkRecord
    etag: str | None = None
    size_bytes: int | None = None
    has_ranges: bool | None = None
    whole_answers: int = 0
    given_up: int = 0
    is_direct: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class _Fetch:
    """A range while it arrives.

    Attributes:
        start, stop: Bytes [start, stop) of the chunk; both None for the last ``TAIL_BYTES`` of a chunk of unknown size.
        buffer: None until the length is known.
    """

    start: int | None = None
    stop: int | None = None
    buffer: SegmentBuffer | None = None

    @property
    def filled(self) -> int:
        return 0 if self.buffer is None else self.buffer.filled

    @property
    def length(self) -> int | None:
        return None if self.start is None or self.stop is None else self.stop - self.start

    def restart(self) -> None:
        """Discard what arrived."""
        self.buffer = None if self.length is None else SegmentBuffer(self.length)


class Downloader:
    """Fetches ranges of one job's chunks. Thread-safe: each call runs in its caller's thread and blocks.

    Args:
        http: Makes the requests.
        limits: Bounds on untrusted input.
        policy: When to try again.
        clock: Where time and chance come from.
        address: The absolute address of a chunk.
        refresh: Asks the catalogue for all chunks anew, for fresh presigned addresses.
        max_workers: Calls at once.
    """

    def __init__(
        self,
        http: Http,
        *,
        limits: Limits,
        policy: RetryPolicy,
        clock: Clock,
        address: Callable[[ChunkRecord], str],
        refresh: Callable[[], Iterable[ChunkRecord]],
        max_workers: int,
    ) -> None:
        self._http = http
        self._limits = limits
        self._policy = policy
        self._clock = clock
        self._address = address
        self._refresh = refresh
        self._max_workers = max_workers
        # Records with fresh addresses, by chunk; shared with the downloaders made from this one.
        self._fresh: dict[str, ChunkRecord] = {}
        self._refresh_lock = threading.Lock()
        restart_in_children(self)
        # Single samples may be asked for for days: no failure is held against a later call.
        self._is_run = False
        self._begin()

    def _begin(self) -> None:
        self._cancelled = threading.Event()
        self._idle = threading.Condition()
        self._running = 0
        self._requests = 0
        self._retries = 0
        self._bytes = 0
        self._given_up = 0
        self._has_seen_ranges = False
        self._states: dict[str, _ChunkState] = {}

    def start_after_fork(self) -> None:
        """Locks, and calls under way, are the parent's. What answers told about the chunks stays true."""
        states = {name: replace(state, lock=threading.Lock()) for name, state in self._states.items()}
        was_cancelled = self._cancelled.is_set()
        self._refresh_lock = threading.Lock()
        self._begin()
        self._states = states
        if was_cancelled:
            self.cancel()

    def for_run(self) -> Downloader:
        """A downloader of the same chunks for one pass, with counters, versions and an end of its own.

        When the retries of several ranges in a row are used up, of one chunk or of the whole run, it asks for no more.
        """
        run = copy(self)
        restart_in_children(run)
        run._is_run = True  # noqa: SLF001 - a copy of itself
        run._begin()  # noqa: SLF001
        return run

    def cancel(self) -> None:
        """End all calls under way: each raises NetworkError (code ``closed``) within a second."""
        self._cancelled.set()

    def interrupt(self) -> None:
        """The same for the calls that are under way now; later ones are served, but not those of a pass."""
        cancelled = self._cancelled
        if not self._is_run:
            self._cancelled = threading.Event()
        cancelled.set()

    def close(self) -> bool:
        """Cancel, and wait for up to a second.

        Returns:
            Whether all calls have ended.
        """
        self.cancel()
        with self._idle:
            return self._idle.wait_for(lambda: self._running == 0, _CLOSE_WAIT_S)

    def stats(self) -> dict[str, int]:
        """Counters since construction: requests, retries, bytes (of bodies of chunks, those discarded included)."""
        with self._idle:
            return {"requests": self._requests, "retries": self._retries, "bytes": self._bytes}

    def fetch_tail(self, chunk: ChunkRecord) -> Tail:
        """The last 65,536 bytes of a chunk, or all of a shorter one.

        Args:
            chunk: The chunk.

        Returns:
            The bytes, their position, and the chunk's size as the server tells it.

        Raises:
            RangesUnsupportedError: Only the whole chunk can be had.
            PixCrawlerError: As :meth:`fetch_range`; IntegrityError if the size is not the catalogue's; LimitError if it
                is larger than the limit.
        """
        fetch = _Fetch()
        buffer = self._fetch_range(chunk, fetch)
        start = fetch.start or 0
        return Tail(buffer, start, start + len(buffer))

    def fetch_range(self, chunk: ChunkRecord, start: int, stop: int) -> SegmentBuffer:
        """Bytes [start, stop) of a chunk.

        Args:
            chunk: The chunk.
            start: First byte.
            stop: End, larger than ``start`` and at most the chunk's size.

        Returns:
            A sealed buffer of ``stop - start`` bytes.

        Raises:
            RangesUnsupportedError: Only the whole chunk can be had.
            DownloadError: The bytes cannot be had; retries are used up.
            IntegrityError: The chunk on the server is not the catalogue's, or not that of earlier ranges.
            AuthenticationError: The server refuses access, also with a fresh address.
            NetworkError: The request was cancelled, or a redirect or certificate is not acceptable.
            ValueError: The range is empty.
        """
        if not 0 <= start < stop:
            message = f"not a range: {start} to {stop}"
            raise ValueError(message)
        return self._fetch_range(chunk, _Fetch(start, stop, SegmentBuffer(stop - start)))

    def fetch_many(self, ranges: Sequence[tuple[ChunkRecord, int, int]], at_once: int) -> list[SegmentBuffer | None]:
        """Many small ranges, by one thread, where everything goes well.

        Args:
            ranges: Of each its chunk, first byte and end.
            at_once: Requests under way.

        Returns:
            For each a sealed buffer, as :meth:`fetch_range` gives it; or None: that range is still to be fetched, and
            whatever is wrong with it to be found out, in the ordinary way.
        """
        buffers: list[SegmentBuffer | None] = [None] * len(ranges)
        cancelled = self._cancelled
        states = [self._state(chunk) for chunk, _, _ in ranges]
        asked = [
            position
            for position, state in enumerate(states)
            if state.chunk.url and state.is_direct and state.has_ranges is not False
        ]
        if not self._has_seen_ranges or cancelled.is_set():
            return buffers
        requests = []
        for position in asked:
            _, start, stop = ranges[position]
            etag = states[position].etag
            headers = {"range": f"bytes={start}-{stop - 1}"} | ({} if etag is None else {"if-range": etag})
            requests.append((self._address(states[position].chunk), headers))

        def take(number: int, answer: Answer) -> None:
            position = asked[number]
            _, start, stop = ranges[position]
            state = states[position]
            with self._idle:
                self._requests += 1
            if answer.status in _REDIRECTED:
                state.is_direct = False
            if answer.status == _PARTIAL and answer.encoding is None:
                with suppress(PixCrawlerError):
                    fetch = _Fetch(start, stop, SegmentBuffer(stop - start))
                    buffers[position] = self._take_range(state, fetch, answer)

        with self._counted():
            self._http.get_many(requests, take, at_once=at_once, cancelled=cancelled)
        return buffers

    def fetch_whole(self, chunk: ChunkRecord) -> SegmentBuffer:
        """A whole chunk by one streaming request, its size and SHA-256 checked where the catalogue gives them.

        Args:
            chunk: The chunk.

        Returns:
            A sealed buffer.

        Raises:
            PixCrawlerError: As :meth:`fetch_range`; LimitError if the chunk is larger than the limit.
        """
        state = self._state(chunk)

        def attempt(url: str, attempts: Attempts) -> SegmentBuffer:
            self._check_limit(chunk.size_bytes)
            # Every attempt starts from zero, so that bytes are no progress.
            with self._get(url, {}, attempts.cancelled) as answer:
                return self._take_whole(state, answer)

        return self._with_retries(state, attempt, lambda: "the whole chunk")

    def fetch_file(self, chunk: ChunkRecord, file: ChunkFile) -> None:
        """A whole chunk into a file, from the byte that the file has reached; its size is checked, its SHA-256 is not.

        What is there is kept if the server still has the version that it came from: by its ETag, or, where no ETag is
        known, for the caller to find by the SHA-256. Else the chunk is begun again.

        Args:
            chunk: The chunk.
            file: Where to. After an error it holds what came, to go on from.

        Raises:
            PixCrawlerError: As :meth:`fetch_range`; LimitError if the chunk is larger than the limit.
            OSError: The file cannot be written.
        """
        state = self._state(chunk)
        with state.lock:
            state.etag = file.etag if file.filled else None

        def attempt(url: str, attempts: Attempts) -> None:
            self._check_limit(chunk.size_bytes)
            if file.filled and file.filled == state.size_bytes:
                return
            headers = {}
            if file.filled:
                headers["range"] = f"bytes={file.filled}-"
                if state.etag is not None:
                    headers["if-range"] = state.etag
            before = file.filled
            try:
                with self._get(url, headers, attempts.cancelled) as answer:
                    self._take_file(state, file, answer)
            except IntegrityError:
                # Another version than the one that was begun: nothing of both is mixed.
                self._forget_version(state, file)
                raise
            finally:
                if file.filled > before:
                    attempts.progressed(file.filled - before)

        self._with_retries(state, attempt, lambda: f"{file.filled} of {state.size_bytes} bytes")

    def _fetch_range(self, chunk: ChunkRecord, fetch: _Fetch) -> SegmentBuffer:
        state = self._state(chunk)
        if state.has_ranges is False:
            raise RangesUnsupportedError

        def attempt(url: str, attempts: Attempts) -> SegmentBuffer:
            if fetch.buffer is not None and fetch.filled == fetch.length:
                # Only the end of a chunked body was missing.
                return _sealed(fetch.buffer)
            headers = {"range": f"bytes=-{TAIL_BYTES}"}
            if fetch.start is not None and fetch.stop is not None:
                headers["range"] = f"bytes={fetch.start + fetch.filled}-{fetch.stop - 1}"
            if state.etag is not None:
                headers["if-range"] = state.etag
            before = fetch.filled
            try:
                with self._get(url, headers, attempts.cancelled) as answer:
                    return self._take_range(state, fetch, answer)
            finally:
                if fetch.filled > before:
                    attempts.progressed(fetch.filled - before)

        return self._with_retries(state, attempt, lambda: f"{fetch.filled} of {fetch.length} bytes from {fetch.start}")

    def _state(self, chunk: ChunkRecord) -> _ChunkState:
        state = self._states.get(chunk.id)
        if state is None:
            # setdefault is atomic: all threads share one state per chunk.
            known = self._fresh.get(chunk.id, chunk)
            state = self._states.setdefault(chunk.id, _ChunkState(known, size_bytes=chunk.size_bytes))
        return state

    def _with_retries(
        self, state: _ChunkState, attempt: Callable[[str, Attempts], _T], reached: Callable[[], str]
    ) -> _T:
        """Try until it succeeds or the policy ends it; every error that leaves names the chunk."""
        cancelled = self._cancelled
        attempts = Attempts(self._policy, self._clock, cancelled)
        may_refresh = True
        with self._counted():
            self._complete_address(state)
            self._check_budget(state)
            while True:
                used = state.chunk
                try:
                    result = attempt(self._address(used), attempts)
                except _ExpiredError as expired:
                    error: PixCrawlerError = expired.error
                    if may_refresh:
                        may_refresh = False
                        try:
                            self._refresh_address(state, used)
                        except PixCrawlerError as refused:
                            raise refused.with_place(chunk_id=used.id) from expired
                        continue
                except PixCrawlerError as failed:
                    error = failed
                else:
                    with self._idle:
                        self._given_up = state.given_up = 0
                    return result
                error.with_place(chunk_id=state.chunk.id)
                if cancelled.is_set():
                    raise NetworkError("the dataset was closed", code="closed", chunk_id=state.chunk.id) from error
                try:
                    attempts.failed(error)
                except PixCrawlerError:
                    self._give_up(state, error, f"after {attempts.total} failed attempts, with {reached()}")
                with self._idle:
                    self._retries += 1

    def _give_up(self, state: _ChunkState, error: PixCrawlerError, what: str) -> NoReturn:
        """Raise what a range's last failure means."""
        if isinstance(error, IntegrityError):
            raise error from error.__cause__
        if error.retryable:
            with self._idle:
                self._given_up += 1
                state.given_up += 1
        elif not (isinstance(error, NotFoundError | ProtocolError) or error.code == "refused"):
            raise error from error.__cause__
        detail = f"{what}: {error.code}: {error.detail}"
        raise DownloadError(
            detail, code="download_failed", chunk_id=state.chunk.id, retryable=error.retryable
        ) from error

    def _check_budget(self, state: _ChunkState) -> None:
        """Refuse to ask for more where nothing comes: a server that is down must not cost each chunk its retries."""
        if not self._is_run:
            return
        if self._given_up >= max(RUN_GIVEN_UP, 2 * self._max_workers):
            message = f"{self._given_up} downloads in a row failed after all their retries, and none between them came"
            raise DownloadError(message, code="server_down", chunk_id=state.chunk.id, retryable=True)
        if state.given_up >= CHUNK_GIVEN_UP:
            message = f"{state.given_up} of its ranges failed after all their retries; the rest is not asked for"
            raise DownloadError(message, code="download_failed", chunk_id=state.chunk.id, retryable=True)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._idle:
            self._running += 1
        try:
            yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    @contextmanager
    def _get(self, url: str, headers: dict[str, str], cancelled: threading.Event | None) -> Iterator[Answer]:
        """One request for a chunk's bytes; statuses other than 200, 206 and 416 raise."""
        if cancelled is not None and cancelled.is_set():
            message = "the dataset was closed"
            raise NetworkError(message, code="closed")
        with self._idle:
            self._requests += 1
        with self._http.get(url, headers, cancelled=cancelled) as answer:
            if answer.status not in {_OK, _PARTIAL, _UNSATISFIABLE}:
                error = self._http.error_of(answer)
                # A plain address at the API itself does not expire: there the key is wrong.
                if answer.status in _EXPIRED and (answer.foreign or "?" in url):
                    raise _ExpiredError(error)
                raise error
            if (encoding := answer.encoding) is not None:
                # Its bytes are not those of the chunk: no range of it can be resumed. The next answer may be plain.
                message = f"Content-Encoding {escape(encoding, limit=40)}, which was not asked for"
                raise ProtocolError(message, code="protocol", retryable=True)
            yield answer

    def _complete_address(self, state: _ChunkState) -> None:
        """Ask for an address that a pickle of the dataset left out."""
        used = state.chunk
        if not used.url:
            try:
                self._refresh_address(state, used)
            except PixCrawlerError as refused:
                raise refused.with_place(chunk_id=used.id) from refused.__cause__

    def _refresh_address(self, state: _ChunkState, used: ChunkRecord) -> None:
        with self._refresh_lock:
            # One answer of the catalogue serves all chunks, and all threads that wait here.
            if self._fresh.get(used.id, used) is used:
                self._fresh.update({chunk.id: chunk for chunk in self._refresh()})
            fresh = self._fresh.get(used.id, used)
        if fresh is used:
            message = "the catalogue does not hold it any more"
            raise NotFoundError(message, code="not_found", chunk_id=used.id)
        if (fresh.size_bytes, fresh.sha256) != (used.size_bytes, used.sha256):
            message = "the catalogue gives it another size or SHA-256 than before"
            raise IntegrityError(message, code="chunk_changed", chunk_id=used.id)
        state.chunk = fresh

    def _take_range(self, state: _ChunkState, fetch: _Fetch, answer: Answer) -> SegmentBuffer:
        """Check that the answer is the part that was asked for, and append it."""
        if answer.status == _OK:
            self._refuse_whole(state, answer)
        first, last, total = _content_range(answer)
        self._check_version(state, answer, total)
        if answer.status == _UNSATISFIABLE:
            if total != 0 or fetch.start is not None:
                message = f"status 416 for a range from {fetch.start}, of {total} bytes"
                raise DownloadError(message, code="range_mismatch", retryable=True)
            fetch.start = fetch.stop = 0
        else:
            _place(fetch, first, last, total)
        declared = _content_length(answer)
        if first is not None and last is not None and declared not in {None, last - first + 1}:
            message = f"Content-Length {declared} for {last - first + 1} bytes"
            raise DownloadError(message, code="range_mismatch", retryable=True)
        if fetch.buffer is None:
            fetch.restart()
        buffer = fetch.buffer
        assert buffer is not None, "restart() makes one once start and stop are known"
        if answer.status == _PARTIAL:
            state.has_ranges = self._has_seen_ranges = True
            try:
                self._write(buffer, answer)
            except _OverlongError as exc:
                # Nothing of an answer that contradicts itself is kept.
                fetch.restart()
                message = "the body is longer than its Content-Range"
                raise DownloadError(message, code="range_mismatch", retryable=True) from exc
        return _sealed(buffer)

    def _take_file(self, state: _ChunkState, file: ChunkFile, answer: Answer) -> None:
        """Check that the answer is the chunk's rest, or all of it, and append it to the file."""
        first, last, total = _content_range(answer)
        if answer.status == _OK:
            # No range was asked for, or none is served, or the version that was begun is gone.
            self._forget_version(state, file)
            first, total = 0, _content_length(answer)
        elif (first, last) != (file.filled, -1 if total is None else total - 1) or answer.status != _PARTIAL:
            message = f"asked for the bytes from {file.filled} on, got status {answer.status}, {first} to {last}"
            self._forget_version(state, file)
            raise DownloadError(f"{message} of {total}", code="range_mismatch", retryable=True)
        self._check_version(state, answer, total)
        size_bytes = state.size_bytes
        if size_bytes is None:
            message = "neither the catalogue nor the answer tells the chunk's size"
            raise ProtocolError(message, code="protocol", retryable=True)
        if first == 0:
            file.restart(state.etag)
        for data in answer.iter_raw():
            with self._idle:
                self._bytes += len(data)
            if file.filled + len(data) > size_bytes:
                message = f"more than {size_bytes} bytes"
                raise IntegrityError(message, code="chunk_integrity", retryable=True)
            file.write(data)
        if file.filled < size_bytes:
            message = f"{size_bytes - file.filled} bytes are missing at the end"
            raise DownloadError(message, code="short_body", retryable=True)

    @staticmethod
    def _forget_version(state: _ChunkState, file: ChunkFile) -> None:
        with state.lock:
            state.etag, state.size_bytes = None, state.chunk.size_bytes
        file.restart(None)

    def _refuse_whole(self, state: _ChunkState, answer: Answer) -> None:
        """Raise what a 200 in answer to a Range request means."""
        etag = answer.headers.get("etag")
        if state.etag is not None and etag is not None and etag != state.etag:
            # If-Range worked as it should: the version that was begun is gone.
            message = f"its ETag was {escape(state.etag, limit=80)}, is {escape(etag, limit=80)}"
            raise IntegrityError(message, code="chunk_changed", retryable=True)
        state.whole_answers += 1
        if state.has_ranges or (self._has_seen_ranges and state.whole_answers == 1):
            # One such answer, of a login page for example, must not turn a whole run to whole chunks.
            message = f"status 200, although other ranges were answered with 206{self._start_of(answer)}"
            raise DownloadError(message, code="range_mismatch", retryable=True)
        state.has_ranges = False
        raise RangesUnsupportedError

    def _check_version(self, state: _ChunkState, answer: Answer, total: int | None) -> None:
        """Compare an answer's ETag and total size with what is known, or keep them if they are the first."""
        etag = answer.headers.get("etag")
        # Only a strong validator promises equal bytes (RFC 9110, 8.8.1).
        strong = etag if etag is not None and etag.startswith('"') and len(etag) <= 1024 else None  # noqa: PLR2004
        self._check_limit(total)
        if state.size_bytes is not None and total is not None and total != state.size_bytes:
            known = state.chunk.size_bytes is not None
            message = f"{total} bytes, not {state.size_bytes} as {'the catalogue says' if known else 'before'}"
            message += self._start_of(answer)
            # A single header may lie; a chunk that was replaced stays so.
            raise IntegrityError(message, code="chunk_integrity" if known else "chunk_changed", retryable=True)
        with state.lock:
            if state.etag is not None and strong is not None and strong != state.etag:
                message = f"its ETag was {escape(state.etag, limit=80)}, is {escape(strong, limit=80)}"
                raise IntegrityError(message, code="chunk_changed", retryable=True)
            state.etag = state.etag or strong
            state.size_bytes = total if state.size_bytes is None else state.size_bytes

    def _take_whole(self, state: _ChunkState, answer: Answer) -> SegmentBuffer:
        if answer.status != _OK:
            message = f"status {answer.status} for a request without a range"
            raise DownloadError(message, code="range_mismatch", retryable=True)
        length = _content_length(answer)
        self._check_version(state, answer, length)
        size_bytes = state.size_bytes
        if size_bytes is None:
            message = "neither the catalogue nor the answer tells the chunk's size"
            raise ProtocolError(message, code="protocol", retryable=True)
        digest = hashlib.sha256() if state.chunk.sha256 is not None else None
        buffer = SegmentBuffer(size_bytes)
        try:
            self._write(buffer, answer, None if digest is None else digest.update)
        except _OverlongError as exc:
            message = f"more than {size_bytes} bytes"
            raise IntegrityError(message, code="chunk_integrity", retryable=True) from exc
        _sealed(buffer)
        if digest is not None and digest.hexdigest() != state.chunk.sha256:
            message = f"its SHA-256 is {digest.hexdigest()}, not {state.chunk.sha256}"
            message += self.start_of(state.chunk, buffer)
            raise IntegrityError(message, code="chunk_integrity", retryable=True)
        return buffer

    def start_of(self, chunk: ChunkRecord, buffer: SegmentBuffer) -> str:
        """The start of a chunk, to end an error's detail with; nothing if it is that of a zip.

        Args:
            chunk: The chunk.
            buffer: Sealed; begins with the chunk's first byte.
        """
        return self._ending(buffer.tobytes(0, min(len(buffer), _SHOWN_BYTES)), self._address(chunk))

    def _start_of(self, answer: Answer) -> str:
        """The same for an answer with status 200, which may be an error page."""
        return self._ending(answer.start(_SHOWN_BYTES), answer.url) if answer.status == _OK else ""

    def _ending(self, start: bytes, url: str) -> str:
        return "" if not start or start.startswith(b"PK") else f"; it starts with: {self._http.clean(start, url)}"

    def _write(self, buffer: SegmentBuffer, answer: Answer, also: Callable[[bytes], object] | None = None) -> None:
        """Append a body; what was written stays when the connection breaks."""
        before = buffer.filled
        room = len(buffer) - before
        write = buffer.write
        try:
            if also is None and answer.receive_into(buffer):
                return
            for data in answer.iter_raw():
                room -= len(data)
                if room < 0:
                    raise _OverlongError
                write(data)
                if also is not None:
                    also(data)
        finally:
            with self._idle:
                self._bytes += buffer.filled - before

    def _check_limit(self, size_bytes: int | None) -> None:
        if size_bytes is not None and size_bytes > self._limits.chunk_bytes:
            message = f"{size_bytes} bytes, at most {self._limits.chunk_bytes} are allowed"
            raise LimitError(message, code="limit_chunk")


class _ExpiredError(Exception):
    """An address may have expired. Internal."""

    def __init__(self, error: PixCrawlerError) -> None:
        super().__init__(str(error))
        self.error = error


class _OverlongError(Exception):
    """A body is longer than it should be. Internal."""


def _sealed(buffer: SegmentBuffer) -> SegmentBuffer:
    """The buffer, sealed; an error if it is not full."""
    if buffer.filled < len(buffer):
        message = f"{len(buffer) - buffer.filled} bytes are missing at the end"
        raise DownloadError(message, code="short_body", retryable=True)
    buffer.seal()
    return buffer


def _content_length(answer: Answer) -> int | None:
    match = _LENGTH.match(answer.headers.get("content-length", ""))
    return None if match is None else int(match.group())


def _place(fetch: _Fetch, first: int | None, last: int | None, total: int | None) -> None:
    """Check that a 206 is the part asked for; from the first answer to a request for the tail, learn where it is."""
    if first is None or last is None:
        message = "status 206 without a usable Content-Range"
        raise DownloadError(message, code="range_mismatch", retryable=True)
    if fetch.start is None or fetch.stop is None:
        if total is None or (first, last) != (max(0, total - TAIL_BYTES), total - 1):
            message = f"asked for the last {TAIL_BYTES} bytes, got {first} to {last} of {total}"
            raise DownloadError(message, code="range_mismatch", retryable=True)
        fetch.start, fetch.stop = first, total
    elif (first, last) != (fetch.start + fetch.filled, fetch.stop - 1):
        message = f"asked for {fetch.start + fetch.filled} to {fetch.stop - 1}, got {first} to {last}"
        raise DownloadError(message, code="range_mismatch", retryable=True)


def _content_range(answer: Answer) -> tuple[int | None, int | None, int | None]:
    """First byte, last byte and total of a Content-Range (RFC 9110, 14.4); None for what it does not tell."""
    match = _CONTENT_RANGE.match(answer.headers.get("content-range", ""))
    if match is None:
        return None, None, None
    first, last, total = match.groups()
    known_total = None if total == "*" else int(total)
    if first is None or int(first) > int(last) or (known_total is not None and int(last) >= known_total):
        return None, None, known_total
    return int(first), int(last), known_total
