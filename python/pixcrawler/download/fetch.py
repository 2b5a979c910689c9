"""Whole chunks into files, a few at once, ahead of whoever reads them; resumed and verified."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from concurrent import futures
from typing import TYPE_CHECKING

from pixcrawler.download.files import named_errors
from pixcrawler.exceptions import ArchiveError, IntegrityError, NetworkError, PixCrawlerError
from pixcrawler.sources.local import ZipSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from pixcrawler.downloader import Downloader
    from pixcrawler.limits import Limits
    from pixcrawler.records import ChunkRecord

__all__ = ["ChunkFetcher", "FetchedChunk", "PartialFile", "sha256_of"]

_BLOCK_BYTES = 4 << 20
# Chunks on the disk beside those that are being fetched.
_CHUNKS_AHEAD = 2
# A caller that waits is woken this often, to show how far things are.
_TICK_S = 0.2
_ETAG_MAX_BYTES = 1024


class PartialFile:
    """A chunk's file while it arrives, and after the process that began it has died.

    Its ETag lies beside it. What is there is kept only if something tells whether it belongs to the chunk: an ETag, or
    a SHA-256 in the catalogue.

    Args:
        path: The file; made if missing.
        has_sha256: Whether the catalogue has one.

    Attributes:
        filled: Bytes that are there.
        etag: What they came with, if known.
    """

    def __init__(self, path: Path, *, has_sha256: bool) -> None:
        self._path = path
        self._etag_path = etag_path(path)
        self.etag = self._read_etag()
        with named_errors(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            self.filled = os.lseek(self._descriptor, 0, os.SEEK_END)
        if self.filled and self.etag is None and not has_sha256:
            self.restart(None)

    def _read_etag(self) -> str | None:
        try:
            with self._etag_path.open("rb") as file:
                etag = file.read(_ETAG_MAX_BYTES + 1)
        except OSError:
            return None
        is_one = etag.startswith(b'"') and etag.endswith(b'"') and len(etag) <= _ETAG_MAX_BYTES and etag.isascii()
        text = etag.decode("ascii", "replace")
        return text if is_one and text.isprintable() else None

    def restart(self, etag: str | None) -> None:
        """Discard what is there; what is written next comes with this ETag."""
        with named_errors(self._path):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.filled = 0
        self.etag = etag
        if etag is None:
            self._etag_path.unlink(missing_ok=True)
        else:
            # It is there before the bytes that it stands for.
            self._etag_path.write_text(etag, encoding="utf-8")

    def write(self, data: bytes) -> None:
        """Append."""
        left = memoryview(data)
        with named_errors(self._path):
            while left:
                written = os.write(self._descriptor, left)
                self.filled += written
                left = left[written:]

    def sync(self) -> None:
        """Make what was written last."""
        with named_errors(self._path):
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close it; what is there stays."""
        os.close(self._descriptor)


def etag_path(path: Path) -> Path:
    """Where the ETag of a partial file is."""
    return path.with_name(f"{path.name}.etag")


class FetchedChunk:
    """How far a chunk is.

    Attributes:
        record: What the catalogue says of it.
        path: Its file.
        state: "waiting", "fetching", "checking", "ready" or "failed".
        sha256: Of the file, once it is checked.
    """

    def __init__(self, record: ChunkRecord, path: Path) -> None:
        self.record = record
        self.path = path
        self.state = "waiting"
        self.sha256 = ""
        self.file: PartialFile | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes that are there."""
        return 0 if self.file is None else self.file.filled

    def remove(self) -> None:
        """Let go of the file: it was used, or is known to be bad."""
        self.path.unlink(missing_ok=True)
        etag_path(self.path).unlink(missing_ok=True)


class ChunkFetcher:
    """Fetches chunks in order, each whole into a file of its own, ``max_workers`` at once.

    At most ``max_workers + 2`` chunks are on the disk: another is begun when one was taken.

    Args:
        downloader: Makes the requests; ended with this.
        chunks: Which, in the order in which they are taken.
        limits: Bounds on untrusted input.
        max_workers: Requests at once.
    """

    def __init__(
        self, downloader: Downloader, chunks: Sequence[FetchedChunk], *, limits: Limits, max_workers: int
    ) -> None:
        self._downloader = downloader
        self._chunks = chunks
        self._limits = limits
        self._window = max_workers + _CHUNKS_AHEAD
        self._pool = futures.ThreadPoolExecutor(max_workers, thread_name_prefix="pixcrawler-fetch")
        self._futures: list[futures.Future[None]] = []
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        """Itself, with the first chunks begun."""
        self._begin_until(self._window)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End all requests, within a second; what came stays in the files."""
        self._stopped.set()
        self._downloader.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin_until(self, stop: int) -> None:
        for chunk in self._chunks[len(self._futures) : stop]:
            self._futures.append(self._pool.submit(self._fetch, chunk))

    def wait(self, position: int, tick: Callable[[], None]) -> FetchedChunk:
        """A chunk that is there and verified; those before it have been taken.

        Args:
            position: Among the chunks.
            tick: Called five times a second, in this thread.

        Raises:
            PixCrawlerError: It cannot be had.
            OSError: The disk does not take it.
        """
        self._begin_until(position + self._window)
        future = self._futures[position]
        while not futures.wait([future], _TICK_S).done:
            tick()
        future.result()
        return self._chunks[position]

    def _fetch(self, chunk: FetchedChunk) -> None:
        try:
            self._fetch_verified(chunk)
        except BaseException:
            chunk.state = "failed"
            raise
        chunk.state = "ready"

    def _fetch_verified(self, chunk: FetchedChunk) -> None:
        """Fetch it; bytes that are not those of the chunk are fetched once more, as they may be spoilt on the way."""
        file = chunk.file = PartialFile(chunk.path, has_sha256=chunk.record.sha256 is not None)
        with contextlib.closing(file):
            for is_last in (False, True):
                chunk.state = "fetching"
                self._downloader.fetch_file(chunk.record, file)
                file.sync()
                chunk.state = "checking"
                problem = self._problem(chunk)
                if problem is None:
                    return
                file.restart(None)
                if is_last:
                    raise problem

    def _problem(self, chunk: FetchedChunk) -> PixCrawlerError | None:
        """Why the file is not the chunk: its SHA-256, or, where the catalogue has none, that it is no zip."""
        record = chunk.record
        chunk.sha256 = sha256_of(chunk.path, self._stopped)
        if record.sha256 is None:
            try:
                ZipSource(chunk.path, [chunk.path], self._limits, records=[record]).close()
            except ArchiveError as error:
                return error
        elif chunk.sha256 != record.sha256:
            message = f"its SHA-256 is {chunk.sha256}, not {record.sha256}"
            return IntegrityError(message, code="chunk_integrity", chunk_id=record.id)
        return None


def sha256_of(path: Path, stopped: threading.Event | None = None) -> str:
    """The SHA-256 of a file, 64 hex digits.

    Args:
        path: The file.
        stopped: Ends it when set.

    Raises:
        NetworkError: It was stopped.
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK_BYTES):
            if stopped is not None and stopped.is_set():
                message = "the download was ended"
                raise NetworkError(message, code="closed")
            digest.update(block)
    return digest.hexdigest()
