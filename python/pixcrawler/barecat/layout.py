"""An archive's files on the disk: which is the index, which are the shards."""

from __future__ import annotations

import os
import re

from pixcrawler.barecat.exceptions import BarecatError

__all__ = ["exists", "find_index", "remove", "shard_numbers", "shard_path"]

_OLD_SUFFIX = "-sqlite-index"
_JOURNALS = ("-journal", "-wal", "-shm")
# The reference lists shards by five characters: a sixth digit would hide them from it.
MAX_SHARD = 99_999


def index_names(path: str) -> tuple[str, str]:
    """The names that an archive's index may have: today's, and the one of older versions."""
    return path, path + _OLD_SUFFIX


def find_index(path: str, *, index_suffix: bool = False) -> str:
    """Where an archive's index lies, or would be made.

    Args:
        path: The archive's name.
        index_suffix: Make a new one under its old name.
    """
    new, old = index_names(path)
    if os.path.exists(new) and not os.path.isdir(new):
        return new
    if index_suffix or os.path.exists(old):
        return old
    return new


def archive_of(index_path: str) -> str:
    """The name of the archive that an index belongs to."""
    return index_path.removesuffix(_OLD_SUFFIX)


def shard_path(path: str, shard: int) -> str:
    """A shard's file.

    Raises:
        BarecatError: There is no such number.
    """
    if not 0 <= shard <= MAX_SHARD:
        message = f"a shard's number is 0 to {MAX_SHARD}, not {shard}"
        raise BarecatError(message)
    return f"{path}-shard-{shard:05d}"


def shard_numbers(path: str) -> list[int]:
    """Numbers of the shards that there are, ascending. No glob: the name may hold its special characters."""
    folder, name = os.path.split(path)
    pattern = re.compile(re.escape(name) + r"-shard-(\d{5})", re.ASCII)
    with os.scandir(folder or ".") as entries:
        matches = [pattern.fullmatch(entry.name) for entry in entries]
    return sorted(int(match[1]) for match in matches if match)


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether there is an archive of that name: its index, or any shard."""
    path = os.fspath(path)
    if any(os.path.isfile(name) for name in index_names(path)):
        return True
    folder = os.path.dirname(path) or "."
    return os.path.isdir(folder) and bool(shard_numbers(path))


def remove(path: str | os.PathLike[str]) -> None:
    """Delete an archive: its index under either name, SQLite's files beside it, all shards. A link's target stays."""
    path = os.fspath(path)
    names = [name + suffix for name in index_names(path) for suffix in ("", *_JOURNALS)]
    for name in [*names, *(shard_path(path, shard) for shard in shard_numbers(path))]:
        if os.path.lexists(name) and not os.path.isdir(name):
            os.unlink(name)


def sync_folder(path: str) -> None:
    """Make new names in a file's folder survive a power failure; Windows neither can nor needs to."""
    if os.name == "nt":
        return
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
