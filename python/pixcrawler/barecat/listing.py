"""What commands show of an archive's index: listings, searches, trees, sums. None of it opens a shard."""

from __future__ import annotations

import csv
import json
import re
import stat
import time
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias

from pixcrawler.barecat.exceptions import FileNotFoundBarecatError
from pixcrawler.barecat.infos import BarecatDirInfo, BarecatFileInfo, Order
from pixcrawler.barecat.paths import name_of, normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pixcrawler.barecat.reading import IndexReader

    Info: TypeAlias = BarecatFileInfo | BarecatDirInfo

__all__ = [
    "disk_usage",
    "find",
    "human_size",
    "json_line",
    "listed",
    "long_line",
    "names",
    "ncdu_json",
    "size_test",
    "total_size",
    "tree_lines",
    "write_csv",
]

_MAGIC: Final = re.compile(r"[*?[]")
_SIZE_TEST: Final = re.compile(r"([+-]?)(\d+)([ckMG]?)", re.ASCII)
_UNITS: Final = {"": 1, "c": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_KILO: Final = 1024
_SECOND_NS: Final = 10**9
# As ls: older times, and those to come, are shown with their year.
_RECENT_S: Final = 365.2425 * 86400 / 2
# What a folder of a disk takes, for ncdu.
_DIR_BYTES: Final = 4096


def human_size(size: float) -> str:
    """A number of bytes: plain below 1024, else with one decimal and K, M, G or T."""
    if size < _KILO:
        return f"{size:.0f}"
    for unit in "KMGT":
        size /= _KILO
        if size < _KILO or unit == "T":
            break
    return f"{size:.1f}{unit}"


def total_size(info: Info) -> int:
    """A file's bytes, or those of all files below a directory."""
    size = info.size if isinstance(info, BarecatFileInfo) else info.size_tree
    return size or 0


# Listings.


def listed(index: IndexReader, argument: str, *, recursive: bool = False) -> Iterator[tuple[str, Info]]:
    """Entries that an argument of ``list`` names, in order, as they are shown.

    Args:
        index: Whose.
        argument: A file; a directory, of which the entries are shown by name; the same with a slash behind it, or a
            glob, of which full paths are shown.
        recursive: Show all files below instead of directories.

    Raises:
        FileNotFoundBarecatError: There is no such entry.
    """
    path = normalize(argument)
    is_dir = index.isdir(path)
    if index.isfile(path):
        yield path, index.lookup_file(path)
    elif is_dir and recursive:
        for info in index.iter_fileinfos_below(path, Order.PATH):
            yield info.path, info
    elif is_dir and (not path or not argument.endswith("/")):
        for entry in sorted(index.iterdir_infos(path), key=lambda info: info.path):
            yield _shown(name_of(entry.path), entry), entry
    elif is_dir or _MAGIC.search(path):
        yield from _matching(index, f"{path}/**" if is_dir else argument, path, recursive=recursive)
    else:
        raise FileNotFoundBarecatError("no such entry", path=path)


def names(index: IndexReader, argument: str, *, recursive: bool = False) -> Iterator[str]:
    """The same without the infos, which for all files of an archive is three times as fast."""
    if recursive and not normalize(argument):
        return index.iter_all_filepaths(Order.PATH)
    return (shown for shown, _ in listed(index, argument, recursive=recursive))


def _matching(index: IndexReader, pattern: str, folder: str, *, recursive: bool) -> Iterator[tuple[str, Info]]:
    paths = {normalize(path) for path in index.iterglob_paths(pattern, recursive=True)} - {folder}
    if not paths and not index.isdir(folder):
        raise FileNotFoundBarecatError("nothing matches", path=pattern)
    if recursive:
        below = (index.iter_fileinfos_below(path) if index.isdir(path) else [index.lookup_file(path)] for path in paths)
        paths = {info.path for infos in below for info in infos}
    for path in sorted(paths):
        info = index.lookup(path)
        yield _shown(path, info), info


def _shown(name: str, info: Info) -> str:
    return f"{name}/" if info.isdir() else name


def long_line(shown: str, info: Info) -> str:
    """A line as of ``ls -l``."""
    mode, links = info.mode, 1
    if isinstance(info, BarecatDirInfo):
        links = 2 + (info.num_subdirs or 0)
    if mode is not None and not stat.S_IFMT(mode):
        # Permissions alone, as from a tar.
        mode |= stat.S_IFDIR if info.isdir() else stat.S_IFREG
    return (
        f"{'----------' if mode is None else stat.filemode(mode)} {links:>4} "
        f"{_user(info.uid):<8} {_group(info.gid):<8} {total_size(info):>8} {_time(info.mtime_ns):>12} "
        f"{shown.removesuffix('/')}"
    )


@lru_cache(1024)
def _user(uid: int | None) -> str:
    if uid is None:
        return "-"
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


@lru_cache(1024)
def _group(gid: int | None) -> str:
    if gid is None:
        return "-"
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return str(gid)


def _time(mtime_ns: int | None) -> str:
    if mtime_ns is None:
        return ""
    seconds = mtime_ns // _SECOND_NS
    is_recent = 0 <= time.time() - seconds < _RECENT_S
    try:
        return time.strftime("%b %d %H:%M" if is_recent else "%b %d  %Y", time.localtime(seconds))
    except (ValueError, OverflowError, OSError):
        # A year that the system has no name for.
        return str(seconds)


def json_line(info: Info) -> str:
    """An entry as a JSON object on one line."""
    record: dict[str, Any] = {"type": "file" if info.isfile() else "dir", "path": info.path}
    if isinstance(info, BarecatFileInfo):
        record |= {"size": info.size, "mtime_ns": info.mtime_ns, "crc32c": info.crc32c}
    else:
        record |= {"size_tree": info.size_tree, "num_files_tree": info.num_files_tree, "mtime_ns": info.mtime_ns}
    return json.dumps(record | {"mode": info.mode, "uid": info.uid, "gid": info.gid})


# Walks.


def _start(index: IndexReader, argument: str) -> Info:
    return index.lookup(normalize(argument))


def _entries(index: IndexReader, info: Info) -> list[Info]:
    if not isinstance(info, BarecatDirInfo):
        return []
    return sorted(index.iterdir_infos(info.path), key=lambda entry: entry.path)


def size_test(text: str) -> Callable[[int], bool]:
    """A test of ``find -size``: ``+N`` larger, ``-N`` smaller, ``N`` exactly; c, k, M or G may follow.

    Raises:
        ValueError: It is no such text.
    """
    match = _SIZE_TEST.fullmatch(text)
    if match is None:
        raise ValueError(f"expected [+-]N and c, k, M or G, got {text!r}")
    wanted = int(match[2]) * _UNITS[match[3]]
    if match[1] == "+":
        return lambda size: size > wanted
    if match[1] == "-":
        return lambda size: size < wanted
    return lambda size: size == wanted


def find(
    index: IndexReader,
    argument: str = "",
    *,
    name: str | None = None,
    path: str | None = None,
    kind: str | None = None,
    size: Callable[[int], bool] | None = None,
    max_depth: int | None = None,
) -> Iterator[str]:
    """Paths that pass all tests, directories before what is in them; the root is ``'.'``.

    Args:
        index: Where.
        argument: Where to begin.
        name: A glob of the last part of the path.
        path: A glob of the whole path, whose wildcards match slashes too.
        kind: ``"f"`` files, ``"d"`` directories.
        size: A test of the bytes, of a directory those below it.
        max_depth: How far below the beginning.

    Raises:
        FileNotFoundBarecatError: There is no such entry to begin at.
    """
    pending = [(_start(index, argument), 0)]
    while pending:
        info, depth = pending.pop()
        shown = info.path or "."
        is_found = (
            (name is None or fnmatchcase(name_of(shown), name))
            and (path is None or fnmatchcase(shown, path))
            and (kind is None or (kind == "d") == info.isdir())
            and (size is None or size(total_size(info)))
        )
        if is_found:
            yield shown
        if max_depth is None or depth < max_depth:
            pending.extend((entry, depth + 1) for entry in reversed(_entries(index, info)))


def tree_lines(
    index: IndexReader, argument: str = "", *, max_depth: int | None = None, dirs_only: bool = False
) -> Iterator[str]:
    """The lines of ``tree``, directories before files, with counts at the end.

    Args:
        index: Of what.
        argument: Where to begin.
        max_depth: How far below the beginning.
        dirs_only: Leave the files out.

    Raises:
        FileNotFoundBarecatError: There is no such entry.
    """
    num_dirs = num_files = 0
    # What stands before an entry, and before those below it.
    pending: list[tuple[Info, str, str, int]] = [(_start(index, argument), "", "", 0)]
    while pending:
        info, before, below, depth = pending.pop()
        num_dirs += info.isdir()
        num_files += info.isfile()
        yield before + ((name_of(info.path) if depth else info.path) or ".")
        if max_depth is not None and depth >= max_depth:
            continue
        entries = [entry for entry in _entries(index, info) if not dirs_only or entry.isdir()]
        entries.sort(key=lambda entry: entry.isfile())
        for number, entry in reversed(list(enumerate(entries))):
            is_last = number == len(entries) - 1
            lines = ("└── ", "    ") if is_last else ("├── ", "│   ")
            pending.append((entry, below + lines[0], below + lines[1], depth + 1))
    yield ""
    counts = f"{num_dirs} director{'y' if num_dirs == 1 else 'ies'}"
    yield counts if dirs_only else f"{counts}, {num_files} file{'' if num_files == 1 else 's'}"


def disk_usage(
    index: IndexReader, argument: str = "", *, with_files: bool = False, max_depth: int | None = None
) -> Iterator[tuple[int, str]]:
    """Bytes and path of directories, each behind what is in it, as ``du`` shows them.

    Args:
        index: Of what.
        argument: Where to begin; a file is shown too.
        with_files: Show the files below as well.
        max_depth: How far below the beginning; what is deeper counts all the same.

    Raises:
        FileNotFoundBarecatError: There is no such entry.
    """
    pending = [(_start(index, argument), 0, False)]
    while pending:
        info, depth, is_done = pending.pop()
        if is_done or not info.isdir():
            yield total_size(info), info.path or "."
            continue
        pending.append((info, depth, True))
        if max_depth is None or depth < max_depth:
            entries = (entry for entry in reversed(_entries(index, info)) if with_files or entry.isdir())
            pending.extend((entry, depth + 1, False) for entry in entries)


# Dumps.


def write_csv(index: IndexReader, file: IO[str]) -> None:
    """Write path, shard, offset, size and CRC-32C of all files as CSV, by path."""
    writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(["path", "shard", "offset", "size", "crc32c"])
    infos = index.iter_all_fileinfos(Order.PATH)
    writer.writerows([info.path, info.shard, info.offset, info.size, info.crc32c] for info in infos)


def ncdu_json(index: IndexReader, version: str) -> Iterator[str]:
    """The archive's tree in the format that ``ncdu -f`` reads, piece by piece.

    Args:
        index: Of what.
        version: Of this program.
    """
    program = {"progname": "pixcrawler", "progver": version, "timestamp": time.time()}
    yield f"[1,1,{json.dumps(program)}"
    pending: list[BarecatDirInfo | None] = [index.lookup_dir("")]
    while pending:
        info = pending.pop()
        if info is None:
            yield "]"
            continue
        entry = {"name": name_of(info.path) or "/", "asize": _DIR_BYTES, "ino": 0}
        yield f",\n[ {json.dumps(entry)}"
        entries = _entries(index, info)
        yield from _ncdu_files(entries)
        pending.append(None)
        pending.extend(below for below in reversed(entries) if isinstance(below, BarecatDirInfo))
    yield "]\n"


def _ncdu_files(entries: Iterable[Info]) -> Iterator[str]:
    for info in entries:
        if isinstance(info, BarecatFileInfo):
            size = info.size or 0
            yield f", {json.dumps({'name': name_of(info.path), 'asize': size, 'dsize': size, 'ino': 0})}"
