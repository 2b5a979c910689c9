"""Archives made of files of the disk: several threads read, one writes, in the order of the walk."""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final, cast

from pixcrawler._native import crc32c
from pixcrawler.barecat import layout
from pixcrawler.barecat.archive import Barecat
from pixcrawler.barecat.exceptions import BarecatError, FileExistsBarecatError, FileNotFoundBarecatError
from pixcrawler.barecat.infos import BarecatDirInfo, BarecatFileInfo
from pixcrawler.barecat.maintenance import cut_ends
from pixcrawler.exceptions import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from typing_extensions import Self

    from pixcrawler.barecat.walking import Found, Walk

__all__ = ["Packed", "add", "create"]

# Work done since is lost if the process is killed.
_COMMIT_S: Final = 2.0
# Larger files are read by the writer, in parts.
_WHOLE_BYTES: Final = 4 << 20
# What a thread reads at once.
_READ_FILES: Final = 64
_READ_BYTES: Final = 4 << 20


@dataclass
class Packed:
    """What came into an archive.

    Attributes:
        files: Files written.
        dirs: Folders' entries written.
        size: Bytes of the files.
        kept: Files that were there already.
    """

    files: int = 0
    dirs: int = 0
    size: int = 0
    kept: int = 0


def create(
    path: str,
    walk: Walk,
    *,
    limit: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    index_suffix: bool = False,
    threads: int = 1,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> Packed:
    """Make an archive. An interrupted one opens and has what was committed, at most some seconds less.

    Args:
        path: The archive's name.
        walk: What goes into it.
        limit: Bytes that a shard may have.
        overwrite: Remove an archive that is there, once the walk's paths are known to exist.
        resume: Go on with one that is there: files that it has with the same size and time are kept, changed ones are
            replaced, and what no row names at its end is cut off.
        index_suffix: Make a new index under the name that older versions gave it, ``NAME-sqlite-index``.
        threads: How many read.
        on_progress: Called with the number of files so far, and None.

    Raises:
        FileExistsBarecatError: There is such an archive, or two files would have the same path.
        FileNotFoundError: A path does not exist; nothing was written.
        BarecatError: A path cannot be one of an archive, or another process writes to it.
        OSError: Something cannot be read or written.
        ValueError: The limit is less than what a shard has, or a shard is a symbolic link.
    """
    walk.check()
    archive = Barecat(path, limit, readonly=False, overwrite=overwrite, exist_ok=resume, index_suffix=index_suffix)
    return _Packing(archive, resume=resume, threads=threads, on_progress=on_progress).run(walk)


def add(
    path: str,
    walk: Walk,
    *,
    limit: int | None = None,
    make: bool = False,
    resume: bool = False,
    index_suffix: bool = False,
    threads: int = 1,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> Packed:
    """Add to an archive. What was added before an error or an interruption stays.

    Args:
        path: The archive's name.
        walk: What is added.
        limit: Bytes that a shard may have; None keeps what the archive says.
        make: Make the archive if there is none.
        resume: As in :func:`create`.
        index_suffix: As there.
        threads: How many read.
        on_progress: Called with the number of files so far, and None.

    Raises:
        FileNotFoundBarecatError: There is no such archive.
        As :func:`create`.
    """
    walk.check()
    if not make and not layout.exists(path):
        raise FileNotFoundBarecatError(f"{path} does not exist", code="archive_not_found")
    archive = Barecat(path, limit, readonly=False, index_suffix=index_suffix)
    return _Packing(archive, resume=resume, threads=threads, on_progress=on_progress).run(walk)


class _Interrupts:
    """Lets Ctrl-C come between two changes of an archive, and at once wherever it waits for others."""

    def __init__(self) -> None:
        self._is_held = False
        self._is_pending = False
        self._previous: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _handle(self, *_: object) -> None:
        if not self._is_held:
            raise KeyboardInterrupt
        self._is_pending = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """A block that is not interrupted, but for what :meth:`check` lets through."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            self.check()

    def check(self) -> None:
        """Raises KeyboardInterrupt if one came meanwhile."""
        if self._is_pending:
            self._is_pending = False
            raise KeyboardInterrupt


class _Content:
    """A large file's bytes, as many as it had when it was opened."""

    def __init__(self, file: IO[bytes], size: int, interrupts: _Interrupts) -> None:
        self._file = file
        self._left = size
        self._interrupts = interrupts

    def read(self, size: int) -> bytes:
        self._interrupts.check()
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


class _Packing:
    """Files on their way into an archive.

    Args:
        archive: To be written; closed at the end.
        resume: Files that the archive has are compared, and kept or replaced.
        threads: How many read.
        on_progress: Called with the number of files so far, and None.
    """

    def __init__(
        self,
        archive: Barecat,
        *,
        resume: bool,
        threads: int,
        on_progress: Callable[[int, int | None], None] | None,
    ) -> None:
        self._archive = archive
        self._resume = resume
        self._threads = threads
        self._on_progress = on_progress
        self._packed = Packed()
        self._interrupts = _Interrupts()
        self._limit = archive.shard_size_limit
        self._start = (0, 0)
        self._committed = time.monotonic()

    def run(self, walk: Walk) -> Packed:
        """Write all of it."""
        with self._interrupts:
            try:
                with self._interrupts.held():
                    if self._resume:
                        cut_ends(self._archive)
                    self._start = self._archive.appender.place
                for found, content in self._read(self._batches(walk)):
                    with self._interrupts.held():
                        self._store(found, content)
                        self._commit_now_and_then()
                    if self._on_progress is not None:
                        self._on_progress(self._packed.files + self._packed.kept, None)
            finally:
                with self._interrupts.held():
                    self._archive.close()
        return self._packed

    # Reading.

    def _batches(self, walk: Walk) -> Iterator[list[Found]]:
        """Entries that are read together, without those that need no reading."""
        batch: list[Found] = []
        size = 0
        for found in walk:
            if found.is_dir and not found.path:
                continue
            if not found.is_dir and self._resume and self._is_kept(found):
                self._packed.kept += 1
                continue
            batch.append(found)
            size += min(found.status.st_size, _WHOLE_BYTES)
            if len(batch) == _READ_FILES or size >= _READ_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _is_kept(self, found: Found) -> bool:
        row = self._archive.index
        if not row.isfile(found.path):
            return False
        info = row.lookup_file(found.path)
        return (info.size, info.mtime_ns) == (found.status.st_size, found.status.st_mtime_ns)

    def _read(self, batches: Iterable[Sequence[Found]]) -> Iterator[tuple[Found, _Read | None]]:
        """Contents in the order of the walk; while one batch is written, the threads read the next ones."""
        if self._threads <= 1:
            for batch in batches:
                yield from zip(batch, map(_read_file, batch), strict=True)
            return
        with ThreadPoolExecutor(self._threads, "pixcrawler-read") as pool:
            ahead: deque[tuple[Sequence[Found], Future[list[_Read | None]]]] = deque()
            try:
                for batch in batches:
                    ahead.append((batch, pool.submit(_read_files, batch)))
                    if len(ahead) > 2 * self._threads:
                        done, future = ahead.popleft()
                        yield from zip(done, future.result(), strict=True)
                while ahead:
                    done, future = ahead.popleft()
                    yield from zip(done, future.result(), strict=True)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    # Writing.

    def _store(self, found: Found, content: _Read | None) -> None:
        if found.is_dir:
            info = BarecatDirInfo(found.path)
            info.fill_from_statresult(found.status)
            self._archive.index.add_dir(info, exist_ok=True)
            self._packed.dirs += 1
            return
        try:
            size = self._add(found, content)
        except FileExistsBarecatError:
            self._meet(found, content)
            return
        self._packed.files += 1
        self._packed.size += size

    def _add(self, found: Found, content: _Read | None) -> int:
        if content is None:
            return self._stream(found)
        info = _info(found.path, content.status)
        info.size, info.crc32c = len(content.data), content.crc
        index = self._archive.index
        index.check_new_file(found.path)
        appender = self._archive.appender
        before = appender.place
        try:
            info.shard, info.offset = appender.start_file(info.size, self._limit, found.path)
            if content.data:
                appender.write(content.data)
            index.insert_file(found.path, info)
        except BaseException:
            with suppress(OSError):
                appender.cut_back(before)
            raise
        return info.size

    def _stream(self, found: Found, *, replaces: bool = False) -> int:
        """Write a large file, which the archive reads."""
        with _open(found.place) as file:
            status = os.fstat(file.fileno())
            info = _info(found.path, status)
            content = cast("IO[bytes]", _Content(file, status.st_size, self._interrupts))
            try:
                if replaces:
                    self._archive.update_file(found.path, info, fileobj=content)
                else:
                    self._archive.add(info, fileobj=content)
            except BarecatError:
                raise
            except ValueError as exc:
                raise BarecatError(f"{escape(found.place)} was cut while it was read: {exc}") from exc
        return status.st_size

    def _meet(self, found: Found, content: _Read | None) -> None:
        """What to do with a file whose path the archive has."""
        info = self._archive.index.lookup_file(found.path)
        is_of_this_run = (info.shard or 0, info.offset or 0) >= self._start
        if is_of_this_run:
            # The same file twice among what was given is stored once.
            if (info.size, info.mtime_ns) == (found.status.st_size, found.status.st_mtime_ns):
                return
            raise FileExistsBarecatError(f"{escape(found.place)} is the second file of that path", path=found.path)
        if not self._resume:
            raise FileExistsBarecatError("the archive has such a file", path=found.path)
        # It changed since it was stored.
        if content is None:
            size = self._stream(found, replaces=True)
        else:
            size = len(content.data)
            self._archive.update_file(found.path, _info(found.path, content.status), data=content.data, size=size)
        self._packed.files += 1
        self._packed.size += size

    def _commit_now_and_then(self) -> None:
        if time.monotonic() - self._committed <= _COMMIT_S:
            return
        try:
            self._archive.commit()
        except BarecatError as exc:
            # A reader is in the way: later.
            if exc.code != "archive_locked":
                raise
        self._committed = time.monotonic()


@dataclass
class _Read:
    """A file that was read whole."""

    status: os.stat_result
    data: bytes
    crc: int


def _info(path: str, status: os.stat_result) -> BarecatFileInfo:
    info = BarecatFileInfo(path)
    info.fill_from_statresult(status)
    return info


def _open(place: str) -> IO[bytes]:
    # It may have become a FIFO since it was looked at: opening one must not wait.
    file = os.fdopen(os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise BarecatError(f"{escape(place)} is no file any more")
    return file


def _read_files(batch: Sequence[Found]) -> list[_Read | None]:
    return [_read_file(found) for found in batch]


def _read_file(found: Found) -> _Read | None:
    """A file's bytes, as many as it had when it was opened; None of a folder, and of a file that is too large."""
    if found.is_dir:
        return None
    with _open(found.place) as file:
        status = os.fstat(file.fileno())
        if status.st_size > _WHOLE_BYTES:
            return None
        data = file.read(status.st_size)
        while len(data) < status.st_size and (part := file.read(status.st_size - len(data))):
            data += part
    return _Read(status, data, crc32c(data))
