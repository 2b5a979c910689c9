"""Python's ``glob`` over an archive: the same patterns give the same names."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING

from pixcrawler.barecat.paths import normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pixcrawler.barecat.reading import IndexReader

__all__ = ["compiled", "iterglob"]

_MAGIC = re.compile(r"[*?[]")


def compiled(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression for whole paths: ``**`` crosses slashes, the other wildcards do not.

    Unlike :func:`iterglob` it matches names that begin with a dot: it filters what there is.
    """
    parts = []
    for part in re.findall(r"\*\*/|\*\*|\[!?\]?[^\]]*\]|.", pattern.lstrip("/"), re.DOTALL):
        if part == "**/":
            parts.append("(?:.*/)?")
        elif part == "**":
            parts.append(".*")
        elif part == "*":
            parts.append("[^/]*")
        elif part == "?":
            parts.append("[^/]")
        elif len(part) > 1:
            inside = part[1:-1].replace("\\", r"\\").replace("[", r"\[")
            parts.append(f"(?![/])[{'^' + inside[1:] if inside.startswith('!') else inside}]")
        else:
            parts.append(re.escape(part))
    return re.compile("".join(parts), re.DOTALL)


def iterglob(index: IndexReader, pattern: str, *, recursive: bool, include_hidden: bool) -> Iterator[str]:
    """Paths that match, as ``glob.iglob`` gives them for a folder that the archive is extracted to.

    Args:
        index: Whose entries.
        pattern: With ``*``, ``?`` and ``[...]``; a trailing slash asks for directories.
        recursive: Let ``**`` stand for any number of directories.
        include_hidden: Let wildcards match names that begin with a dot.
    """
    found = _Glob(index, recursive=recursive, include_hidden=include_hidden).match(pattern.lstrip("/"), dirs_only=False)
    # "**" stands for the folder itself too, whose name here is empty.
    return (path for path in found if path)


class _Glob:
    def __init__(self, index: IndexReader, *, recursive: bool, include_hidden: bool) -> None:
        self._index = index
        self._recursive = recursive
        self._include_hidden = include_hidden

    def match(self, pattern: str, *, dirs_only: bool) -> Iterator[str]:
        """Paths that match, each with the slashes of the pattern."""
        folder, slash, last = pattern.rpartition("/")
        if not _MAGIC.search(pattern):
            is_there = self._exists(pattern) if last else bool(folder) and self._index.isdir(folder)
            if is_there:
                yield pattern
            return
        folders = self.match(folder, dirs_only=True) if _MAGIC.search(folder) else iter([folder])
        names = self._names_for(last)
        for place in folders:
            for name in names(place, last, dirs_only):
                yield f"{place}/{name}" if slash and place and not place.endswith("/") else place + name

    def _names_for(self, last: str) -> Callable[[str, str, bool], Iterator[str]]:
        if self._recursive and last == "**":
            return self._below
        return self._matching if _MAGIC.search(last) else self._exactly

    def _exists(self, path: str) -> bool:
        return self._index.exists(normalize(path))

    def _exactly(self, folder: str, name: str, _dirs_only: bool) -> Iterator[str]:
        if self._exists(f"{folder}/{name}") if name else self._index.isdir(folder):
            yield name

    def _matching(self, folder: str, pattern: str, dirs_only: bool) -> Iterator[str]:
        shows_hidden = self._include_hidden or pattern.startswith(".")
        names = (name for name in self._list(folder, dirs_only=dirs_only) if shows_hidden or not name.startswith("."))
        yield from fnmatch.filter(names, pattern)

    def _below(self, folder: str, _pattern: str, dirs_only: bool) -> Iterator[str]:
        """The folder itself as an empty name, then everything below it."""
        if not folder or self._index.isdir(folder):
            yield ""
        pending = [("", folder)]
        while pending:
            prefix, place = pending.pop()
            subfolders = set(self._list(place, dirs_only=True))
            for name in self._list(place, dirs_only=dirs_only):
                if self._include_hidden or not name.startswith("."):
                    yield prefix + name
                    if name in subfolders:
                        pending.append((f"{prefix}{name}/", f"{place}/{name}"))

    def _list(self, folder: str, *, dirs_only: bool) -> list[str]:
        return self._index.names_in(normalize(folder), dirs_only=dirs_only)
