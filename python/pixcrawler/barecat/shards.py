"""An archive's data, read: positioned reads from any thread, of addresses that can be true."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from pixcrawler._native import LocalFile
from pixcrawler.barecat import layout
from pixcrawler.barecat.exceptions import BarecatIntegrityError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Shards", "checked_address"]

# Descriptors that a reader keeps.
_OPEN_SHARDS: Final = 64
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
