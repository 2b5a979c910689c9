"""An archive's data: positioned reads from any thread, and appending that leaves nothing behind when it fails."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, Final

from pixcrawler._native import LocalFile
from pixcrawler.barecat import layout
from pixcrawler.barecat.exceptions import (
    BarecatError,
    BarecatIntegrityError,
    FileTooLargeBarecatError,
    NotEnoughSpaceBarecatError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Appender", "Shards", "checked_address"]

# Descriptors that a reader keeps.
_OPEN_SHARDS: Final = 64
_COPIED_BYTES: Final = 1 << 20
_MAX_CRC: Final = 2**32 - 1
_MAX_INT: Final = 2**63 - 1


def checked_address(row: Sequence[Any], path: str) -> tuple[int, int, int, int | None]:
    """Shard, offset, size and CRC-32C of a row, if they can be true.

    Args:
        row: These four, as they stand in the index.
        path: Whose they are.

    Raises:
        BarecatIntegrityError: They cannot.
    """
    shard, offset, size, crc = row
    is_sound = (
        type(shard) is int
        and type(offset) is int
        and type(size) is int
        and 0 <= shard <= layout.MAX_SHARD
        and offset >= 0
        and size >= 0
        and offset + size <= _MAX_INT
        and (crc is None or (type(crc) is int and 0 <= crc <= _MAX_CRC))
    )
    if not is_sound:
        found = ", ".join(repr(value)[:40] for value in row)
        raise BarecatIntegrityError(f"shard, offset, size and CRC32C are {found}", code="archive_row", path=path)
    return shard, offset, size, crc


class Shards:
    """The shards of an archive, read. Safe from any thread and after a fork: each read names its position.

    Args:
        path: The archive's name.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._files: dict[int, LocalFile] = {}

    def file(self, shard: int, path: str | None = None) -> LocalFile:
        """An open shard.

        Args:
            shard: Its number.
            path: Of the file that is wanted from it.

        Raises:
            BarecatIntegrityError: There is no such shard.
            OSError: It cannot be opened.
        """
        file = self._files.get(shard)
        if file is None:
            name = layout.shard_path(self._path, shard)
            try:
                file = LocalFile(name)
            except FileNotFoundError as exc:
                message = f"expected shard {shard} at {name}"
                raise BarecatIntegrityError(message, code="shard_missing", path=path) from exc
            # A list first: another thread may open one meanwhile. Who reads from a shard that is let go here holds on
            # to it until it is done.
            for oldest in list(self._files)[: 1 - _OPEN_SHARDS or None] if len(self._files) >= _OPEN_SHARDS else ():
                self._files.pop(oldest, None)
            self._files[shard] = file
        return file

    def read(self, path: str, shard: int, offset: int, size: int, crc: int | None = None) -> bytes:
        """Bytes of a file, all of them or an error.

        Args:
            path: Whose, for the error.
            shard: Where, as :func:`checked_address` lets pass.
            offset: The first byte.
            size: How many.
            crc: Their CRC-32C, if it is to be compared.

        Raises:
            BarecatIntegrityError: The shard is missing or too short, or the bytes have another checksum.
            OSError: The shard cannot be read.
        """
        try:
            return self.file(shard, path).read_bytes(offset, size, crc)
        except BarecatIntegrityError as exc:
            if exc.code != "shard_missing":
                exc.detail = f"shard {shard} at {offset}: {exc.detail}"
            raise exc.with_place(member=path) from None

    def path(self, shard: int) -> str:
        """A shard's file."""
        return layout.shard_path(self._path, shard)

    def forget(self, shard: int) -> None:
        """Open a shard anew at its next use: it may have been replaced."""
        self._files.pop(shard, None)

    def numbers(self) -> list[int]:
        """Numbers of the shards that there are."""
        return layout.shard_numbers(self._path)

    @property
    def num_shards(self) -> int:
        """How many there are."""
        return len(self.numbers())

    def size(self, shard: int) -> int:
        """A shard's bytes on the disk, 0 if there is none."""
        try:
            return os.stat(layout.shard_path(self._path, shard)).st_size
        except FileNotFoundError:
            return 0

    def total_size(self) -> int:
        """Bytes of all shards on the disk."""
        return sum(self.size(shard) for shard in self.numbers())

    def close(self) -> None:
        """Let go of the files."""
        self._files.clear()


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
        """Remove the last shard, which no row names."""
        if shard == self._shard:
            self._close_descriptor()
        os.unlink(layout.shard_path(self._path, shard))
        self._unsynced.discard(shard)

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
