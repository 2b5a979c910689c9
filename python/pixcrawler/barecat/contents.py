"""What an archive holds, read: :class:`Contents`, a mapping from paths to bytes and a small file system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pixcrawler._native import read_many
from pixcrawler.barecat.exceptions import BarecatIntegrityError, FileNotFoundBarecatError
from pixcrawler.barecat.infos import BarecatDirInfo, BarecatEntryInfo, BarecatFileInfo
from pixcrawler.barecat.paths import normalize
from pixcrawler.barecat.shards import Shards, checked_address

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    from typing_extensions import Buffer

    from pixcrawler.barecat.index import Index

    AnyPath: TypeAlias = str | os.PathLike[str]

__all__ = ["Contents", "address_in"]


class Contents(Mapping[str, bytes]):
    """The reading half of :class:`pixcrawler.barecat.Barecat`, which makes its parts."""

    path: str
    shards: Shards
    _index: Index | None

    # Its parts.

    @property
    def index(self) -> Index:
        """The index.

        Raises:
            ValueError: The archive is closed.
        """
        if self._index is None:
            raise ValueError("the archive is closed")
        return self._index

    @property
    def sharder(self) -> Shards:
        """The shards, under the name that they have in Barecat."""
        return self.shards

    # A mapping. Archives are compared by identity: to compare content is to read it.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __getitem__(self, path: AnyPath) -> bytes:
        path = normalize(path)
        row = self.index.address(path)
        if row is None:
            raise KeyError(path)
        return self._read(path, row, 0, None)

    def _read(self, path: str, row: Sequence[Any], start: int, size: int | None) -> bytes:
        """Bytes of a file, once more if they cannot be had: another process may have moved them since the lookup."""
        try:
            return self._read_once(path, row, start, size)
        except BarecatIntegrityError:
            shard = row[0]
            again = self.index.address(path)
            if again is None or not isinstance(shard, int):
                raise
            self.shards.forget(shard)
        return self._read_once(path, again, start, size)

    def _read_once(self, path: str, row: Sequence[Any], start: int, size: int | None) -> bytes:
        shard, offset, whole, crc = checked_address(row, path)
        if start == 0 and (size is None or size >= whole):
            return self.shards.read(path, shard, offset, whole, crc)
        count = max(0, whole - start if size is None else min(size, whole - start))
        return self.shards.read(path, shard, offset + start, count) if count else b""

    def __contains__(self, path: object) -> bool:
        return path in self.index

    def __len__(self) -> int:
        return self.index.num_files

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return self.index.iter_all_filepaths()

    def keys(self) -> Iterator[str]:  # type: ignore[override]
        """All files' paths, one by one."""
        return iter(self)

    def values(self) -> Iterator[bytes]:  # type: ignore[override]
        """All files' contents, one by one."""
        return (data for _, data in self.items())

    def items(self) -> Iterator[tuple[str, bytes]]:  # type: ignore[override]
        """All files' paths and contents, one by one."""
        for info in self.index.iter_all_fileinfos():
            yield info.path, self._read(info.path, address_in(info), 0, None)

    # A file system, read.

    def path_of(self, item: AnyPath | BarecatEntryInfo) -> str:
        """A path or an info's path, normalised."""
        return normalize(item)

    def files(self) -> Iterator[str]:
        """All files' paths."""
        return self.index.iter_all_filepaths()

    def dirs(self) -> Iterator[str]:
        """All directories' paths, the root's ``''`` included."""
        return self.index.iter_all_dirpaths()

    @property
    def num_files(self) -> int:
        """Files in the archive."""
        return self.index.num_files

    @property
    def num_dirs(self) -> int:
        """Directories in the archive, the root included."""
        return self.index.num_dirs

    @property
    def total_size(self) -> int:
        """Bytes of all files."""
        return self.index.total_size

    @property
    def total_logical_size(self) -> int:
        """Bytes of all files."""
        return self.index.total_size

    @property
    def total_physical_size_seek(self) -> int:
        """Bytes of all shards, holes included."""
        return self.shards.total_size()

    @property
    def total_physical_size_stat(self) -> int:
        """Bytes of all shards, holes included."""
        return self.shards.total_size()

    def exists(self, path: AnyPath) -> bool:
        """Whether there is a file or a directory of that path."""
        return self.index.exists(path)

    def isfile(self, path: AnyPath) -> bool:
        """Whether there is a file of that path."""
        return self.index.isfile(path)

    def isdir(self, path: AnyPath) -> bool:
        """Whether there is a directory of that path; the root is ``''``."""
        return self.index.isdir(path)

    def listdir(self, path: AnyPath = "") -> list[str]:
        """Names of a directory's entries. Raises FileNotFoundBarecatError."""
        return self.index.listdir_names(path)

    def scandir(self, path: AnyPath = "") -> Iterator[BarecatFileInfo | BarecatDirInfo]:
        """Infos of a directory's entries. Raises FileNotFoundBarecatError."""
        return self.index.iterdir_infos(path)

    def walk(self, path: AnyPath = "") -> Iterator[tuple[str, list[str], list[str]]]:
        """Walk a tree from the top, as ``os.walk``; the root's path is ``'.'``. Raises FileNotFoundBarecatError."""
        return self.index.walk_names(path)

    def glob(self, pattern: str, recursive: bool = False, include_hidden: bool = False) -> list[str]:
        """Paths that match, as Python's ``glob.glob`` gives them."""
        return self.index.glob_paths(pattern, recursive, include_hidden)

    def globfiles(self, pattern: str, recursive: bool = False, include_hidden: bool = False) -> list[str]:
        """The same, of files alone."""
        return self.index.glob_paths(pattern, recursive, include_hidden, only_files=True)

    def iglob(self, pattern: str, recursive: bool = False, include_hidden: bool = False) -> Iterator[str]:
        """:meth:`glob`, one by one."""
        return self.index.iterglob_paths(pattern, recursive, include_hidden)

    def iglobfiles(self, pattern: str, recursive: bool = False, include_hidden: bool = False) -> Iterator[str]:
        """:meth:`globfiles`, one by one."""
        return self.index.iterglob_paths(pattern, recursive, include_hidden, only_files=True)

    def _address_of(self, item: AnyPath | BarecatFileInfo) -> tuple[str, Sequence[Any]]:
        path = normalize(item)
        if isinstance(item, BarecatFileInfo) and item.shard is not None:
            return path, address_in(item)
        row = self.index.address(path)
        if row is None:
            raise FileNotFoundBarecatError("no such file", path=path)
        return path, row

    def read(self, item: AnyPath | BarecatFileInfo, offset: int = 0, size: int = -1) -> bytes:
        """Bytes of a file. The checksum is compared if it is the whole of it.

        Args:
            item: Its path or its info.
            offset: The first byte; past the end there is nothing.
            size: How many; all that are left if negative.

        Raises:
            FileNotFoundBarecatError: There is no such file.
            BarecatIntegrityError: The bytes are not those that were stored.
            ValueError: ``offset`` is negative.
        """
        if offset < 0:
            raise ValueError(f"an offset is not negative, got {offset}")
        path, row = self._address_of(item)
        return self._read(path, row, offset, None if size < 0 else size)

    def readinto(self, item: AnyPath | BarecatFileInfo, buffer: Buffer, offset: int = 0) -> int:
        """Fill a buffer with bytes of a file; returns how many there were. Raises as :meth:`read`."""
        view = memoryview(buffer).cast("B")
        data = self.read(item, offset, len(view))
        view[: len(data)] = data
        return len(data)

    def read_many(self, paths: Iterable[AnyPath]) -> list[bytes]:
        """Read many files: in order of address, neighbours together, on all processors, without the GIL.

        Args:
            paths: Which, or their infos.

        Returns:
            Their contents, in order of asking. All are in memory at once.

        Raises:
            FileNotFoundBarecatError: One of them is not there.
            BarecatIntegrityError: The bytes of one are not those that were stored.
        """
        from pixcrawler._machine import usable_cpus

        rows = self.index.addresses([normalize(path) for path in paths])
        items = []
        for path, *row in rows:
            shard, offset, size, crc = checked_address(row, path)
            items.append((self.shards.file(shard, path), offset, size, crc))
        found = read_many(items, usable_cpus())
        # What failed may have been moved meanwhile.
        return [
            one if isinstance(one, bytes) else self._read(row[0], row[1:], 0, None)
            for row, one in zip(rows, found, strict=True)
        ]


def address_in(info: BarecatFileInfo) -> tuple[Any, Any, Any, Any]:
    """Shard, offset, size and CRC-32C of an info, as a row has them."""
    return info.shard, info.offset, info.size, info.crc32c
