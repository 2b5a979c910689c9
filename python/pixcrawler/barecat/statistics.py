"""The directories' statistics: changes gathered while files come and go, and all of them computed anew."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from pixcrawler.barecat.paths import parent_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Changes", "Statistics", "of_rows"]


class Statistics(NamedTuple):
    """A directory's numbers, in the order of the table's columns."""

    num_subdirs: int = 0
    num_files: int = 0
    num_files_tree: int = 0
    size_tree: int = 0


class Changes:
    """What changed directly in each directory since the last time that it was written.

    A thousand files added to one folder are one change to each of its ancestors.
    """

    def __init__(self) -> None:
        # num_subdirs, num_files, num_files_tree, size_tree, whether the directory's own content changed.
        self._direct: dict[str, list[int]] = {}
        # Directories whose time was given: it is not that of packing what is in them.
        self.keep_mtime: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._direct)

    def file(self, path: str, count: int, size: int) -> None:
        """Files that came into the parent of ``path``, or left it (negative), with their bytes."""
        change = self._direct.setdefault(parent_of(path), [0, 0, 0, 0, 0])
        change[1] += count
        change[2] += count
        change[3] += size
        # A file whose content alone changed leaves its directory's time.
        change[4] |= count != 0

    def directory(self, path: str, count: int, num_files: int = 0, size: int = 0) -> None:
        """A directory that came into its parent, or left it (-1), with all that is below it."""
        change = self._direct.setdefault(parent_of(path), [0, 0, 0, 0, 0])
        change[0] += count
        change[2] += num_files
        change[3] += size
        change[4] = 1

    def take(self) -> Iterator[tuple[int, int, int, int, int | None, str]]:
        """Parameters that bring the table up to date, once: for each directory and its ancestors."""
        total: dict[str, list[int]] = {}
        for path, direct in self._direct.items():
            own = total.setdefault(path, [0, 0, 0, 0, 0])
            for position, change in enumerate(direct):
                own[position] += change
            if direct[2] or direct[3]:
                place = path
                while place:
                    place = parent_of(place)
                    above = total.setdefault(place, [0, 0, 0, 0, 0])
                    above[2] += direct[2]
                    above[3] += direct[3]
        self._direct.clear()
        now = time.time_ns()
        for path, (subdirs, files, files_tree, size_tree, is_touched) in total.items():
            mtime_ns = now if is_touched and path not in self.keep_mtime else None
            yield subdirs, files, files_tree, size_tree, mtime_ns, path

    def clear(self) -> None:
        """Forget everything: the transaction was rolled back."""
        self._direct.clear()


def of_rows(dirs: Iterable[str], counts: Iterable[tuple[str, int, int]]) -> dict[str, Statistics]:
    """All directories' statistics, from the rows themselves.

    Args:
        dirs: Paths of all directories; missing ancestors are added.
        counts: For each directory with files its path, their number and their bytes.
    """
    numbers: dict[str, list[int]] = {"": [0, 0, 0, 0]}
    for path in dirs:
        _add_with_ancestors(numbers, path)
    for path, count, size in counts:
        _add_with_ancestors(numbers, path)
        numbers[path][1] += count
        place = path
        while True:
            numbers[place][2] += count
            numbers[place][3] += size
            if not place:
                break
            place = parent_of(place)
    return {path: Statistics(*values) for path, values in numbers.items()}


def _add_with_ancestors(numbers: dict[str, list[int]], path: str) -> None:
    """A loop, not a recursion: a hostile path may have thousands of parts."""
    new = []
    while path not in numbers:
        new.append(path)
        path = parent_of(path)
    for missing in reversed(new):
        numbers[missing] = [0, 0, 0, 0]
        numbers[parent_of(missing)][0] += 1
