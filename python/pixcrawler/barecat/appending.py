"""An archive's data, written: behind the last bytes, durable before the rows, and taken back where it is refused."""

from __future__ import annotations

import errno
import os
from typing import IO, TYPE_CHECKING, Final

from pixcrawler._native import crc32c
from pixcrawler.barecat import layout
from pixcrawler.barecat.exceptions import (
    BarecatError,
    BarecatIntegrityError,
    FileTooLargeBarecatError,
    NotEnoughSpaceBarecatError,
)
from pixcrawler.barecat.infos import BarecatFileInfo

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Appender", "store"]

_COPIED_BYTES: Final = 1 << 20
# Files up to here are read at once.
_WHOLE_BYTES: Final = 8 << 20


class Appender:
    """The shards of an archive, written: new bytes go behind the last one, and become durable before their rows do.

    Only who has the index's write lock may use it.

    Args:
        path: The archive's name.
        append_only: Open shards so that the system itself refuses to write elsewhere than at the end.
        allow_symlinks: Write to shards that are symbolic links.
    """

    def __init__(self, path: str, *, append_only: bool, allow_symlinks: bool) -> None:
        self._path = path
        self._append_only = append_only
        self._allow_symlinks = allow_symlinks
        self._descriptor: int | None = None
        self._shard = -1
        self._end = 0
        self._unsynced: set[int] = set()
        self._has_new_name = False
        self._is_checked = False

    @property
    def place(self) -> tuple[int, int]:
        """The shard and the offset that the next byte goes to."""
        return self._shard, self._end

    def begin(self, last_row_shard: int) -> None:
        """Find the end of the last shard, which other writers may have moved.

        Args:
            last_row_shard: The highest shard that the index names; -1 of an empty one.
        """
        if not self._is_checked:
            self._check_symlinks()
            self._is_checked = True
        last = max([last_row_shard, 0, *layout.shard_numbers(self._path)])
        self._open(last)

    def _check_symlinks(self) -> None:
        if self._allow_symlinks:
            return
        for shard in layout.shard_numbers(self._path):
            name = layout.shard_path(self._path, shard)
            if os.path.islink(name):
                message = f"{name} is a symbolic link: pass allow_writing_symlinked_shard=True to write to its target"
                raise ValueError(message)

    def _open(self, shard: int) -> None:
        if shard != self._shard or self._descriptor is None:
            self.sync()
            self._close_descriptor()
            name = layout.shard_path(self._path, shard)
            is_new = not os.path.lexists(name)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(name, flags | (os.O_APPEND if self._append_only else 0), 0o666)
            self._has_new_name |= is_new
        self._shard = shard
        self._end = os.fstat(self._descriptor).st_size

    def start_file(self, size: int | None, limit: int, path: str) -> tuple[int, int]:
        """The place of a new file: in the last shard, or in a new one if it does not fit.

        Args:
            size: Its bytes, None if that is not known yet.
            limit: Bytes that a shard may have.
            path: Whose, for the error.

        Raises:
            FileTooLargeBarecatError: No shard can hold it.
        """
        if size is not None and size > limit:
            raise FileTooLargeBarecatError(f"expected at most {limit} bytes, got {size}", path=path)
        # An empty file may lie anywhere, also at a full shard's end.
        is_full = self._end >= limit if size is None else size > 0 and self._end + size > limit
        if is_full:
            self._open(self._shard + 1)
        return self._shard, self._end

    def move_to_new_shard(
        self, place: tuple[int, int], written: int, size: int, limit: int, path: str
    ) -> tuple[int, int]:
        """Take what was written of a file to a new shard, because the present one cannot hold it.

        Args:
            place: Where it begins.
            written: Bytes of it that are written.
            size: Bytes that it has at least.
            limit: Bytes that a shard may have.
            path: Whose, for the error.

        Raises:
            FileTooLargeBarecatError: No shard can hold it.
        """
        shard, offset = place
        if size > limit or offset == 0:
            raise FileTooLargeBarecatError(f"expected at most {limit} bytes, got {size} or more", path=path)
        self._open(shard + 1)
        with open(layout.shard_path(self._path, shard), "rb", buffering=0) as file:
            for start in range(0, written, _COPIED_BYTES):
                self.write(os.pread(file.fileno(), min(_COPIED_BYTES, written - start), offset + start))
        self.cut(shard, offset)
        return self._shard, 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes.

        Raises:
            NotEnoughSpaceBarecatError: The disk is full.
            OSError: They cannot be written.
        """
        descriptor = self._opened()
        view = memoryview(data).cast("B")
        self._unsynced.add(self._shard)
        try:
            while view:
                written = os.pwrite(descriptor, view, self._end)
                self._end += written
                view = view[written:]
        except OSError as exc:
            if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
                name = layout.shard_path(self._path, self._shard)
                raise NotEnoughSpaceBarecatError(f"{name}: {exc.strerror}, {len(view)} bytes are left") from exc
            raise

    def _opened(self) -> int:
        if self._descriptor is None:
            raise BarecatError("no shard is open for writing")
        return self._descriptor

    def cut_back(self, place: tuple[int, int]) -> None:
        """Take back what was written from ``place`` on, before its row was committed."""
        shard, offset = place
        if shard != self._shard:
            self.drop(self._shard)
            self._open(shard)
        if self._end > offset:
            os.ftruncate(self._opened(), offset)
            self._end = offset

    def cut(self, shard: int, end: int) -> int:
        """Free what stands behind ``end`` in a shard: no committed row names it. Returns the bytes freed."""
        name = layout.shard_path(self._path, shard)
        is_foreign = not self._allow_symlinks and os.path.islink(name)
        size = os.stat(name).st_size
        if end >= size or is_foreign:
            return 0
        os.truncate(name, end)
        if shard == self._shard:
            self._end = end
        return size - end

    def drop(self, shard: int) -> None:
        """Remove the last shard, which no row names and which is not the first; the one before is written next."""
        is_open = shard == self._shard
        if is_open:
            self._close_descriptor()
        os.unlink(layout.shard_path(self._path, shard))
        self._unsynced.discard(shard)
        if is_open:
            self._open(shard - 1)

    def write_at(self, shard: int, offset: int, data: bytes) -> None:
        """Write into free space of a shard: no committed row names any byte of it."""
        if self._append_only:
            raise PermissionError("the archive was opened append-only")
        with open(layout.shard_path(self._path, shard), "r+b", buffering=0) as file:
            view = memoryview(data)
            while view:
                written = os.pwrite(file.fileno(), view, offset)
                offset += written
                view = view[written:]
        self._unsynced.add(shard)
        if shard == self._shard:
            self._end = max(self._end, offset)

    def sync(self) -> None:
        """Make everything written so far survive a power failure.

        Raises:
            OSError: The disk does not take it.
        """
        for shard in sorted(self._unsynced):
            if shard == self._shard and self._descriptor is not None:
                _sync_data(self._descriptor)
                continue
            descriptor = os.open(layout.shard_path(self._path, shard), os.O_RDWR)
            try:
                _sync_data(descriptor)
            finally:
                os.close(descriptor)
        self._unsynced.clear()
        if self._has_new_name:
            layout.sync_folder(self._path)
            self._has_new_name = False

    def close(self) -> None:
        """Let go of the shard; nothing is made durable here."""
        self._close_descriptor()

    def _close_descriptor(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _sync_data(descriptor: int) -> None:
    # A file's times need not survive; macOS has no fdatasync.
    getattr(os, "fdatasync", os.fsync)(descriptor)


def store(
    appender: Appender,
    info: BarecatFileInfo,
    data: Buffer | None,
    fileobj: IO[bytes] | None,
    bufsize: int,
    limit: int,
) -> BarecatFileInfo:
    """Append a file's content.

    Args:
        appender: Ready to append. What it wrote stays there if this fails.
        info: Path and metadata; size and CRC-32C, where they are set, must be those of the content.
        data: The content.
        fileobj: Or a file to read it from.
        bufsize: Bytes read from it at once.
        limit: Bytes that a shard may have.

    Returns:
        The info with the content's place, size and CRC-32C.

    Raises:
        ValueError: The size is another.
        BarecatIntegrityError: The CRC-32C is another.
        FileTooLargeBarecatError: No shard can hold it.
        NotEnoughSpaceBarecatError: The disk is full.
    """
    path = info.path
    if fileobj is None:
        assert data is not None
        stored = _store_data(appender, path, data, info.size, limit)
    elif info.size is not None and info.size <= _WHOLE_BYTES:
        # One byte more tells a file that has grown.
        stored = _store_data(appender, path, _read_up_to(fileobj, info.size + 1), info.size, limit)
    else:
        stored = _store_stream(appender, path, fileobj, info.size, bufsize, limit)
    if info.crc32c is not None and info.crc32c != stored[3]:
        message = f"expected CRC32C {info.crc32c:08x}, got {stored[3]:08x}"
        raise BarecatIntegrityError(message, code="crc32c", path=path)
    return BarecatFileInfo(path, info.mode, info.uid, info.gid, info.mtime_ns, *stored)


def _store_data(appender: Appender, path: str, data: Buffer, size: int | None, limit: int) -> tuple[int, int, int, int]:
    content = data if isinstance(data, bytes) else bytes(memoryview(data))
    if size is not None and size != len(content):
        raise ValueError(f"expected {size} bytes for {path!r} as its info says, got {len(content)}")
    shard, offset = appender.start_file(len(content), limit, path)
    if content:
        appender.write(content)
    return shard, offset, len(content), crc32c(content)


def _store_stream(
    appender: Appender, path: str, fileobj: IO[bytes], size: int | None, bufsize: int, limit: int
) -> tuple[int, int, int, int]:
    place = appender.start_file(size, limit, path)
    written, crc = 0, 0
    while block := fileobj.read(bufsize):
        written += len(block)
        if size is not None and written > size:
            break
        if place[1] + written > limit:
            place = appender.move_to_new_shard(place, written - len(block), written, limit, path)
        appender.write(block)
        crc = crc32c(bytes(block), crc)
    if size is not None and written != size:
        raise ValueError(f"expected {size} bytes for {path!r} as its info says, got {written} or more")
    return *place, written, crc


def _read_up_to(fileobj: IO[bytes], size: int) -> bytes:
    """So many bytes, or all that there are."""
    data = fileobj.read(size)
    if len(data) >= size or not data:
        return data
    parts = [data]
    missing = size - len(data)
    while missing and (part := fileobj.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
