"""Indexes of older versions made anew."""

from __future__ import annotations

import os
import shutil
import sqlite3
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from pixcrawler._native import crc32c
from pixcrawler.barecat import layout, schema
from pixcrawler.barecat.connections import Connection, open_writer, translated
from pixcrawler.barecat.exceptions import BarecatError, BarecatIntegrityError, FileNotFoundBarecatError
from pixcrawler.barecat.index import statements
from pixcrawler.barecat.paths import SHARD_SIZE_UNLIMITED, is_safe, normalize, parent_of
from pixcrawler.barecat.shards import Shards, checked_address
from pixcrawler.barecat.statistics import of_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeAlias

    AnyPath: TypeAlias = str | os.PathLike[str]

__all__ = ["upgrade"]

_READ_BYTES = 8 << 20
_ROWS = 1000
_PARTIAL = ".partial"
_BACKUP = ".old"


def upgrade(path: AnyPath, *, workers: int | None = None, preserve_backup: bool = True) -> bool:
    """Bring an archive's index to the schema of today. No shard is touched.

    The new index is made beside the old one, complete and durable, and takes its name in one step. Statistics are
    computed anew. Of the time before versions were numbered each file is read, and gets its checksum.

    Args:
        path: The archive's name.
        workers: Threads that read files; None is one for each processor.
        preserve_backup: Keep the old index, with ``.old`` behind its name.

    Returns:
        Whether there was something to do.

    Raises:
        FileNotFoundBarecatError: There is no such archive.
        BarecatIntegrityError: The index or a file is broken; nothing was changed.
        BarecatError: Another process writes to the archive, or it is of a newer version.
    """
    name = os.path.abspath(os.fspath(path))
    index = layout.find_index(name)
    if not os.path.isfile(index):
        raise FileNotFoundBarecatError(f"no archive's index at {name}", code="archive_not_found")
    partial = index + _PARTIAL
    layout.remove(partial)
    try:
        with closing(open_writer(index, wal=False)) as old:
            version = _version(old, index)
            if version is not None and version >= schema.VERSION:
                return False
            _leave_wal(old)
            _build(partial, _rows(old, version, name, workers))
            shutil.copymode(index, partial)
            if preserve_backup:
                _keep(index, index + _BACKUP)
            # With the old one's lock: nobody has changed it meanwhile.
            os.rename(partial, index)
    except BaseException as exc:
        layout.remove(partial)
        if isinstance(exc, sqlite3.Error):
            raise translated(exc, index) from exc
        raise
    layout.sync_folder(index)
    return True


def _version(old: Connection, index: str) -> tuple[int, int] | None:
    """The schema's version, None of the time before there was one."""
    kinds = dict(old.execute(schema.KINDS).fetchall())
    if set(kinds.values()) != {"table"} or "files" not in kinds:
        raise BarecatIntegrityError(f"{index}: expected an archive's index, but there is no table of files")
    if "config" not in kinds:
        return None
    found = [
        (old.execute(schema.GET_CONFIG, (f"schema_version_{part}",)).fetchone() or (None,))[0]
        for part in ("major", "minor")
    ]
    major, minor = found
    if type(major) is not int or type(minor) is not int:
        raise BarecatIntegrityError(f"{index}: expected a schema version, got {major!r}.{minor!r}")
    if major > schema.VERSION[0]:
        message = f"{index}: the schema is {major}.{minor}, the newest that is read is 0.3"
        raise BarecatError(message, code="archive_version")
    return major, minor


def _leave_wal(old: Connection) -> None:
    """Bring what a write-ahead log holds into the file: the log must not be there for the new one."""
    if old.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        old.execute("COMMIT")
        old.execute("PRAGMA journal_mode = DELETE")
        old.execute("BEGIN IMMEDIATE")


_Rows = tuple["Iterator[tuple[Any, ...]]", "Iterator[tuple[Any, ...]]", "list[tuple[Any, ...]]"]


def _rows(old: Connection, version: tuple[int, int] | None, name: str, workers: int | None) -> _Rows:
    """Rows of files, of directories and of the configuration."""
    if version is not None:
        return _pages(old, schema.FILES), _pages(old, schema.OLD_DIRS), old.execute(schema.OLD_CONFIG).fetchall()
    columns = {column for (column,) in old.execute(schema.OLD_COLUMNS).fetchall()}
    statement = schema.UNVERSIONED_FILES_WITH_CRC if "crc32" in columns else schema.UNVERSIONED_FILES
    files = _with_checksums(_pages(old, statement), Shards(name), workers)
    return files, _pages(old, schema.UNVERSIONED_DIRS), [("shard_size_limit", None, SHARD_SIZE_UNLIMITED)]


def _pages(connection: Connection, statement: str) -> Iterator[tuple[Any, ...]]:
    cursor = connection.execute(statement)
    while rows := cursor.fetchmany(_ROWS):
        yield from rows


def _with_checksums(rows: Iterable[tuple[Any, ...]], shards: Shards, workers: int | None) -> Iterator[tuple[Any, ...]]:
    """Rows of the table of files: each file is read by one of several threads, in order of address."""
    from itertools import islice

    from pixcrawler._machine import usable_cpus

    def completed(row: tuple[Any, ...]) -> tuple[Any, ...]:
        path, *address, old_crc = row
        path = normalize(path)
        shard, offset, size, _ = checked_address((*address, None), path)
        crc, found = 0, 0
        for start in range(offset, offset + size, _READ_BYTES):
            data = shards.read(path, shard, start, min(_READ_BYTES, offset + size - start))
            crc = crc32c(data, crc)
            found = zlib.crc32(data, found) if old_crc is not None else 0
        if old_crc is not None and found != old_crc & 0xFFFFFFFF:
            message = f"expected CRC32 {old_crc & 0xFFFFFFFF:08x}, got {found:08x}"
            raise BarecatIntegrityError(message, code="crc32c", path=path)
        return path, None, None, None, None, shard, offset, size, crc

    iterator = iter(rows)
    with ThreadPoolExecutor(workers or usable_cpus(), thread_name_prefix="pixcrawler-upgrade") as pool:
        while part := list(islice(iterator, _ROWS)):
            yield from pool.map(completed, part)


def _build(partial: str, rows: _Rows) -> None:
    """Write a whole index: rows, then SQLite's indexes, statistics in one pass, then the triggers."""
    files, dirs, config = rows
    with closing(open_writer(partial, wal=False)) as new:
        # Files come before their directories.
        for statement in ("COMMIT", "PRAGMA foreign_keys = OFF", "BEGIN", *statements(schema.TABLES)):
            new.execute(statement)
        numbers = {
            f"schema_version_{part}": value for part, value in zip(("major", "minor"), schema.VERSION, strict=True)
        }
        new.executemany(schema.COPY_CONFIG, [*config, *((key, None, value) for key, value in numbers.items())])
        new.execute(schema.SET_CONFIG, ("use_triggers", 1))
        metadata = {normalize(path): found for path, *found in dirs}
        metadata.setdefault("", [None] * 4)
        counts: dict[str, list[int]] = {}
        new.executemany(schema.ADD_FILE, _counted(files, counts))
        numbers_of = of_rows(metadata, ((path, count, size) for path, (count, size) in counts.items()))
        new.executemany(
            schema.ADD_DIR_WITH_STATISTICS,
            ((path, *metadata.get(path, [None] * 4), *numbers) for path, numbers in numbers_of.items()),
        )
        for script in (schema.INDEXES, schema.TRIGGERS):
            for statement in statements(script):
                new.execute(statement)
        for (path,) in new.execute(schema.TWICE).fetchall():
            raise BarecatIntegrityError("the path is a file's and a directory's", path=path)
        new.execute("COMMIT")
        with suppress(sqlite3.Error):
            new.execute("PRAGMA optimize")


def _counted(files: Iterable[tuple[Any, ...]], counts: dict[str, list[int]]) -> Iterator[tuple[Any, ...]]:
    for row in files:
        path, size = row[0], row[7]
        if not isinstance(path, str) or not is_safe(path):
            raise BarecatIntegrityError("the path is unsafe", code="archive_row", path=str(path))
        checked_address(row[5:], path)
        count = counts.setdefault(parent_of(path), [0, 0])
        count[0] += 1
        count[1] += size
        yield row


def _keep(index: str, backup: str) -> None:
    """Give the old index a second name; its own is never without a file."""
    with suppress(FileNotFoundError):
        os.unlink(backup)
    try:
        os.link(index, backup)
    except OSError:
        shutil.copy2(index, backup)
