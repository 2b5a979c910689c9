"""What tests of archives share: archives, what is in them, and processes that die at a given write."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from pixcrawler import barecat
from pixcrawler.barecat import Barecat
from support import checksums

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = {f"d{n % 5}/f{n}": random.Random(n).randbytes(n * 91 % 3001) for n in range(150)}


def make(path: Path, files: dict[str, bytes] = FILES, **options: Any) -> Path:
    with Barecat(path, readonly=False, **options) as bc:
        for name, data in files.items():
            bc[name] = data
    return path


def content(path: Path) -> dict[str, bytes]:
    with Barecat(path) as bc:
        return dict(bc.items())


# Crashes: a child is killed at its n-th call that changes a file, for every n.


def forked(work: Callable[[], bool]) -> int:
    """The exit code of a forked child: 0 if the work succeeds, negative if a signal ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_at(point: int) -> None:
    """Kill this process at its n-th call that changes a file, after half of the bytes if it writes some."""
    left = point

    def counted(home: Any, name: str) -> None:
        real = getattr(home, name)

        def wrapper(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                if name == "pwrite":
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2], *arguments[2:])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)

        setattr(home, name, wrapper)

    for name in ("pwrite", "ftruncate", "truncate", "unlink", "fdatasync", "fsync"):
        counted(os, name)
    for name in ("commit", "_finish", "_begin"):
        counted(barecat.Index, name)


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def statistics(path: Path) -> dict[str, tuple[int, int, int, int]]:
    """Each directory's statistics; they must be those that follow from the files' rows."""
    found = {
        name: tuple(numbers)
        for name, *numbers in rows(path, "SELECT path, num_subdirs, num_files, num_files_tree, size_tree FROM dirs")
    }
    files = rows(path, "SELECT path, size FROM files")
    for name, numbers in found.items():
        below = [(one, size) for one, size in files if not name or one.startswith(f"{name}/")]
        subdirs = [one for one in found if one and one.rpartition("/")[0] == name]
        direct = [one for one, _ in below if one.rpartition("/")[0] == name]
        assert numbers == (len(subdirs), len(direct), len(below), sum(size for _, size in below)), name
    return found  # type: ignore[return-value]


OLD_SCHEMA = """
CREATE TABLE files (
    path TEXT PRIMARY KEY,
    parent TEXT GENERATED ALWAYS AS (rtrim(rtrim(path, replace(path, '/', '')), '/')) VIRTUAL
        NOT NULL REFERENCES dirs (path) ON DELETE RESTRICT,
    shard INTEGER NOT NULL, offset INTEGER NOT NULL, size INTEGER DEFAULT 0, crc32c INTEGER DEFAULT NULL,
    mode INTEGER DEFAULT NULL, uid INTEGER DEFAULT NULL, gid INTEGER DEFAULT NULL, mtime_ns INTEGER DEFAULT NULL
);
CREATE TABLE dirs (
    path TEXT PRIMARY KEY,
    parent TEXT GENERATED ALWAYS AS
        (CASE WHEN path = '' THEN NULL ELSE rtrim(rtrim(path, replace(path, '/', '')), '/') END) VIRTUAL
        REFERENCES dirs (path) ON DELETE RESTRICT,
    num_subdirs INTEGER DEFAULT 0, num_files INTEGER DEFAULT 0, size_tree INTEGER DEFAULT 0,
    num_files_tree INTEGER DEFAULT 0,
    mode INTEGER DEFAULT NULL, uid INTEGER DEFAULT NULL, gid INTEGER DEFAULT NULL, mtime_ns INTEGER DEFAULT NULL
);
CREATE INDEX idx_files_parent ON files (parent);
CREATE INDEX idx_dirs_parent ON dirs (parent);
CREATE INDEX idx_files_shard_offset ON files (shard, offset);
CREATE TABLE config (key TEXT PRIMARY KEY, value_text TEXT DEFAULT NULL, value_int INTEGER DEFAULT NULL);
INSERT INTO config (key, value_int) VALUES
    ('use_triggers', 1), ('shard_size_limit', 9223372036854775807), ('schema_version_major', 0);
INSERT INTO files (path, shard, offset, size, crc32c) VALUES ('a/b', 0, 0, 9, 3808858755), ('c', 0, 9, 0, NULL);
INSERT INTO dirs (path, num_subdirs, num_files, size_tree, num_files_tree) VALUES ('', 1, 1, 9, 2), ('a', 0, 1, 9, 1);
"""


def put_checksums(dataset: Any, queue: Any) -> None:
    """What a child process does: here, because one that is spawned imports it by its module's name."""
    queue.put(checksums(dataset))
