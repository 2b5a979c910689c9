"""What an index answers: lookups, listings, walks and totals."""

from __future__ import annotations

import heapq
import operator
import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from warnings import warn

from pixcrawler.barecat import schema
from pixcrawler.barecat.connections import Readers, needs_recovery, recover, translated
from pixcrawler.barecat.exceptions import (
    BarecatError,
    BarecatIntegrityError,
    FileNotFoundBarecatError,
)
from pixcrawler.barecat.globbing import iterglob
from pixcrawler.barecat.infos import BarecatDirInfo, BarecatFileInfo, Order
from pixcrawler.barecat.paths import SHARD_SIZE_UNLIMITED, normalize, subtree
from pixcrawler.barecat.statistics import of_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from pixcrawler.barecat.connections import Connection
    from pixcrawler.barecat.statistics import Statistics

    AnyPath: TypeAlias = str | os.PathLike[str]

__all__ = ["IndexReader"]

_T = TypeVar("_T")

_Entry = TypeVar("_Entry", BarecatFileInfo, BarecatDirInfo)

# Rows fetched at once by a listing.
_ROWS = 1000
# Paths in one statement; SQLite allows 999 parameters and more.
_LOOKED_UP = 500


class IndexReader:
    """The reading half of :class:`pixcrawler.barecat.Index`.

    Args:
        path: The index file.
        readonly: Whether this thread's read-only connection is used, or :attr:`_writer`.
        immutable: As ``readonly_is_immutable``.
        bufsize: Rows that a listing fetches at once; None is a good number.
    """

    def __init__(self, path: str, *, readonly: bool, immutable: bool, bufsize: int | None) -> None:
        self.path = path
        self.readonly = readonly
        self.bufsize = bufsize
        self._writer: Connection | None = None
        self._readers = Readers(path, immutable=immutable, check=self._check_schema) if readonly else None

    def _connection(self) -> Connection:
        if self._readers is not None:
            return self._readers.get()
        if self._writer is None:
            raise ValueError("the archive is closed")
        return self._writer

    def _check_schema(self, connection: Connection) -> None:
        """Refuse what is not an index of a version that is read.

        Raises:
            BarecatIntegrityError: It is no archive's index.
            BarecatError: It is of another version.
        """
        kinds = dict(connection.execute(schema.KINDS).fetchall())
        views = sorted(name for name, kind in kinds.items() if kind != "table")
        if views or "files" not in kinds:
            found = f"{views} are not tables" if views else "there is no table of files"
            raise BarecatIntegrityError(f"{self.path}: expected an archive's index, but {found}")
        if "config" not in kinds:
            message = f"{self.path}: the index is from before versions were numbered; upgrade the archive"
            raise BarecatError(message, code="archive_version")
        major, minor = (
            (connection.execute(schema.GET_CONFIG, (f"schema_version_{part}",)).fetchone() or (None,))[0]
            for part in ("major", "minor")
        )
        if type(major) is not int or type(minor) is not int:
            raise BarecatIntegrityError(f"{self.path}: expected a schema version, got {major!r}.{minor!r}")
        if major > schema.VERSION[0]:
            message = f"{self.path}: the schema is {major}.{minor}, the newest that is read is 0.3"
            raise BarecatError(message, code="archive_version")
        if (major, minor) > schema.VERSION:
            warn(f"{self.path}: the schema {major}.{minor} is newer than 0.3", stacklevel=4)

    # Statements.

    def _execute(self, statement: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run a statement that reads.

        Raises:
            BarecatError: The index is locked or broken.
        """
        try:
            try:
                return self._connection().execute(statement, parameters)
            except sqlite3.OperationalError as exc:
                if not self.readonly or not needs_recovery(exc):
                    raise
                with suppress(sqlite3.OperationalError):
                    recover(self.path)
                return self._connection().execute(statement, parameters)
        except sqlite3.Error as exc:
            raise translated(exc, self.path) from exc

    def _row(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        """The first row, or None; also for a path that no index can hold."""
        try:
            return self._execute(statement, parameters).fetchone()
        except UnicodeEncodeError:
            return None
        except sqlite3.Error as exc:
            raise translated(exc, self.path) from exc

    def _all(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._execute(statement, parameters).fetchall()
        except sqlite3.Error as exc:
            raise translated(exc, self.path) from exc

    def _stream(
        self, statement: str, parameters: Sequence[Any] = (), bufsize: int | None = None
    ) -> Iterator[list[Any]]:
        """All rows, some at a time. Other queries in between do not disturb them."""
        count = bufsize or self.bufsize or _ROWS
        try:
            cursor = self._execute(statement, parameters)
            while rows := cursor.fetchmany(count):
                yield rows
        except UnicodeEncodeError:
            return
        except sqlite3.Error as exc:
            raise translated(exc, self.path) from exc

    def _pages(self, statement: str, bufsize: int | None = None) -> Iterator[list[Any]]:
        """All rows in order of insertion, a page a query; the row number stands first in each."""
        count = bufsize or self.bufsize or _ROWS
        last = -1 << 63
        while rows := self._all(statement, (last, count)):
            last = rows[-1][0]
            yield rows

    def stream(self, statement: str) -> Iterator[list[Any]]:
        """Rows of a statement of :mod:`pixcrawler.barecat.schema`, some at a time. For maintenance."""
        self._settle()
        return self._stream(statement)

    def _column(self, statement: str, parameters: Sequence[Any] = ()) -> Iterator[str]:
        for rows in self._stream(statement, parameters):
            for (value,) in rows:
                yield value

    def _infos(
        self,
        kind: type[_Entry],
        statement: str,
        parameters: Sequence[Any] = (),
        bufsize: int | None = None,
    ) -> Iterator[_Entry]:
        make = kind._from_row  # noqa: SLF001
        for rows in self._stream(statement, parameters, bufsize):
            yield from map(make, rows)

    def _settle(self) -> None:
        """Bring the directories' statistics up to date; a reader's always are."""

    def _kind(self, path: str) -> tuple[int, int]:
        """Whether a path is a file's and whether it is a directory's."""
        return self._row(schema.KIND, (path,)) or (0, 0)

    # Single entries.

    def address(self, path: str) -> tuple[Any, Any, Any, Any] | None:
        """Shard, offset, size and CRC-32C of a file as the row has them, or None.

        Args:
            path: Normalised.
        """
        row: tuple[Any, Any, Any, Any] | None = self._row(schema.ADDRESS, (path,))
        return row

    def lookup_file(self, path: AnyPath) -> BarecatFileInfo:
        """A file's info.

        Raises:
            FileNotFoundBarecatError: There is no such file.
        """
        path = normalize(path)
        row = self._row(schema.FILE, (path,))
        if row is None:
            raise FileNotFoundBarecatError("no such file", path=path)
        return BarecatFileInfo._from_row(row)  # noqa: SLF001

    def lookup_dir(self, path: AnyPath) -> BarecatDirInfo:
        """A directory's info.

        Raises:
            FileNotFoundBarecatError: There is no such directory.
        """
        path = normalize(path)
        self._settle()
        row = self._row(schema.DIR, (path,))
        if row is None:
            raise FileNotFoundBarecatError("no such directory", path=path)
        return BarecatDirInfo._from_row(row)  # noqa: SLF001

    def lookup(self, path: AnyPath) -> BarecatFileInfo | BarecatDirInfo:
        """The info of a file or a directory.

        Raises:
            FileNotFoundBarecatError: There is neither.
        """
        path = normalize(path)
        row = self._row(schema.FILE, (path,))
        return self.lookup_dir(path) if row is None else BarecatFileInfo._from_row(row)  # noqa: SLF001

    def lookup_files(self, paths: Iterable[AnyPath]) -> list[BarecatFileInfo]:
        """The infos of many files, in order of asking.

        Raises:
            FileNotFoundBarecatError: One of them is not there.
        """
        wanted = [normalize(path) for path in paths]
        found = {row[0]: BarecatFileInfo._from_row(row) for row in self._rows_of(wanted, schema.FILES)}  # noqa: SLF001
        return _in_order(found, wanted)

    def addresses(self, paths: Sequence[str]) -> list[Sequence[Any]]:
        """Path, shard, offset, size and CRC-32C of many files, in order of asking.

        Args:
            paths: Normalised.

        Raises:
            FileNotFoundBarecatError: One of them is not there.
        """
        return _in_order({row[0]: row for row in self._rows_of(paths, schema.PATH_AND_ADDRESS)}, paths)

    def _rows_of(self, paths: Sequence[str], statement: str) -> Iterator[Sequence[Any]]:
        for start in range(0, len(paths), _LOOKED_UP):
            part = list(paths[start : start + _LOOKED_UP])
            # One length for most calls, so that one prepared statement serves them.
            part += part[-1:] * (_LOOKED_UP - len(part) if len(paths) > _LOOKED_UP else 0)
            for rows in self._stream(schema.for_paths(statement, len(part)), part):
                yield from rows

    def isfile(self, path: AnyPath) -> bool:
        """Whether there is a file of that path."""
        return self._row(schema.IS_FILE, (normalize(path),)) is not None

    def isdir(self, path: AnyPath) -> bool:
        """Whether there is a directory of that path; the root is ``''``."""
        return self._row(schema.IS_DIR, (normalize(path),)) is not None

    def exists(self, path: AnyPath) -> bool:
        """Whether there is a file or a directory of that path."""
        return any(self._kind(normalize(path)))

    def __contains__(self, path: object) -> bool:
        return isinstance(path, (str, os.PathLike)) and self.isfile(path)

    def __len__(self) -> int:
        return self.num_files

    # Totals.

    @property
    def num_files(self) -> int:
        """Files in the archive."""
        return self._totals()[0]

    @property
    def num_dirs(self) -> int:
        """Directories in the archive, the root included."""
        return int(self._row(schema.COUNT_DIRS)[0])

    @property
    def total_size(self) -> int:
        """Bytes of all files."""
        return self._totals()[1]

    def _totals(self) -> tuple[int, int]:
        self._settle()
        row = self._row(schema.TOTALS)
        if row is None or not all(type(value) is int for value in row):
            raise BarecatIntegrityError(f"{self.path}: expected the root's statistics, got {row!r}", code="archive_row")
        return row[0], row[1]

    @property
    def shard_size_limit(self) -> int:
        """Bytes that a shard may have."""
        row = self._row(schema.GET_CONFIG, ("shard_size_limit",))
        return row[0] if row and type(row[0]) is int and row[0] > 0 else SHARD_SIZE_UNLIMITED

    def get_last_file(self) -> BarecatFileInfo | None:
        """The file with the highest address, or None of an empty archive."""
        row = self._row(schema.LAST_FILE)
        return None if row is None else BarecatFileInfo._from_row(row)  # noqa: SLF001

    def logical_shard_end(self, shard: int) -> int:
        """One past the last byte of a shard that a file claims."""
        return int(self._row(schema.SHARD_END, (shard,))[0])

    # Listings of everything.

    def iter_all_fileinfos(self, order: Order = Order.ANY, bufsize: int | None = None) -> Iterator[BarecatFileInfo]:
        """All files' infos.

        Args:
            order: See :class:`Order`.
            bufsize: Rows fetched at once; None is a good number.
        """
        if order == Order.ANY:
            return self._paged_infos(bufsize)
        return self._infos(BarecatFileInfo, schema.ordered(schema.FILES, order, of_files=True), (), bufsize)

    def _paged_infos(self, bufsize: int | None) -> Iterator[BarecatFileInfo]:
        make = BarecatFileInfo._from_row  # noqa: SLF001
        for rows in self._pages(schema.PAGED_FILES, bufsize):
            for row in rows:
                yield make(row[1:])

    def iter_all_dirinfos(self, order: Order = Order.ANY, bufsize: int | None = None) -> Iterator[BarecatDirInfo]:
        """All directories' infos, the root's included."""
        statement = schema.ordered(schema.DIRS, order, of_files=False)
        self._settle()
        return self._infos(BarecatDirInfo, statement, (), bufsize)

    def iter_all_infos(
        self, order: Order = Order.ANY, bufsize: int | None = None
    ) -> Iterator[BarecatFileInfo | BarecatDirInfo]:
        """All infos: those of the directories, then those of the files, each in the order asked for."""
        dirs = self.iter_all_dirinfos(order, bufsize)
        files = self.iter_all_fileinfos(order, bufsize)
        return (info for part in (dirs, files) for info in part)

    def iter_by_path(self) -> Iterator[BarecatFileInfo | BarecatDirInfo]:
        """All infos but the root's, directories and files together, in byte order of path; it delays no writer."""
        self._settle()
        dirs = self._by_path(BarecatDirInfo, schema.DIRS)
        files = self._by_path(BarecatFileInfo, schema.FILES)
        return heapq.merge(dirs, files, key=operator.attrgetter("path"))

    def _by_path(self, kind: type[_Entry], statement: str) -> Iterator[_Entry]:
        last = ""
        while rows := self._all(statement + schema.PAGES_BY_PATH, (last, _ROWS)):
            for row in rows:
                if not isinstance(row[0], str):
                    raise BarecatIntegrityError(f"a path is text, not {row[0]!r:.40}", code="archive_row")
                yield kind._from_row(row)  # noqa: SLF001
            last = rows[-1][0]

    def iter_all_filepaths(self, order: Order = Order.ANY) -> Iterator[str]:
        """All files' paths."""
        if order == Order.ANY:
            return (path for rows in self._pages(schema.PAGED_FILE_PATHS) for _, path in rows)
        return self._column(schema.ordered(schema.FILE_PATHS, order, of_files=True))

    def iter_all_dirpaths(self, order: Order = Order.ANY) -> Iterator[str]:
        """All directories' paths, the root's ``''`` included."""
        return self._column(schema.ordered(schema.DIR_PATHS, order, of_files=False))

    def iter_all_paths(self, order: Order = Order.ANY, *, include_dirs: bool = False) -> Iterator[str]:
        """All files' paths: each can be read.

        Args:
            order: See :class:`Order`.
            include_dirs: List the directories' too, before the files'.
        """
        if include_dirs:
            dirs, files = self.iter_all_dirpaths(order), self.iter_all_filepaths(order)
            return (path for part in (dirs, files) for path in part)
        return self.iter_all_filepaths(order)

    def __iter__(self) -> Iterator[BarecatFileInfo | BarecatDirInfo]:
        return self.iter_all_infos()

    # Directories.

    def _check_dir(self, path: AnyPath) -> str:
        path = normalize(path)
        if not self.isdir(path):
            raise FileNotFoundBarecatError("no such directory", path=path)
        return path

    def iter_direct_fileinfos(self, path: AnyPath = "", order: Order = Order.ANY) -> Iterator[BarecatFileInfo]:
        """Infos of the files directly in a directory."""
        statement = schema.ordered(schema.FILES + schema.IN_DIR, order, of_files=True)
        return self._infos(BarecatFileInfo, statement, (normalize(path),))

    def list_direct_fileinfos(self, path: AnyPath = "", order: Order = Order.ANY) -> list[BarecatFileInfo]:
        """The same, as a list."""
        return list(self.iter_direct_fileinfos(path, order))

    def iter_subdir_dirinfos(self, path: AnyPath = "", order: Order = Order.ANY) -> Iterator[BarecatDirInfo]:
        """Infos of the directories directly in a directory."""
        statement = schema.ordered(schema.DIRS + schema.IN_DIR, order, of_files=False)
        self._settle()
        return self._infos(BarecatDirInfo, statement, (normalize(path),))

    def list_subdir_dirinfos(self, path: AnyPath = "", order: Order = Order.ANY) -> list[BarecatDirInfo]:
        """The same, as a list."""
        return list(self.iter_subdir_dirinfos(path, order))

    def names_in(self, path: str, *, dirs_only: bool = False, order: Order = Order.ANY) -> list[str]:
        """Names of a directory's entries, directories first; none if there is no such directory.

        Args:
            path: Normalised.
            dirs_only: Leave the files out.
            order: See :class:`Order`.
        """
        statements = [schema.DIR_PATHS] if dirs_only else [schema.DIR_PATHS, schema.FILE_PATHS]
        start = len(path) + 1 if path else 0
        return [
            found[start:]
            for statement in statements
            for found in self._column(schema.ordered(statement + schema.IN_DIR, order, of_files=False), (path,))
        ]

    def listdir_names(self, path: AnyPath = "", order: Order = Order.ANY) -> list[str]:
        """Names of a directory's entries, directories first.

        Raises:
            FileNotFoundBarecatError: There is no such directory.
        """
        return self.names_in(self._check_dir(path), order=order)

    def iterdir_names(self, path: AnyPath = "", order: Order = Order.ANY) -> Iterator[str]:
        """The same, one by one."""
        return iter(self.listdir_names(path, order))

    def listdir_infos(self, path: AnyPath = "", order: Order = Order.ANY) -> list[BarecatFileInfo | BarecatDirInfo]:
        """Infos of a directory's entries, directories first. Raises as :meth:`listdir_names`."""
        path = self._check_dir(path)
        dirs = self.list_subdir_dirinfos(path, order)
        return [*dirs, *self.iter_direct_fileinfos(path, order)]

    def iterdir_infos(self, path: AnyPath = "", order: Order = Order.ANY) -> Iterator[BarecatFileInfo | BarecatDirInfo]:
        """The same, one by one."""
        return iter(self.listdir_infos(path, order))

    def walk_names(self, path: AnyPath = "") -> Iterator[tuple[str, list[str], list[str]]]:
        """Walk a tree as ``os.walk`` does, from the top: what is taken out of the directories' list is not entered.

        Yields:
            The directory's path (``'.'`` is the root), names of its directories, names of its files.

        Raises:
            FileNotFoundBarecatError: There is no such directory.
        """
        pending = [self._check_dir(path)]
        while pending:
            place = pending.pop()
            start = len(place) + 1 if place else 0
            dirs = self.names_in(place, dirs_only=True)
            files = [found[start:] for found in self._column(schema.FILE_PATHS + schema.IN_DIR, (place,))]
            yield place or ".", dirs, files
            pending.extend(f"{place}/{name}" if place else name for name in reversed(dirs))

    def walk_infos(
        self, path: AnyPath = ""
    ) -> Iterator[tuple[BarecatDirInfo, list[BarecatDirInfo], list[BarecatFileInfo]]]:
        """The same with infos."""
        pending = [self.lookup_dir(self._check_dir(path))]
        while pending:
            place = pending.pop()
            dirs = self.list_subdir_dirinfos(place.path)
            yield place, dirs, self.list_direct_fileinfos(place.path)
            pending.extend(reversed(dirs))

    def iter_fileinfos_below(self, path: AnyPath = "", order: Order = Order.ANY) -> Iterator[BarecatFileInfo]:
        """Infos of all files below a directory, however deep."""
        path = normalize(path)
        if not path:
            return self.iter_all_fileinfos(order)
        statement = schema.ordered(schema.FILES + schema.BELOW, order, of_files=True)
        return self._infos(BarecatFileInfo, statement, subtree(path))

    # For maintenance.

    def page_by_address(self, after: tuple[int, int, int]) -> list[tuple[Any, ...]]:
        """Some rows behind an address: path, shard, offset, size, CRC-32C and row number."""
        return self._all(schema.FROM_ADDRESS, (*after, _ROWS))

    def list_by_address(self, *, descending: bool = False) -> list[tuple[Any, ...]]:
        """Path, shard, offset, size and CRC-32C of all files, in order of address."""
        order = Order.ADDRESS | Order.DESC if descending else Order.ADDRESS
        statement = schema.ordered(schema.PATH_AND_ADDRESS, order, of_files=True)
        return [row for rows in self._stream(statement) for row in rows]

    def computed_statistics(self) -> dict[str, Statistics]:
        """What the statistics of each directory, and of each missing ancestor, should be."""
        counts = (row for rows in self._stream(schema.COUNT_BY_PARENT) for row in rows)
        return of_rows(self.iter_all_dirpaths(), counts)

    # Patterns.

    def iterglob_paths(
        self,
        pattern: str,
        recursive: bool = False,
        include_hidden: bool = False,
        only_files: bool = False,
    ) -> Iterator[str]:
        """Paths that match a pattern, as Python's ``glob`` gives them.

        Args:
            pattern: With ``*``, ``?``, ``[...]``; a trailing slash asks for directories, and stays.
            recursive: Let ``**`` stand for any number of directories.
            include_hidden: Let wildcards match names that begin with a dot.
            only_files: Leave the directories out.
        """
        found = iterglob(self, pattern, recursive=recursive, include_hidden=include_hidden)
        return (path for path in found if self.isfile(path)) if only_files else found

    def glob_paths(
        self,
        pattern: str,
        recursive: bool = False,
        include_hidden: bool = False,
        only_files: bool = False,
    ) -> list[str]:
        """The same, as a list."""
        return list(self.iterglob_paths(pattern, recursive, include_hidden, only_files))

    def iterglob_infos(
        self,
        pattern: str,
        recursive: bool = False,
        include_hidden: bool = False,
        only_files: bool = False,
    ) -> Iterator[BarecatFileInfo | BarecatDirInfo]:
        """The same with infos."""
        return map(self.lookup, self.iterglob_paths(pattern, recursive, include_hidden, only_files))


def _in_order(found: Mapping[str, _T], wanted: Sequence[str]) -> list[_T]:
    try:
        return [found[path] for path in wanted]
    except KeyError as exc:
        raise FileNotFoundBarecatError("no such file", path=exc.args[0]) from None
