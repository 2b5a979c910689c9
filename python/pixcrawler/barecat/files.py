"""File objects of an archive."""

from __future__ import annotations

import io
import tempfile
from typing import IO, TYPE_CHECKING

from pixcrawler.barecat.exceptions import FileExistsBarecatError, FileNotFoundBarecatError
from pixcrawler.barecat.shards import checked_address

if TYPE_CHECKING:
    import os

    from typing_extensions import Buffer

    from pixcrawler.barecat.archive import Barecat
    from pixcrawler.barecat.infos import BarecatFileInfo

__all__ = ["BarecatFileObject", "open_file", "parse_mode"]

# Content being written stays in memory up to here.
_SPOOLED_BYTES = 50 << 20
_PEEKED_BYTES = 8192
_COPIED_BYTES = 1 << 20


def parse_mode(mode: str) -> tuple[str, bool, bool]:
    """What a mode such as ``"r+b"`` says: ``r``, ``w``, ``x`` or ``a``; whether with ``+``; whether binary.

    Raises:
        ValueError: It is none.
    """
    kinds = [letter for letter in mode if letter in "rwxa"]
    is_sound = len(kinds) == 1 and len(set(mode)) == len(mode) and not set(mode) - set("rwxabt+")
    if not is_sound or {"b", "t"} <= set(mode):
        raise ValueError(f"a mode is one of r, w, x, a, with + or b or both, not {mode!r}")
    return kinds[0], "+" in mode, "b" in mode


class BarecatFileObject(io.BufferedIOBase):
    """A file of an archive, with a cursor of its own.

    Reads go to the shard. What is written is gathered, in memory up to 50 MiB, and enters the archive when the object
    is closed: new bytes in new space, and a row that names them. Until then the archive has the old content.

    Args:
        archive: The archive.
        path: Of the file, normalised.
        address: Shard, offset, size and CRC-32C of the present content; None of a new file.
        kind: ``r``, ``w``, ``x`` or ``a``.
        plus: Whether it reads and writes.
    """

    def __init__(
        self,
        archive: Barecat,
        path: str,
        address: tuple[int, int, int, int | None] | None,
        kind: str,
        *,
        plus: bool,
    ) -> None:
        super().__init__()
        self._archive = archive
        self._path = path
        self._address = address if kind in "ra" else None
        self._is_new = address is None
        self._reads = kind == "r" or plus
        self._writes = kind != "r" or plus
        self._appends = kind == "a"
        self._position = 0
        self._size = self._address[2] if self._address else 0
        # Content that differs from the archive's, or may.
        self._spool: IO[bytes] | None = None
        if self._writes and self._address is None:
            self._spool = _new_spool()
        if self._appends:
            self._position = self._size

    @property
    def name(self) -> str:
        """The file's path in the archive."""
        return self._path

    @property
    def size(self) -> int:
        """Bytes of the content as it is now."""
        return self._size

    def __len__(self) -> int:
        return self._size

    def readable(self) -> bool:
        """Whether it can be read."""
        self._check_open()
        return self._reads

    def writable(self) -> bool:
        """Whether it can be written."""
        self._check_open()
        return self._writes

    def seekable(self) -> bool:
        """Always True."""
        self._check_open()
        return True

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on a closed file")

    def _check_reads(self) -> None:
        self._check_open()
        if not self._reads:
            raise io.UnsupportedOperation("the file was not opened for reading")

    def tell(self) -> int:
        """The cursor's position."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move the cursor; past the end is allowed.

        Raises:
            ValueError: The position would be negative, or ``whence`` is none.
        """
        self._check_open()
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        if whence not in starts:
            raise ValueError(f"whence is 0, 1 or 2, not {whence!r}")
        position = starts[whence] + offset
        if position < 0:
            raise ValueError(f"a position is not negative, got {position}")
        self._position = position
        return position

    def _peeked(self, size: int) -> bytes:
        """Bytes from the cursor on, which stays; all of them, or an error."""
        size = max(0, min(size, self._size - self._position))
        if not size:
            return b""
        if self._spool is not None:
            self._spool.seek(self._position)
            return self._spool.read(size)
        assert self._address is not None
        shard, offset, whole, crc = self._address
        checked = crc if size == whole else None
        return self._archive.shards.read(self._path, shard, offset + self._position, size, checked)

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to ``size`` bytes, all that are left if it is negative or None. A whole file's checksum is compared."""
        self._check_reads()
        data = self._peeked(self._size if size is None or size < 0 else size)
        self._position += len(data)
        return data

    def read1(self, size: int = -1, /) -> bytes:
        """As :meth:`read`; a part at a time if no size is given."""
        return self.read(_COPIED_BYTES if size < 0 else size)

    def readall(self) -> bytes:
        """All bytes from the cursor on."""
        return self.read()

    def peek(self, size: int = 0, /) -> bytes:
        """Some bytes from the cursor on, which stays."""
        self._check_reads()
        return self._peeked(max(size, _PEEKED_BYTES))

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill a buffer; returns how many bytes were there."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    readinto1 = readinto

    def _edited(self) -> IO[bytes]:
        """The content that is being written; the archive's is copied first."""
        self._check_open()
        if not self._writes:
            raise io.UnsupportedOperation("the file was not opened for writing")
        if self._spool is None:
            spool = _new_spool()
            assert self._address is not None
            shard, offset, size, crc = self._address
            if size <= _COPIED_BYTES:
                spool.write(self._archive.shards.read(self._path, shard, offset, size, crc))
            for start in range(0, size, _COPIED_BYTES) if size > _COPIED_BYTES else ():
                part = min(_COPIED_BYTES, size - start)
                spool.write(self._archive.shards.read(self._path, shard, offset + start, part))
            self._spool = spool
        return self._spool

    def write(self, data: Buffer, /) -> int:
        """Write at the cursor, or at the end if the mode is ``a``; a gap before it becomes zeros."""
        spool = self._edited()
        view = memoryview(data).cast("B")
        if self._appends:
            self._position = self._size
        if view and self._position > self._size:
            self._extend(spool, self._position)
        spool.seek(self._position)
        spool.write(view)
        self._position += len(view)
        self._size = max(self._size, self._position)
        return len(view)

    def _extend(self, spool: IO[bytes], size: int) -> None:
        spool.seek(self._size)
        for start in range(self._size, size, _COPIED_BYTES):
            spool.write(bytes(min(_COPIED_BYTES, size - start)))
        self._size = size

    def truncate(self, size: int | None = None, /) -> int:
        """Cut the content, or extend it with zeros; the cursor stays.

        Raises:
            ValueError: ``size`` is negative.
        """
        size = self._position if size is None else size
        if size < 0:
            raise ValueError(f"a size is not negative, got {size}")
        spool = self._edited()
        if size > self._size:
            self._extend(spool, size)
        spool.truncate(size)
        self._size = size
        return size

    def flush(self) -> None:
        """Nothing: content enters the archive when the object is closed."""
        self._check_open()

    def close(self) -> None:
        """Put what was written into the archive. Idempotent."""
        if self.closed:
            return
        spool, self._spool = self._spool, None
        try:
            if spool is not None and self._writes:
                spool.seek(0)
                self._archive.replace_content(self._path, spool, self._size, is_new=self._is_new)
        finally:
            if spool is not None:
                spool.close()
            super().close()


def _new_spool() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(_SPOOLED_BYTES)


def open_file(
    archive: Barecat,
    item: str | os.PathLike[str] | BarecatFileInfo,
    mode: str,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
) -> BarecatFileObject | io.TextIOWrapper:
    """What :meth:`pixcrawler.barecat.Barecat.open` returns."""
    kind, plus, is_binary = parse_mode(mode)
    if is_binary and (encoding, errors, newline) != (None, None, None):
        raise ValueError("encoding, errors and newline are for text: leave b out of the mode")
    if archive.readonly and (kind != "r" or plus):
        raise ValueError(f"the archive was opened read-only, and cannot open a file with mode {mode!r}")
    path = archive.path_of(item)
    row = archive.index.address(path)
    if row is None and kind == "r":
        raise FileNotFoundBarecatError("no such file", path=path)
    if row is not None and kind == "x":
        raise FileExistsBarecatError("there is a file", path=path)
    if row is None:
        archive.index.check_new_file(path)
    elif kind != "r" or plus:
        archive.check_changeable()
    address = None if row is None else checked_address(row, path)
    file = BarecatFileObject(archive, path, address, kind, plus=plus)
    if is_binary:
        return file
    return io.TextIOWrapper(file, encoding=encoding or "utf-8", errors=errors, newline=newline)
