"""Upkeep: what is wrong with an archive, and closing its holes."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from pixcrawler._native import crc32c, read_many
from pixcrawler.barecat import schema
from pixcrawler.barecat.exceptions import BarecatError, BarecatIntegrityError
from pixcrawler.barecat.infos import BarecatFileInfo, Order
from pixcrawler.barecat.paths import is_safe
from pixcrawler.barecat.shards import checked_address
from pixcrawler.exceptions import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pixcrawler.barecat.appending import Appender
    from pixcrawler.barecat.archive import Barecat
    from pixcrawler.barecat.reading import IndexReader
    from pixcrawler.barecat.shards import Shards

__all__ = [
    "Holes",
    "Problem",
    "copy_file",
    "cut_ends",
    "defrag",
    "file_problem",
    "holes",
    "index_problems",
    "logged",
    "orphaned_bytes",
    "problems",
]

_LOG = logging.getLogger("pixcrawler.barecat")

# Files whose checksums are compared by one native call, and their bytes.
_CHECKED_FILES = 1000
_CHECKED_BYTES = 64 << 20
_READ_BYTES = 8 << 20
# Also what the real command prints.
_MISMATCH = "CRC32C mismatch for file"
# Bytes that are moved between two commits, and how wide a gap is made for that by putting files aside.
_MOVED_BYTES = 64 << 20
_GAP_BYTES = 64 << 20


class Problem(NamedTuple):
    """Something that is wrong with an archive.

    Attributes:
        text: What, in words.
        path: The entry concerned, None of the index as a whole.
        is_content: Whether bytes are wrong or missing, and not the index.
    """

    text: str
    path: str | None = None
    is_content: bool = False

    def __str__(self) -> str:
        return f"{self.text}: {escape(self.path)}" if self.path is not None else self.text


def logged(found: Iterable[Problem]) -> int:
    """Log problems as errors of ``pixcrawler.barecat``; returns how many there were."""
    count = 0
    for problem in found:
        _LOG.error("%s", problem)
        count += 1
    return count


# The index.


def index_problems(index: IndexReader) -> Iterator[Problem]:
    """What in an index contradicts itself: SQLite's own checks, every statistic recomputed, paths, addresses, overlaps.

    Args:
        index: Read-only or not.
    """
    try:
        yield from _database_problems(index)
        yield from _statistics_problems(index)
        yield from _row_problems(index)
    except BarecatIntegrityError as exc:
        yield Problem(str(exc))


def _database_problems(index: IndexReader) -> Iterator[Problem]:
    for rows in index.stream(schema.INTEGRITY):
        yield from (Problem(f"the index is broken: {text}") for (text,) in rows if text != "ok")
    for rows in index.stream(schema.REFERENCES):
        yield from (Problem(f"row {row[1]} of {row[0]} has no parent directory") for row in rows)
    for rows in index.stream(schema.TWICE):
        yield from (Problem("the path is a file's and a directory's", path) for (path,) in rows)


def _statistics_problems(index: IndexReader) -> Iterator[Problem]:
    expected = index.computed_statistics()
    for rows in index.stream(schema.GET_STATISTICS):
        for path, *found in rows:
            wanted = expected.pop(path, None)
            if wanted is None or tuple(found) != tuple(wanted):
                numbers = None if wanted is None else tuple(wanted)
                yield Problem(f"expected the statistics {numbers}, the index has {tuple(found)}", path)
    yield from (Problem("the directory has no row", path) for path in expected)


def _row_problems(index: IndexReader) -> Iterator[Problem]:
    end, shard_before, before = 0, -1, ""
    for info in index.iter_all_fileinfos(Order.ADDRESS):
        path = info.path if isinstance(info.path, str) else repr(info.path)
        if not isinstance(info.path, str) or not is_safe(info.path):
            yield Problem("the path is unsafe", path)
        try:
            shard, offset, size, _ = checked_address((info.shard, info.offset, info.size, info.crc32c), path)
        except BarecatIntegrityError as exc:
            yield Problem(exc.detail, path)
            continue
        if shard != shard_before:
            shard_before, end = shard, 0
        if size and offset < end:
            yield Problem(f"shares bytes of shard {shard} at {offset} with {escape(before)}", path)
        if size and offset + size > end:
            end, before = offset + size, path
    for path in index.iter_all_dirpaths():
        if path and not is_safe(path):
            yield Problem("the path is unsafe", path)


# The bytes.


def problems(
    archive: Barecat,
    *,
    quick: bool = False,
    threads: int | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> Iterator[Problem]:
    """Everything that is wrong with an archive.

    Args:
        archive: Read-only or not.
        quick: Compare the checksum of the last file alone.
        threads: How many compare checksums; None is one a processor.
        on_progress: Called with the number of files whose checksums were compared, and of all.

    Yields:
        Problems of the index; bytes that are missing; files with another checksum. A file without one passes if its
        bytes are there.
    """
    yield from index_problems(archive.index)
    if not quick:
        yield from _content_problems(archive, threads, on_progress)
        return
    yield from _length_problems(archive)
    last = archive.index.get_last_file()
    if last is not None:
        row = (last.shard, last.offset, last.size, last.crc32c)
        problem = file_problem(archive.shards, last.path, row)
        # That it is too short was told above.
        if problem is not None and problem.text == _MISMATCH:
            yield problem


def _length_problems(archive: Barecat) -> Iterator[Problem]:
    sizes: dict[Any, int] = {}
    for info in archive.index.iter_all_fileinfos():
        if not isinstance(info.shard, int) or not isinstance(info.offset, int) or not isinstance(info.size, int):
            continue
        if info.shard not in sizes:
            sizes[info.shard] = archive.shards.size(info.shard) if info.shard >= 0 else 0
        if info.end > sizes[info.shard]:
            yield Problem(
                f"shard {info.shard} ends at {sizes[info.shard]}, the file at {info.end}", info.path, is_content=True
            )


def file_problem(shards: Shards, path: str, row: Sequence[Any]) -> Problem | None:
    """What is wrong with a file's bytes, or None.

    Args:
        shards: Where they are.
        path: Whose.
        row: Shard, offset, size and CRC-32C.
    """
    try:
        shard, offset, size, crc = checked_address(row, path)
        # In parts: a file may be larger than memory.
        found, stop = 0, offset + size
        if not size:
            shards.file(shard, path)
        if size > _READ_BYTES:
            # The end first: no part is read in vain.
            shards.read(path, shard, stop - 1, 1)
        for start in range(offset, stop, _READ_BYTES):
            found = crc32c(shards.read(path, shard, start, min(_READ_BYTES, stop - start)), found)
    except BarecatIntegrityError as exc:
        return Problem(exc.detail, path, is_content=exc.code != "archive_row")
    except OSError as exc:
        return Problem(f"the shard cannot be read: {exc.strerror or exc}", path, is_content=True)
    if crc is not None and found != crc:
        return Problem(_MISMATCH, path, is_content=True)
    return None


def _content_problems(
    archive: Barecat, threads: int | None, on_progress: Callable[[int, int | None], None] | None
) -> Iterator[Problem]:
    from pixcrawler._machine import usable_cpus

    threads = threads or usable_cpus()
    count, checked = archive.num_files, 0
    part: list[BarecatFileInfo] = []
    size = 0
    for info in archive.index.iter_all_fileinfos(Order.ADDRESS):
        if not isinstance(info.size, int) or info.size > _READ_BYTES:
            yield from _checked([info], archive.shards, 0)
            continue
        part.append(info)
        size += info.size
        if len(part) == _CHECKED_FILES or size >= _CHECKED_BYTES:
            yield from _checked(part, archive.shards, threads)
            checked += len(part)
            part, size = [], 0
            if on_progress is not None:
                on_progress(checked, count)
    yield from _checked(part, archive.shards, threads)


def _checked(infos: Sequence[BarecatFileInfo], shards: Shards, threads: int) -> Iterator[Problem]:
    """Compare the checksums of some files: by one native call, and one by one where that one found something."""
    items, sound = [], []
    for info in infos:
        row = (info.shard, info.offset, info.size, info.crc32c)
        try:
            shard, offset, size, crc = checked_address(row, info.path)
            item = (shards.file(shard, info.path), offset, size, crc)
        except (BarecatError, OSError):
            # A row that cannot be true was told with the index.
            problem = file_problem(shards, info.path, row)
            if problem is not None:
                yield problem
            continue
        items.append(item)
        sound.append(info)
    found = read_many(items, threads) if threads else [None] * len(items)
    for info, one in zip(sound, found, strict=True):
        if not isinstance(one, bytes):
            problem = file_problem(shards, info.path, (info.shard, info.offset, info.size, info.crc32c))
            if problem is not None:
                yield problem


def orphaned_bytes(archive: Barecat) -> int:
    """Bytes of the shards that no file claims: holes, and what a killed writer left."""
    return archive.total_physical_size_stat - archive.total_logical_size


# Closing holes.


class Holes(NamedTuple):
    """Space in shards that no file claims.

    Attributes:
        physical_size: Bytes of all shards.
        logical_size: Bytes of all files.
        num_gaps: Gaps between files, and behind the last one of a shard.
    """

    physical_size: int
    logical_size: int
    num_gaps: int


def holes(archive: Barecat) -> Holes:
    """What :func:`defrag` could free. The archive may be read-only."""
    index, shards = archive.index, archive.shards
    tails = sum(shards.size(shard) > index.logical_shard_end(shard) for shard in shards.numbers())
    return Holes(archive.total_physical_size_stat, archive.total_logical_size, len(_holes(archive)) + tails)


def defrag(archive: Barecat, *, quick: bool = False, max_seconds: float | None = None) -> int:
    """Close holes: files move into free space, one after the other, and the shards' ends are cut.

    No byte that a committed row names is ever overwritten: a file is copied, the copy made durable, the row committed,
    and only then is its old place free. Where the hole in front of a file is small, the file goes to the archive's end
    first, which makes the hole larger. So a kill at any moment leaves every file readable; the next run goes on.

    Args:
        archive: To be changed.
        quick: Only move files from the end into holes that they fit in.
        max_seconds: With ``quick``, begin no move after that time.

    Returns:
        Bytes that the shards have become smaller by.

    Raises:
        PermissionError: The archive is read-only or append-only.
    """
    archive.check_changeable()
    before = archive.total_physical_size_stat
    archive.commit()
    if quick:
        _fill_holes(archive, None if max_seconds is None else time.monotonic() + max_seconds)
    else:
        _slide(archive)
    archive.commit()
    cut_ends(archive)
    archive.commit()
    return before - archive.total_physical_size_stat


def copy_file(archive: Barecat, info: tuple[str, int, int, int, int | None], target: tuple[int, int]) -> None:
    """Copy a file's bytes into free space, comparing its checksum, and say in its row where they are now."""
    path, shard, offset, size, crc = info
    found = 0
    for start in range(0, size, _READ_BYTES):
        data = archive.shards.read(path, shard, offset + start, min(_READ_BYTES, size - start))
        found = crc32c(data, found)
        archive.appender.write_at(target[0], target[1] + start, data)
    if crc is not None and found != crc:
        message = f"expected CRC32C {crc:08x}, got {found:08x}: nothing is moved that is broken already"
        raise BarecatIntegrityError(message, code="crc32c", path=path)
    archive.index.move_bytes(path, *target)


def _slide(archive: Barecat) -> None:
    """Move each file, in order of address, to where the one before it ends."""
    index, limit = archive.index, archive.shard_size_limit
    last = archive.appender.place
    target = (0, 0)
    position = (-1, -1, -1)
    # What was freed since the last commit must not be overwritten yet.
    uncommitted: tuple[int, int] | None = None
    moved = 0
    while rows := index.page_by_address(position):
        for row in rows:
            position = (row[1], row[2], row[5])
            path, shard, offset, size, crc = row[0], *checked_address(row[1:5], row[0])
            if not size:
                # Where nothing lies any more it would keep the shard's end.
                index.move_bytes(path, *min(target, (shard, offset)))
                continue
            if target[1] + size > limit:
                target = (target[0] + 1, 0)
            if target == (shard, offset):
                target = (shard, offset + size)
                continue
            gap = offset - target[1] if target[0] == shard else limit
            is_aside = (shard, offset) >= last
            # What is freed can be used again after a commit: a wide gap needs few of them.
            fits = size <= gap and (is_aside or gap >= _GAP_BYTES or target[0] < shard)
            if target >= (shard, offset) or (not fits and is_aside):
                # Nothing to gain: it lies where it should, or is one that was put aside and cannot come nearer.
                target = max(target, (shard, offset + size))
                continue
            place = target if fits else None
            if place is not None and uncommitted is not None and (place[0], place[1] + size) > uncommitted:
                archive.commit()
                uncommitted, moved = None, 0
            if place is None:
                appender = archive.appender
                place = appender.start_file(size, limit, path)
            else:
                target = (target[0], target[1] + size)
            copy_file(archive, (path, shard, offset, size, crc), place)
            uncommitted = min(uncommitted or (shard, offset), (shard, offset))
            moved += size
            if moved > _MOVED_BYTES:
                archive.commit()
                uncommitted, moved = None, 0


def _fill_holes(archive: Barecat, stop: float | None) -> None:
    """Move the last files, from the end on, each into the first hole that it fits in."""
    free = _holes(archive)
    for info in archive.index.list_by_address(descending=True):
        path, shard, offset, size, crc = info[0], *checked_address(info[1:5], info[0])
        if not size:
            continue
        found = next((hole for hole in free if hole[2] - hole[1] >= size and hole[:2] < [shard, offset]), None)
        if found is None or (stop is not None and time.monotonic() > stop):
            break
        copy_file(archive, (path, shard, offset, size, crc), (found[0], found[1]))
        found[1] += size
        if found[1] == found[2]:
            free.remove(found)


def _holes(archive: Barecat) -> list[list[int]]:
    """Free space between files: shard, first byte, one past the last."""
    found: list[list[int]] = []
    place = [0, 0]
    for row in archive.index.list_by_address():
        shard, offset, size, _ = checked_address(row[1:5], row[0])
        if shard != place[0]:
            place = [shard, 0]
        if size and offset > place[1]:
            found.append([shard, place[1], offset])
        place[1] = max(place[1], offset + size)
    return found


def cut_ends(archive: Barecat) -> None:
    """Free what stands behind each shard's last file; remove the last shards that hold nothing."""
    appender: Appender = archive.appender
    for shard in archive.shards.numbers():
        appender.cut(shard, archive.index.logical_shard_end(shard))
    last = archive.index.last_shard()
    for shard in sorted(archive.shards.numbers(), reverse=True):
        if shard <= max(last, 0) or os.path.islink(archive.shards.path(shard)):
            break
        appender.drop(shard)
