"""What the index knows of an entry, and the orders in which entries are listed."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Flag
from typing import TYPE_CHECKING, Any, ClassVar

from pixcrawler.barecat.paths import normalize

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from typing_extensions import Self

__all__ = ["BarecatDirInfo", "BarecatEntryInfo", "BarecatFileInfo", "Order"]

_SECOND_NS = 10**9


class Order(Flag):
    """How a listing is ordered.

    ``ANY`` streams, in practice by insertion; ``PATH`` is the order of the paths' UTF-8 bytes; ``ADDRESS`` that of
    shard and offset, of files alone; ``RANDOM`` shuffles. ``PATH`` and ``ADDRESS`` go backwards with ``| Order.DESC``.
    """

    ANY = 1
    RANDOM = 2
    ADDRESS = 4
    PATH = 8
    DESC = 16


class BarecatEntryInfo:
    """A file or a directory of an archive.

    Args:
        path: Its path, which is normalised.
        mode: As ``st_mode``; None is unknown, here and below.
        uid: Number of the owner.
        gid: Number of the group.
        mtime_ns: Time of the last change: nanoseconds since 1970, or a datetime.
    """

    __slots__ = ("gid", "mode", "mtime_ns", "path", "uid")
    _columns: ClassVar[tuple[str, ...]] = ("path", "mode", "uid", "gid", "mtime_ns")

    path: str
    mode: int | None
    uid: int | None
    gid: int | None
    mtime_ns: int | None

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        mtime_ns: int | datetime | None = None,
    ) -> None:
        self.path = "" if path is None else normalize(path)
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime_ns = _to_ns(mtime_ns) if isinstance(mtime_ns, datetime) else mtime_ns

    @classmethod
    def _from_row(cls, row: Sequence[Any]) -> Self:
        raise NotImplementedError

    @property
    def mtime_dt(self) -> datetime | None:
        """``mtime_ns`` as a naive datetime in local time, to the microsecond; settable."""
        if self.mtime_ns is None:
            return None
        seconds, nanoseconds = divmod(self.mtime_ns, _SECOND_NS)
        return datetime.fromtimestamp(seconds) + timedelta(microseconds=nanoseconds // 1000)  # noqa: DTZ006

    @mtime_dt.setter
    def mtime_dt(self, value: datetime | None) -> None:
        self.mtime_ns = None if value is None else _to_ns(value)

    def __fspath__(self) -> str:
        """Its path: an info may stand where a path is asked for."""
        return self.path

    def isfile(self) -> bool:
        """Whether it is a file."""
        return isinstance(self, BarecatFileInfo)

    def isdir(self) -> bool:
        """Whether it is a directory."""
        return isinstance(self, BarecatDirInfo)

    def asdict(self) -> dict[str, Any]:
        """All fields by name."""
        return {name: getattr(self, name) for name in self._columns}

    def fill_from_statresult(self, st: os.stat_result) -> None:
        """Take mode, owner, group and time, of a file also the size, from ``os.stat``."""
        self.mode = st.st_mode
        self.uid = st.st_uid
        self.gid = st.st_gid
        self.mtime_ns = st.st_mtime_ns

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BarecatEntryInfo) or type(self) is not type(other):
            return NotImplemented
        return self.asdict() == other.asdict()

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.asdict().items() if value is not None)
        return f"{type(self).__name__}({fields})"


class BarecatFileInfo(BarecatEntryInfo):
    """A file of an archive.

    Args:
        path: As in :class:`BarecatEntryInfo`.
        mode: As there.
        uid: As there.
        gid: As there.
        mtime_ns: As there.
        shard: Number of the shard that holds it.
        offset: Its first byte there.
        size: Bytes.
        crc32c: CRC-32C of its bytes; None is unknown.
    """

    __slots__ = ("crc32c", "offset", "shard", "size")
    _columns = ("path", "mode", "uid", "gid", "mtime_ns", "shard", "offset", "size", "crc32c")

    shard: int | None
    offset: int | None
    size: int | None
    crc32c: int | None

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        mtime_ns: int | datetime | None = None,
        shard: int | None = None,
        offset: int | None = None,
        size: int | None = None,
        crc32c: int | None = None,
    ) -> None:
        super().__init__(path, mode, uid, gid, mtime_ns)
        self.shard = shard
        self.offset = offset
        self.size = size
        self.crc32c = crc32c

    @classmethod
    def _from_row(cls, row: Sequence[Any]) -> Self:
        info = cls.__new__(cls)
        (
            info.path,
            info.mode,
            info.uid,
            info.gid,
            info.mtime_ns,
            info.shard,
            info.offset,
            info.size,
            info.crc32c,
        ) = row
        return info

    @property
    def end(self) -> int:
        """One past its last byte in the shard."""
        return (self.offset or 0) + (self.size or 0)

    def fill_from_statresult(self, st: os.stat_result) -> None:
        """Take mode, owner, group, time and size from ``os.stat``."""
        super().fill_from_statresult(st)
        self.size = st.st_size


class BarecatDirInfo(BarecatEntryInfo):
    """A directory of an archive.

    Args:
        path: As in :class:`BarecatEntryInfo`.
        mode: As there.
        uid: As there.
        gid: As there.
        mtime_ns: As there.
        num_subdirs: Directories directly in it.
        num_files: Files directly in it.
        size_tree: Bytes of all files below it.
        num_files_tree: Files below it.
    """

    __slots__ = ("num_files", "num_files_tree", "num_subdirs", "size_tree")
    _columns = ("path", "mode", "uid", "gid", "mtime_ns", "num_subdirs", "num_files", "size_tree", "num_files_tree")

    num_subdirs: int | None
    num_files: int | None
    size_tree: int | None
    num_files_tree: int | None

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        mtime_ns: int | datetime | None = None,
        num_subdirs: int | None = None,
        num_files: int | None = None,
        size_tree: int | None = None,
        num_files_tree: int | None = None,
    ) -> None:
        super().__init__(path, mode, uid, gid, mtime_ns)
        self.num_subdirs = num_subdirs
        self.num_files = num_files
        self.size_tree = size_tree
        self.num_files_tree = num_files_tree

    @classmethod
    def _from_row(cls, row: Sequence[Any]) -> Self:
        info = cls.__new__(cls)
        (
            info.path,
            info.mode,
            info.uid,
            info.gid,
            info.mtime_ns,
            info.num_subdirs,
            info.num_files,
            info.size_tree,
            info.num_files_tree,
        ) = row
        return info

    @property
    def num_entries(self) -> int:
        """Directories and files directly in it."""
        return (self.num_subdirs or 0) + (self.num_files or 0)


def _to_ns(value: datetime) -> int:
    """Nanoseconds since 1970; a naive datetime is local time."""
    return int(value.replace(microsecond=0).timestamp()) * _SECOND_NS + value.microsecond * 1000
