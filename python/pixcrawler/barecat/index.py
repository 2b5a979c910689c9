"""The index as a whole: :class:`Index` adds, changes and removes rows, and commits them."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pixcrawler.barecat import schema
from pixcrawler.barecat.connections import generation, open_writer, translated
from pixcrawler.barecat.exceptions import (
    BarecatError,
    DirectoryNotEmptyBarecatError,
    FileExistsBarecatError,
    FileNotFoundBarecatError,
    IsADirectoryBarecatError,
    NotADirectoryBarecatError,
)
from pixcrawler.barecat.infos import BarecatDirInfo, BarecatFileInfo
from pixcrawler.barecat.paths import SHARD_SIZE_UNLIMITED, check_writable, normalize, parent_of, parse_size, subtree
from pixcrawler.barecat.reading import IndexReader
from pixcrawler.barecat.statistics import Changes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from typing import TypeAlias

    from typing_extensions import Self

    AnyPath: TypeAlias = str | os.PathLike[str]

__all__ = ["Index", "statements"]


class Index(IndexReader):
    """The index of an archive: an SQLite file with a row for each file and each directory.

    A reader opens the file at first use, once for each thread and process. A writer opens it at once and has SQLite's
    write lock until it is closed: a second one is refused after five seconds, readers see what was committed last. It
    belongs to the process that made it, and to one thread at a time.

    Args:
        path: The index file.
        shard_size_limit: Bytes that a shard may have, or text such as ``"50G"``; None keeps what the index says.
        bufsize: Rows that a listing fetches at once.
        readonly: Refuse changes.
        wal: Let a new index keep SQLite's write-ahead log. Not for network file systems.
        readonly_is_immutable: Take no locks: nobody changes the file as long as it is open.

    Raises:
        BarecatError: Another process writes to it; it is of another version; it is broken.
        ValueError: ``shard_size_limit`` is no size, or less than what a shard has.
    """

    def __init__(
        self,
        path: AnyPath,
        shard_size_limit: int | str | None = None,
        bufsize: int | None = None,
        readonly: bool = True,
        wal: bool = False,
        readonly_is_immutable: bool = False,
    ) -> None:
        limit = parse_size(shard_size_limit)
        super().__init__(os.fspath(path), readonly=readonly, immutable=readonly_is_immutable, bufsize=bufsize)
        self._changes = Changes()
        self._known_dirs: set[str] = set()
        self._has_changes = False
        self._generation = generation()
        if readonly:
            return
        self._writer = open_writer(self.path, wal=wal)
        try:
            self._make_or_check()
            if limit is not None and limit != self.shard_size_limit:
                self.shard_size_limit = limit
        except BaseException:
            self._writer.close()
            self._writer = None
            raise

    def _make_or_check(self) -> None:
        connection = self._connection()
        try:
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables:
                self._check_schema(connection)
                return
            for script in (schema.TABLES, schema.INDEXES, schema.TRIGGERS):
                for statement in statements(script):
                    connection.execute(statement)
            rows = [("shard_size_limit", SHARD_SIZE_UNLIMITED), *schema.CONFIG, ("use_triggers", 0)]
            connection.executemany(schema.SET_CONFIG, rows)
            getuid, getgid = (getattr(os, name, lambda: None) for name in ("getuid", "getgid"))
            connection.execute(schema.ADD_ROOT, (getuid(), getgid(), time.time_ns()))
            connection.execute(schema.SET_CONFIG, ("use_triggers", 1))
        except sqlite3.Error as exc:
            raise translated(exc, self.path) from exc
        self.commit()

    @property
    def is_own(self) -> bool:
        """Whether this process made it: a fork's copy is not the child's."""
        return self._generation == generation()

    def check_own(self) -> None:
        """Raises ValueError if it is another process's."""
        if not self.is_own:
            raise ValueError("an archive that is written to belongs to the process that opened it")

    def last_shard(self) -> int:
        """The highest shard that a row names; -1 if there is no file."""
        shard = self._row(schema.LAST_SHARD)[0]
        return shard if type(shard) is int else -1

    # Transactions.

    def commit(self) -> None:
        """Make all changes so far durable and visible to others. The files' bytes must be durable before.

        Raises:
            BarecatError: Readers kept the file locked for too long (nothing is lost, try again), or the disk is full.
        """
        self._finish()
        self._begin()

    def _finish(self) -> None:
        connection = self._connection()
        try:
            self._settle()
            if self._has_changes:
                connection.execute(schema.SET_CONFIG, ("use_triggers", 1))
                self._has_changes = False
            if connection.in_transaction:
                connection.execute("COMMIT")
        except sqlite3.Error as exc:
            raise translated(exc, self.path) from exc

    def _begin(self) -> None:
        """Take the write lock. Who came in between changed whatever it liked."""
        self._known_dirs.clear()
        try:
            self._connection().execute("BEGIN IMMEDIATE")
        except sqlite3.Error as exc:
            raise translated(exc, self.path) from exc

    def close(self) -> None:
        """Commit, and let go of the file. Idempotent."""
        if self._readers is not None:
            self._readers.close()
        if self._writer is None:
            return
        if not self.is_own:
            # A forked child's copy: the connection is the parent's.
            self._writer = None
            return
        self._finish()
        connection, self._writer = self._writer, None
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA optimize")
        connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def optimize(self) -> None:
        """Let SQLite gather what its query planner wants to know."""
        self._write("PRAGMA optimize")

    @contextmanager
    def no_triggers(self) -> Iterator[None]:
        """A block in which the triggers are off. This index's own changes never need them."""
        self._begin_change()
        yield

    @contextmanager
    def bulk_mode(self) -> Iterator[None]:
        """A block of many changes; statistics are written once behind it."""
        self._begin_change()
        yield
        self._settle()

    def _begin_change(self) -> None:
        """Refuse a change that may not be, and turn the triggers off until the next commit.

        Raises:
            PermissionError: The index is read-only.
            ValueError: It is closed, or another process's.
        """
        if self._has_changes:
            return
        if self.readonly:
            raise PermissionError("the archive was opened read-only: pass readonly=False")
        self.check_own()
        connection = self._connection()
        try:
            if not connection.in_transaction:
                self._begin()
            connection.execute(schema.SET_CONFIG, ("use_triggers", 0))
        except sqlite3.Error as exc:
            raise translated(exc, self.path) from exc
        self._has_changes = True

    def _write(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement that changes rows; returns how many."""
        self._begin_change()
        try:
            return self._connection().execute(statement, parameters).rowcount
        except sqlite3.Error as exc:
            raise translated(exc, self.path) from exc

    def _write_many(self, statement: str, parameters: Iterable[Sequence[Any]]) -> None:
        self._begin_change()
        try:
            self._connection().executemany(statement, parameters)
        except sqlite3.Error as exc:
            raise translated(exc, self.path) from exc

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """A block that happens whole or not at all."""
        self._settle()
        self._write("SAVEPOINT whole")
        try:
            yield
            self._settle()
        except BaseException:
            self._changes.clear()
            self._known_dirs.clear()
            connection = self._connection()
            # A full disk may have rolled back everything already.
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK TO whole")
            raise
        finally:
            with suppress(sqlite3.Error):
                self._connection().execute("RELEASE whole")

    def _settle(self) -> None:
        if self._changes:
            self._write_many(schema.ADD_STATISTICS, list(self._changes.take()))

    # The limit.

    @property
    def shard_size_limit(self) -> int:
        """Bytes that a shard may have; kept in the index.

        Raises:
            ValueError: On setting: it is less than what a shard has.
        """
        return super().shard_size_limit

    @shard_size_limit.setter
    def shard_size_limit(self, limit: int | str) -> None:
        number = parse_size(limit)
        for shard, end in self._execute(schema.SHARD_ENDS).fetchall():
            if number is not None and isinstance(end, int) and end > number:
                raise ValueError(f"expected a limit of at least {end} bytes, which shard {shard} has, got {number}")
        self._write(schema.SET_CONFIG, ("shard_size_limit", number))

    # Additions.

    def check_new_file(self, path: str) -> None:
        """Refuse a path at which no file can be added; nothing is changed.

        Args:
            path: Normalised.

        Raises:
            ValueError: It must not be an entry's path.
            FileExistsBarecatError: There is a file.
            IsADirectoryBarecatError: There is a directory.
            NotADirectoryBarecatError: It lies below a file.
        """
        self._begin_change()
        check_writable(path)
        is_file, is_dir = self._kind(path)
        if is_file:
            raise FileExistsBarecatError("there is a file", path=path)
        if is_dir:
            raise IsADirectoryBarecatError("there is a directory", path=path)
        self._missing_dirs(parent_of(path), path)

    def _missing_dirs(self, directory: str, path: str) -> list[str]:
        """Which of a directory and its ancestors have to be made, the innermost first."""
        missing = []
        while directory and directory not in self._known_dirs:
            is_file, is_dir = self._kind(directory)
            if is_file:
                raise NotADirectoryBarecatError(f"{directory!r} is a file", path=path)
            if is_dir:
                self._known_dirs.add(directory)
                break
            missing.append(directory)
            directory = parent_of(directory)
        return missing

    def _make_dirs(self, directory: str, path: str) -> None:
        for missing in reversed(self._missing_dirs(directory, path)):
            self._insert_dir(missing, (None, None, None, time.time_ns()))

    def _insert_dir(self, path: str, metadata: tuple[int | None, ...]) -> None:
        self._write(schema.ADD_DIR, (path, *metadata))
        self._changes.directory(path, 1)
        self._known_dirs.add(path)

    def add_file(self, info: BarecatFileInfo) -> None:
        """Add a file's row; its bytes are in the shard already.

        Args:
            info: With shard, offset and size. Missing directories are made.

        Raises:
            As :meth:`check_new_file`; and ValueError: shard, offset or size is missing or negative.
        """
        path = normalize(info.path)
        self.check_new_file(path)
        self.insert_file(path, info)

    def insert_file(self, path: str, info: BarecatFileInfo) -> None:
        """The same for a path that :meth:`check_new_file` has just let pass.

        Args:
            path: Normalised.
            info: Everything else.
        """
        place = _checked_place(info)
        self._make_dirs(parent_of(path), path)
        self._write(schema.ADD_FILE, (path, info.mode, info.uid, info.gid, info.mtime_ns, *place, info.crc32c))
        self._changes.file(path, 1, place[2])

    def add_files(self, infos: Iterable[BarecatFileInfo]) -> None:
        """Add many files' rows, all or none."""
        with self._whole():
            for info in infos:
                self.add_file(info)

    def add(self, info: BarecatFileInfo | BarecatDirInfo) -> None:
        """Add a file's row or a directory's, as :meth:`add_file` and :meth:`add_dir` do."""
        if isinstance(info, BarecatDirInfo):
            self.add_dir(info)
        else:
            self.add_file(info)

    def add_dir(self, info: BarecatDirInfo, exist_ok: bool = False) -> None:
        """Add a directory and those above it.

        Args:
            info: Path, mode, owner, time; the statistics are the index's business.
            exist_ok: Let one that is there take what ``info`` knows of mode, owner and time.

        Raises:
            FileExistsBarecatError: There is an entry of that path.
            NotADirectoryBarecatError: It lies below a file.
            ValueError: It must not be an entry's path.
        """
        path = normalize(info.path)
        metadata = (info.mode, info.uid, info.gid, info.mtime_ns)
        self._begin_change()
        if path:
            check_writable(path)
        is_file, is_dir = self._kind(path)
        if is_file or (is_dir and not exist_ok):
            raise FileExistsBarecatError(f"there is a {'file' if is_file else 'directory'}", path=path)
        if is_dir:
            self._settle()
            self._write(schema.SET_DIR, (*metadata, path))
        else:
            self._make_dirs(parent_of(path), path)
            self._insert_dir(path, (*metadata[:3], time.time_ns() if info.mtime_ns is None else info.mtime_ns))
        if info.mtime_ns is not None:
            # Of this time, and not of that of packing what is in it.
            self._changes.keep_mtime.add(path)

    def merge_from_other_barecat(self, index_path: AnyPath, ignore_duplicates: bool = False, prefix: str = "") -> None:
        """Copy another index's rows, for an archive that has that one's shards behind its own.

        Args:
            index_path: The other index.
            ignore_duplicates: Leave out files that this one has; else one is an error.
            prefix: Directory that they go below.

        Raises:
            As :meth:`pixcrawler.barecat.Barecat.merge_from_other_barecat`.
        """
        from pixcrawler.barecat.merging import merge_index

        with self._whole(), Index(index_path) as source:
            merge_index(
                self, source, ignore_duplicates=ignore_duplicates, prefix=prefix, first_shard=self.last_shard() + 1
            )

    # Changes.

    def update_file(
        self,
        path: AnyPath,
        new_shard: int | None = None,
        new_offset: int | None = None,
        new_size: int | None = None,
        new_crc32c: int | None = None,
        new_mtime_ns: int | None = None,
        new_mode: int | None = None,
        new_uid: int | None = None,
        new_gid: int | None = None,
    ) -> None:
        """Change a file's row. What is None stays.

        Raises:
            FileNotFoundBarecatError: There is no such file.
            ValueError: A number is negative.
        """
        path = normalize(path)
        self._begin_change()
        info = self.lookup_file(path)
        old_size = info.size or 0
        info.shard = info.shard if new_shard is None else new_shard
        info.offset = info.offset if new_offset is None else new_offset
        info.size = info.size if new_size is None else new_size
        place = _checked_place(info)
        self._write(schema.SET_FILE, (*place, new_crc32c, new_mode, new_uid, new_gid, new_mtime_ns, path))
        self._changes.file(path, 0, place[2] - old_size)

    def move_bytes(self, path: str, shard: int, offset: int) -> None:
        """Say that a file's bytes stand elsewhere now."""
        self._write(schema.MOVE_BYTES, (shard, offset, path))

    def rename(self, old: AnyPath, new: AnyPath) -> None:
        """Give a file, or a directory with all that is below it, another path. Missing directories are made.

        Raises:
            FileNotFoundBarecatError: There is no such entry.
            FileExistsBarecatError: There is an entry of the new path.
            NotADirectoryBarecatError: The new path lies below a file.
            BarecatError: It is the root, or the new path lies below the old one.
            ValueError: The new path must not be an entry's.
        """
        old, new = normalize(old), normalize(new)
        self._begin_change()
        if not old or not new:
            raise BarecatError("the root cannot be renamed", path=old)
        is_file, is_dir = self._kind(old)
        if not is_file and not is_dir:
            raise FileNotFoundBarecatError("no such entry", path=old)
        if old == new:
            return
        check_writable(new)
        if any(self._kind(new)):
            raise FileExistsBarecatError("there is an entry", path=new)
        if new.startswith(f"{old}/"):
            if is_dir:
                raise BarecatError(f"a directory cannot be moved below itself, to {new!r}", path=old)
            raise NotADirectoryBarecatError(f"{old!r} is a file", path=new)
        with self._whole():
            self._make_dirs(parent_of(new), new)
            self._settle()
            if is_file:
                size = self.lookup_file(old).size or 0
                self._write(schema.MOVE_FILE, (new, old))
                self._changes.file(old, -1, -size)
                self._changes.file(new, 1, size)
            else:
                self._move_dir(old, new)

    def _move_dir(self, old: str, new: str) -> None:
        info = self.lookup_dir(old)
        self._write(schema.DEFER_REFERENCES)
        self._write(schema.MOVE_DIR, (new, old))
        self._write(schema.MOVE_DIRS_BELOW, (new, old, *subtree(old)))
        self._write(schema.MOVE_FILES_BELOW, (new, old, *subtree(old)))
        self._known_dirs.clear()
        num_files, size = info.num_files_tree or 0, info.size_tree or 0
        self._changes.directory(old, -1, -num_files, -size)
        self._changes.directory(new, 1, num_files, size)

    def remove_file(self, path: AnyPath) -> None:
        """Remove a file's row; its bytes become a hole.

        Raises:
            FileNotFoundBarecatError: There is no such file.
            IsADirectoryBarecatError: It is a directory.
        """
        path = normalize(path)
        self._begin_change()
        if self.isdir(path):
            raise IsADirectoryBarecatError("it is a directory", path=path)
        size = self.lookup_file(path).size or 0
        self._write(schema.DELETE_FILE, (path,))
        self._changes.file(path, -1, -size)

    def remove_empty_dir(self, path: AnyPath) -> None:
        """Remove a directory that has no entries.

        Raises:
            FileNotFoundBarecatError: There is no such entry.
            NotADirectoryBarecatError: It is a file.
            DirectoryNotEmptyBarecatError: It has entries.
            BarecatError: It is the root.
        """
        path = self._removable_dir(path)
        if self._row(schema.HAS_ENTRIES, (path,))[0]:
            raise DirectoryNotEmptyBarecatError("it has entries", path=path)
        self._settle()
        self._write(schema.DELETE_DIR, (path,))
        self._known_dirs.discard(path)
        self._changes.directory(path, -1)

    def remove_recursively(self, path: AnyPath) -> None:
        """Remove a file, or a directory with all that is below it. Raises as :meth:`remove_empty_dir`."""
        path = normalize(path)
        if path and self.isfile(path):
            self.remove_file(path)
            return
        path = self._removable_dir(path)
        with self._whole():
            info = self.lookup_dir(path)
            self._write(schema.DELETE_FILES_BELOW, subtree(path))
            below = list(self._column(schema.DIR_PATHS + schema.BELOW, subtree(path)))
            # The innermost first: a directory that another one lies in cannot be removed.
            self._write_many(schema.DELETE_DIR, [(one,) for one in sorted(below, reverse=True)])
            self._write(schema.DELETE_DIR, (path,))
            self._known_dirs.clear()
            self._changes.directory(path, -1, -(info.num_files_tree or 0), -(info.size_tree or 0))

    def _removable_dir(self, path: AnyPath) -> str:
        path = normalize(path)
        self._begin_change()
        if not path:
            raise BarecatError("the root cannot be removed", path=path)
        is_file, is_dir = self._kind(path)
        if is_file:
            raise NotADirectoryBarecatError("it is a file", path=path)
        if not is_dir:
            raise FileNotFoundBarecatError("no such directory", path=path)
        return path

    def _set(self, statements: Sequence[str], values: Sequence[Any], path: AnyPath) -> None:
        path = normalize(path)
        self._settle()
        if not sum(self._write(statement, (*values, path)) for statement in statements):
            raise FileNotFoundBarecatError("no such entry", path=path)

    def chmod(self, path: AnyPath, mode: int) -> None:
        """Set an entry's mode. Raises FileNotFoundBarecatError."""
        self._set(schema.SET_MODE, (mode,), path)

    def chown(self, path: AnyPath, uid: int, gid: int) -> None:
        """Set an entry's owner and group. Raises FileNotFoundBarecatError."""
        self._set(schema.SET_OWNER, (uid, gid), path)

    def update_mtime(self, path: AnyPath, mtime_ns: int | datetime) -> None:
        """Set an entry's time. Raises FileNotFoundBarecatError."""
        info = BarecatDirInfo(path, mtime_ns=mtime_ns)
        self._set(schema.SET_MTIME, (info.mtime_ns,), info.path)
        self._changes.keep_mtime.add(info.path)

    # The directories' rows, made anew.

    def update_dirs(self) -> None:
        """Add the rows of directories that files lie in and that are missing. Their statistics are left at zero."""
        self._settle()
        known = set(self.iter_all_dirpaths())
        missing = sorted(path for path in self.computed_statistics() if path not in known)
        self._write_many(schema.ADD_DIR, [(path, None, None, None, time.time_ns()) for path in missing])

    def update_treestats(self) -> None:
        """Compute the statistics of all directories from the files' rows."""
        self._settle()
        numbers = self.computed_statistics()
        self._write_many(schema.SET_STATISTICS, [(*values, path) for path, values in numbers.items()])

    # Checks.

    def verify_integrity(self) -> bool:
        """Whether the index agrees with itself; what does not is logged.

        See :func:`pixcrawler.barecat.maintenance.index_problems`.
        """
        from pixcrawler.barecat.maintenance import index_problems, logged

        return not logged(index_problems(self))


def statements(script: str) -> Iterator[str]:
    """The statements of a script: ``executescript`` would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _checked_place(info: BarecatFileInfo) -> tuple[int, int, int]:
    shard, offset, size = info.shard, info.offset, info.size
    if shard is None or offset is None or size is None or min(shard, offset, size) < 0:
        message = f"expected shard, offset and size of {info.path!r}, not negative, got {shard}, {offset}, {size}"
        raise ValueError(message)
    return shard, offset, size
