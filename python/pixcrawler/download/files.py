"""Files that survive a crash: appended to and cut back to a known length, or written aside and renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from pixcrawler.exceptions import IntegrityError, PixCrawlerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Self

__all__ = ["AppendFile", "Mark", "lock_folder", "named_errors", "sync_folder", "write_atomically"]


@contextlib.contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Let an OSError of a descriptor name its file: "No space left on device" alone helps nobody."""
    try:
        yield
    except OSError as error:
        # Some of our own errors are OSErrors too.
        if error.filename is not None or isinstance(error, PixCrawlerError):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with named_errors(folder):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file at once, when all is written and safe on the disk.

    Raises:
        OSError: The disk does not take it; what stood there before is as it was.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with named_errors(partial), partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


class Mark(NamedTuple):
    """How far an :class:`AppendFile` is known to be good.

    Attributes:
        length: Bytes.
        crc: CRC-32 of them.
    """

    length: int = 0
    crc: int = 0


class AppendFile:
    """A file that grows at its end only, and is cut back to what was last known of it when it is opened again.

    Written through ``write``, not through a mapping: a full disk is an error then, not a signal.

    Args:
        path: The file; made if it is missing and nothing of it is known.
        mark: What is known to be good.
        reserve: Bytes at the start that are left for a header; the mark does not count them.

    Raises:
        IntegrityError: It is shorter than it should be.
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path, mark: Mark = Mark(), *, reserve: int = 0) -> None:  # noqa: B008 - immutable
        self.path = path
        self._length, self._crc = mark
        self._reserve = reserve
        self._is_synced = False
        with named_errors(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            found = os.fstat(self._descriptor).st_size
            if found < reserve + mark.length and mark.length:
                os.close(self._descriptor)
                message = f"{path}: {found} bytes, at least {reserve + mark.length} were written"
                raise IntegrityError(message, code="file_changed")
            os.ftruncate(self._descriptor, reserve + mark.length)
            os.lseek(self._descriptor, 0, os.SEEK_END)

    def write(self, data: Any) -> None:
        """Append.

        Args:
            data: Contiguous bytes of any kind, an array among them.
        """
        left = memoryview(data).cast("B")
        self._crc = zlib.crc32(left, self._crc)
        self._length += len(left)
        self._is_synced = False
        with named_errors(self.path):
            while left:
                left = left[os.write(self._descriptor, left[: 1 << 30]) :]

    def sync(self) -> Mark:
        """Make what was written last; returns how far the file is good."""
        if not self._is_synced:
            with named_errors(self.path):
                os.fsync(self._descriptor)
            self._is_synced = True
        return Mark(self._length, self._crc)

    @property
    def length(self) -> int:
        """Bytes written, the reserved ones not counted."""
        return self._length

    def write_header(self, header: bytes) -> None:
        """Fill the reserved bytes."""
        assert len(header) == self._reserve
        with named_errors(self.path):
            os.pwrite(self._descriptor, header, 0)
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


@contextlib.contextmanager
def lock_folder(path: Path) -> Iterator[None]:
    """Hold a file that only one process can hold; a process that dies lets go of it.

    Where the file system knows no locks, nothing is held.

    Args:
        path: The file; made if it is missing.

    Raises:
        FileExistsError: Another process holds it.
        OSError: It cannot be made.
    """
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
                message = "another download is writing to this folder: wait for it to end"
                raise FileExistsError(errno.EEXIST, message, str(path.parent)) from error
            if error.errno not in {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}:
                raise
        yield
    finally:
        os.close(descriptor)
