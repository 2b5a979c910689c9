"""SQLite connections to an index: how they are opened, whose they are, and what their errors mean."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from contextlib import closing, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from pixcrawler.barecat.exceptions import BarecatError, BarecatIntegrityError, NotEnoughSpaceBarecatError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pixcrawler.exceptions import PixCrawlerError

__all__ = ["Connection", "Readers", "open_writer", "recover", "translated"]

_TIMEOUT_S = 5
_CACHE_KIB = 64 << 10


class Connection(sqlite3.Connection):
    """A connection that can be listed without being kept alive."""


# All that are open in this process. A fork happens with a strong reference to each: SQLite forbids to touch an
# inherited connection, and closing one is touching it.
_open: weakref.WeakSet[Connection] = weakref.WeakSet()
_held: list[Connection] = []
_generation = 0


def _before_fork() -> None:
    _held.extend(_open)


def _after_fork_in_parent() -> None:
    _held.clear()


def _after_fork_in_child() -> None:
    global _generation  # noqa: PLW0603
    _generation += 1
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def generation() -> int:
    """A number that is another one after a fork."""
    return _generation


def _connect(path: str, query: str) -> Connection:
    # Quoted as bytes: a name may hold what a URI gives a meaning to, and need not be UTF-8.
    place = quote(os.fsencode(os.path.abspath(path)))
    connection = sqlite3.connect(
        f"file:{place}?{query}",
        uri=True,
        timeout=_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        factory=Connection,
    )
    _open.add(connection)
    # The file is never mapped: one that another process cuts must be an error, not a signal. What the schema says is
    # not trusted: it may call SQLite's harmless functions alone.
    for pragma in ("mmap_size = 0", f"cache_size = -{_CACHE_KIB}", "temp_store = MEMORY", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _open_reader(path: str, *, immutable: bool) -> Connection:
    connection = _connect(path, "mode=ro&immutable=1" if immutable else "mode=ro")
    connection.execute("PRAGMA query_only = ON")
    return connection


def open_writer(path: str, *, wal: bool) -> Connection:
    """A connection that writes, with the write lock, which it keeps until it is closed.

    Raises:
        BarecatError: Another process has the lock.
    """
    try:
        connection = _connect(path, "mode=rwc")
        if wal:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA recursive_triggers = ON")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as exc:
        raise translated(exc, path) from exc
    return connection


def recover(path: str) -> None:
    """Roll back what a killed writer left half done, which a read-only connection cannot.

    Raises:
        sqlite3.Error: The files cannot be written.
    """
    with closing(_connect(path, "mode=rw")) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def needs_recovery(exc: sqlite3.Error) -> bool:
    """Whether a reader met the journal of a writer that is no more."""
    return isinstance(exc, sqlite3.OperationalError) and "readonly database" in str(exc)


def translated(exc: sqlite3.Error, path: str) -> PixCrawlerError:
    """What an error of SQLite means.

    Args:
        exc: The error.
        path: The index.
    """
    text = str(exc)
    detail = f"{path}: {text}"
    if "locked" in text:
        return BarecatError(detail, code="archive_locked")
    if "disk is full" in text:
        return NotEnoughSpaceBarecatError(detail)
    if needs_recovery(exc):
        detail = f"{path}: a writer was killed, and its journal cannot be rolled back without write access"
        return BarecatError(detail, code="archive_locked")
    return BarecatIntegrityError(detail)


class Readers:
    """Read-only connections to one index: one for each thread and each process that asks.

    Args:
        path: The index.
        immutable: Nobody changes the file as long as it is open: no lock is taken.
        check: Called with each new connection; refuses one that is not an index's by raising.
    """

    def __init__(self, path: str, *, immutable: bool, check: Callable[[Connection], None]) -> None:
        self._path = path
        self._immutable = immutable
        self._check = check
        self._local: threading.local | None = threading.local()

    def get(self) -> Connection:
        """This thread's connection.

        Raises:
            ValueError: The archive is closed.
            BarecatError: The index cannot be opened.
        """
        local = self._local
        if local is None:
            raise ValueError("the archive is closed")
        try:
            connection: Connection
            made, connection = local.opened
            if made == _generation:
                return connection
        except AttributeError:
            pass
        connection = self._open()
        local.opened = (_generation, connection)
        return connection

    def _open(self) -> Connection:
        try:
            try:
                return self._tried()
            except sqlite3.OperationalError as exc:
                if not needs_recovery(exc):
                    raise
                with suppress(sqlite3.OperationalError):
                    recover(self._path)
                return self._tried()
        except sqlite3.Error as exc:
            raise translated(exc, self._path) from exc

    def _tried(self) -> Connection:
        connection = _open_reader(self._path, immutable=self._immutable)
        self._check(connection)
        return connection

    def close(self) -> None:
        """Let go of all connections. One that another thread uses at this moment lives as long as that."""
        self._local = None
