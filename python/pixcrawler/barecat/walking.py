"""What of a disk goes into an archive: files and folders that are named, and what is below them."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import Counter
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, NamedTuple

from pixcrawler.barecat.exceptions import BarecatError
from pixcrawler.barecat.globbing import compiled
from pixcrawler.barecat.paths import is_safe, normalize
from pixcrawler.exceptions import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Found", "Walk", "read_names"]

_NAMES_BYTES = 1 << 16


class Found(NamedTuple):
    """An entry of the disk.

    Attributes:
        place: Where it lies.
        path: Its path in the archive, normalised.
        status: What the system says of it; that of a link's target.
    """

    place: str
    path: str
    status: os.stat_result

    @property
    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.status.st_mode)


def read_names(file: IO[bytes], *, null: bool) -> Iterator[str]:
    """Names from a list, one by one: the last one counts without its terminator, empty ones do not count.

    Args:
        file: The list.
        null: NUL ends a name, else a line end does.

    Raises:
        BarecatError: A name is not UTF-8.
    """
    end = b"\0" if null else b"\n"
    rest = b""
    # Whatever has come already: the list may be a pipe that is slower than the archive.
    read = getattr(file, "read1", file.read)
    while block := read(_NAMES_BYTES):
        *names, rest = (rest + block).split(end)
        yield from _decoded(names)
    yield from _decoded([rest])


def _decoded(names: Iterable[bytes]) -> Iterator[str]:
    for name in filter(None, names):
        try:
            yield name.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise BarecatError(f"expected a name in UTF-8, got {name!r}") from exc


@dataclass
class Walk:
    """A walk over what is to be stored.

    Args:
        archive: The archive's name: its own files are left out.
        paths: Files, and folders with all that is below them. A folder stands in the archive as it is named, but with a
            slash behind its name its content stands at the top.
        names: Files, and folders without what is below them.
        folder: Where the paths and names begin.
        exclude: Globs of paths in the archive; a folder that matches is not entered.
        include: If there are any, files that match none are left out, and folders without any such file.

    Attributes:
        skipped: What was left out because it is no file and no folder, counted by kind.
    """

    archive: str
    paths: Sequence[str] = ()
    names: Iterable[str] = ()
    folder: str = ""
    exclude: Sequence[str] = ()
    include: Sequence[str] = ()
    skipped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._excluded = [compiled(pattern) for pattern in self.exclude]
        self._included = [compiled(pattern) for pattern in self.include]
        home, name = os.path.split(os.path.abspath(self.archive))
        self._home = home
        self._own = re.compile(
            re.escape(name) + r"(?:(?:-sqlite-index)?(?:-journal|-wal|-shm)?|-shard-\d{5})", re.ASCII
        )

    def check(self) -> None:
        """Refuse paths that are not there, before anything is written.

        Raises:
            FileNotFoundError: A path does not exist.
            BarecatError: It cannot be one of an archive.
        """
        for path in self.paths:
            place = os.path.join(self.folder, path)
            if not path or not os.path.lexists(place):
                raise _missing(place)
            _checked(_stored(path), place)

    def __iter__(self) -> Iterator[Found]:
        """Folders before what is in them, files before folders, names in order: the same tree, the same archive.

        Raises:
            FileNotFoundError: A name does not exist.
            BarecatError: It cannot be one of an archive.
            OSError: Something cannot be read.
        """
        for path in self.paths:
            place = os.path.join(self.folder, path)
            found = self._look(place, _stored(path))
            if found is not None:
                yield from self._tree(found) if found.is_dir else self._chosen(found)
        for name in self.names:
            place = os.path.join(self.folder, name)
            if not os.path.lexists(place):
                raise _missing(place)
            found = self._look(place, normalize(name))
            if found is not None:
                yield from [found] if found.is_dir and not self._included else self._chosen(found)

    def _look(self, place: str, path: str) -> Found | None:
        """An entry that is named; None if it is not to be stored."""
        home, name = os.path.split(place)
        if self._is_own(home, name):
            return None
        return self._found(place, path, None)

    def _is_own(self, home: str, name: str) -> bool:
        return self._own.fullmatch(name) is not None and os.path.samefile(home or ".", self._home)

    def _found(self, place: str, path: str, entry: os.DirEntry[str] | None) -> Found | None:
        if path and self._is_excluded(path):
            return None
        _checked(path, place)
        try:
            status = os.stat(place) if entry is None else entry.stat()
        except FileNotFoundError:
            self.skipped["dangling link" if os.path.islink(place) else "file that is gone"] += 1
            return None
        except OSError:
            if not os.path.islink(place):
                raise
            # One that leads to itself.
            self.skipped["dangling link"] += 1
            return None
        kind = stat.S_IFMT(status.st_mode)
        if kind not in {stat.S_IFREG, stat.S_IFDIR}:
            self.skipped[{stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}.get(kind, "device")] += 1
            return None
        return Found(place, path, status)

    def _is_excluded(self, path: str) -> bool:
        return any(pattern.fullmatch(path) for pattern in self._excluded)

    def _chosen(self, found: Found) -> Iterator[Found]:
        if not self._included or any(pattern.fullmatch(found.path) for pattern in self._included):
            yield found

    def _tree(self, top: Found) -> Iterator[Found]:
        # Folders to enter, each with those above it: by number, so that a link that leads back ends there; and as
        # entries, which come only with the first file that is included.
        pending: list[tuple[Found, tuple[tuple[int, int], ...], tuple[Found, ...]]] = [(top, (), ())]
        given: set[str] = set()
        while pending:
            folder, above, parents = pending.pop()
            number = (folder.status.st_dev, folder.status.st_ino)
            if number in above:
                self.skipped["link to a folder that it is in"] += 1
                continue
            lineage = (*parents, folder) if folder.path else parents
            if not self._included and folder.path:
                yield folder
            files, folders = self._children(folder)
            for found in files:
                for chosen in self._chosen(found):
                    if self._included:
                        for parent in lineage:
                            if parent.path not in given:
                                given.add(parent.path)
                                yield parent
                    yield chosen
            pending.extend((found, (*above, number), lineage) for found in reversed(folders))

    def _children(self, folder: Found) -> tuple[list[Found], list[Found]]:
        with os.scandir(folder.place) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        files: list[Found] = []
        folders: list[Found] = []
        for entry in listed:
            if self._is_own(folder.place, entry.name):
                continue
            path = f"{folder.path}/{entry.name}" if folder.path else entry.name
            found = self._found(entry.path, path, entry)
            if found is not None:
                (folders if found.is_dir else files).append(found)
        return files, folders


def _stored(path: str) -> str:
    """Where a path stands in the archive."""
    return "" if path.endswith("/") else normalize(path)


def _checked(path: str, place: str) -> None:
    if path and not is_safe(path):
        message = f"{escape(place)} cannot be stored: a path must not start with '..' and must be UTF-8, got {path!r}"
        raise BarecatError(message)


def _missing(place: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place)
