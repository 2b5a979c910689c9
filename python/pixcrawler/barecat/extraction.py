"""Files out of an archive, below a folder and nowhere else."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from pixcrawler._native import crc32c, read_many
from pixcrawler.barecat.exceptions import (
    BarecatError,
    BarecatIntegrityError,
    FileNotFoundBarecatError,
    IsADirectoryBarecatError,
)
from pixcrawler.barecat.infos import BarecatFileInfo, Order
from pixcrawler.barecat.merging import included
from pixcrawler.barecat.paths import is_safe, normalize, parent_of
from pixcrawler.barecat.shards import checked_address
from pixcrawler.exceptions import PixCrawlerError, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pixcrawler._native import LocalFile
    from pixcrawler.barecat.archive import Barecat
    from pixcrawler.barecat.shards import Shards

__all__ = ["Extracted", "extract", "write_content"]

# Files that one native call reads, and their bytes; larger ones are read in parts.
_READ_FILES: Final = 256
_READ_BYTES: Final = 8 << 20
_OPEN_FOLDERS: Final = 64
# Of the disk or the process, and not of one entry.
_FATAL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE})
_PERMISSIONS: Final = 0o777
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Refused(NamedTuple):
    """An entry that was not extracted.

    Attributes:
        path: Which.
        reason: Why.
    """

    path: str
    reason: str


@dataclass
class Extracted:
    """What came out of an archive.

    Attributes:
        files: Files written.
        refused: How many entries were not.
        first: The first of these.
    """

    files: int = 0
    refused: int = 0
    first: Refused | None = None


def write_content(archive: Barecat, path: str, file: BinaryIO) -> None:
    """Write a file's bytes to a stream. Those of a small one are checked first; of a large one, at the end.

    Raises:
        FileNotFoundBarecatError: There is no such file.
        IsADirectoryBarecatError: It is a directory.
        BarecatIntegrityError: The bytes are not those that were stored.
    """
    row = archive.index.address(normalize(path))
    if row is None:
        if archive.isdir(path):
            raise IsADirectoryBarecatError("it is a directory", path=normalize(path))
        raise FileNotFoundBarecatError("no such file", path=normalize(path))
    file.writelines(_content(archive.shards, path, row))


def _content(shards: Shards, path: str, row: Sequence[object]) -> Iterator[bytes]:
    shard, offset, size, crc = checked_address(row, path)
    if size <= _READ_BYTES:
        yield shards.read(path, shard, offset, size, crc)
        return
    found, stop = 0, offset + size
    # The end first: nothing is written of a file that is cut.
    shards.read(path, shard, stop - 1, 1)
    for start in range(offset, stop, _READ_BYTES):
        part = shards.read(path, shard, start, min(_READ_BYTES, stop - start))
        found = crc32c(part, found)
        yield part
    if crc is not None and found != crc:
        raise BarecatIntegrityError(f"expected CRC32C {crc:08x}, got {found:08x}", code="crc32c", path=path)


def extract(
    archive: Barecat,
    folder: str,
    paths: Sequence[str] = (),
    *,
    pattern: str | None = None,
    filter_rules: Sequence[tuple[str, str]] = (),
    on_progress: Callable[[int, int | None], None] | None = None,
) -> Extracted:
    """Write files below a folder, with modes and times; files that are there are replaced, each at once.

    No row's path and no symbolic link below the folder leads out of it. What cannot be extracted is counted, and the
    rest is extracted.

    Args:
        archive: To be read.
        folder: Made if it is missing.
        paths: Files, and directories with all that is below them; none are everything.
        pattern: A glob that files must match.
        filter_rules: Pairs of ``"+"`` or ``"-"`` and a glob: the first that matches decides, without any a file is
            taken.
        on_progress: Called with the number of files so far, and of all if that is known.

    Raises:
        FileNotFoundBarecatError: There is no such entry; nothing was written.
        OSError: The folder cannot be written.
    """
    chosen = [normalize(path) for path in paths]
    for path in chosen:
        if not archive.exists(path):
            raise FileNotFoundBarecatError("no such entry", path=path)
    os.makedirs(folder, exist_ok=True)
    is_filtered = pattern is not None or bool(filter_rules)
    extraction = _Extraction(archive, folder, included(pattern, filter_rules))
    try:
        extraction.run(chosen or [""], with_dirs=not is_filtered, on_progress=on_progress)
    finally:
        extraction.close()
    return extraction.result


class _Extraction:
    def __init__(self, archive: Barecat, folder: str, is_included: Callable[[str], bool]) -> None:
        self.result = Extracted()
        self._archive = archive
        self._is_included = is_included
        self._top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._temporary = f".pixcrawler-{secrets.token_hex(8)}"
        # Directories of the archive that were made or written to, and descriptors of some of them.
        self._visited: set[str] = set()
        self._folders: OrderedDict[str, int] = OrderedDict()

    def close(self) -> None:
        for descriptor in (*self._folders.values(), self._top):
            os.close(descriptor)

    def run(
        self, paths: Sequence[str], *, with_dirs: bool, on_progress: Callable[[int, int | None], None] | None
    ) -> None:
        total = self._archive.num_files if paths == [""] else None
        if with_dirs:
            for path in self._dirs(paths):
                self._tried(path, lambda path=path: self._folder(path))  # type: ignore[misc]
        for batch in self._batches(paths):
            self._write_batch(batch)
            if on_progress is not None:
                on_progress(self.result.files + self.result.refused, total)
        self._finish_dirs()

    def _refuse(self, path: str, reason: str) -> None:
        self.result.refused += 1
        self.result.first = self.result.first or Refused(path, reason)

    def _tried(self, path: str, work: Callable[[], object]) -> bool:
        """Do what may fail for this entry alone; a full disk ends everything."""
        try:
            work()
        except PixCrawlerError as exc:
            self._refuse(path, exc.detail)
        except OSError as exc:
            if exc.errno in _FATAL:
                raise
            self._refuse(path, exc.strerror or str(exc))
        else:
            return True
        return False

    # What is extracted.

    def _dirs(self, paths: Sequence[str]) -> Iterator[str]:
        for chosen in paths:
            prefix = f"{chosen}/" if chosen else ""
            for path in self._archive.index.iter_all_dirpaths(Order.PATH) if self._archive.isdir(chosen) else ():
                if path and (path == chosen or path.startswith(prefix)):
                    yield path

    def _files(self, paths: Sequence[str]) -> Iterator[BarecatFileInfo]:
        index = self._archive.index
        given: list[str] = []
        for chosen in paths:
            # One that is named twice is extracted once.
            if any(not before or chosen == before or chosen.startswith(f"{before}/") for before in given):
                continue
            if index.isfile(chosen):
                yield index.lookup_file(chosen)
            else:
                yield from index.iter_fileinfos_below(chosen, Order.ADDRESS)
            given.append(chosen)

    def _batches(self, paths: Sequence[str]) -> Iterator[list[BarecatFileInfo]]:
        batch: list[BarecatFileInfo] = []
        size = 0
        for info in self._files(paths):
            if not self._is_included(info.path):
                continue
            batch.append(info)
            size += info.size if isinstance(info.size, int) else 0
            if len(batch) == _READ_FILES or size >= _READ_BYTES:
                yield batch
                batch, size = [], 0
        yield batch

    # Files.

    def _write_batch(self, batch: Sequence[BarecatFileInfo]) -> None:
        """Read the small files by one native call, and write them all."""
        from pixcrawler._machine import usable_cpus

        shards = self._archive.shards
        items: list[tuple[LocalFile, int, int, int | None]] = []
        small: dict[int, int] = {}
        for number, info in enumerate(batch):
            with suppress(BarecatError, OSError):
                # What is wrong is told when the file's turn comes.
                shard, offset, size, crc = checked_address(_address(info), info.path)
                if size <= _READ_BYTES:
                    small[number] = len(items)
                    items.append((shards.file(shard, info.path), offset, size, crc))
        found = read_many(items, usable_cpus())
        for number, info in enumerate(batch):
            data = found[small[number]] if number in small else None
            parts = [data] if isinstance(data, bytes) else _content(shards, info.path, _address(info))
            if self._tried(info.path, lambda info=info, parts=parts: self._write(info, parts)):  # type: ignore[misc]
                self.result.files += 1

    def _write(self, info: BarecatFileInfo, parts: Iterator[bytes] | Sequence[bytes]) -> None:
        """Write a file under a temporary name, and give it its own when it is whole."""
        _check(info.path)
        folder = self._folder(parent_of(info.path))
        name = info.path.rpartition("/")[2]
        descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o666, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                for part in parts:
                    view = memoryview(part)
                    while view:
                        view = view[file.write(view) or 0 :]
                if isinstance(info.mode, int):
                    os.fchmod(descriptor, stat.S_IMODE(info.mode) & _PERMISSIONS)
                if isinstance(info.mtime_ns, int):
                    os.utime(descriptor, ns=(info.mtime_ns, info.mtime_ns))
            # Of a symbolic link the link itself is replaced.
            os.rename(self._temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=folder)
            raise

    # Folders.

    def _folder(self, path: str) -> int:
        """A descriptor of a directory, which is made with those above it. A symbolic link is not followed."""
        if not path:
            return self._top
        descriptor = self._folders.get(path)
        if descriptor is not None:
            self._folders.move_to_end(path)
            return descriptor
        _check(path)
        place, descriptor = "", self._top
        for name in path.split("/"):
            place = f"{place}/{name}" if place else name
            known = self._folders.get(place)
            descriptor = self._enter(place, name, descriptor) if known is None else known
        return descriptor

    def _enter(self, path: str, name: str, above: int) -> int:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=above)
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _NO_LINK, dir_fd=above)
        except OSError as exc:
            if stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
                raise BarecatError(f"{escape(path)} is a symbolic link, which may lead out of the folder") from exc
            raise
        self._visited.add(path)
        self._folders[path] = descriptor
        if len(self._folders) > _OPEN_FOLDERS:
            # The one opened or used longest ago, which is not the one just opened.
            _, oldest = self._folders.popitem(last=False)
            os.close(oldest)
        return descriptor

    def _finish_dirs(self) -> None:
        """Give the directories their modes and times, the innermost first: writing in them changes their time."""
        for path in sorted(self._visited, key=lambda path: -path.count("/")):
            if not self._archive.isdir(path):
                continue
            info = self._archive.index.lookup_dir(path)
            descriptor = self._folder(path)
            if isinstance(info.mtime_ns, int):
                os.utime(descriptor, ns=(info.mtime_ns, info.mtime_ns))
            if isinstance(info.mode, int):
                os.fchmod(descriptor, stat.S_IMODE(info.mode) & _PERMISSIONS)


def _address(info: BarecatFileInfo) -> tuple[object, object, object, object]:
    return info.shard, info.offset, info.size, info.crc32c


def _check(path: str) -> None:
    if not is_safe(path):
        raise BarecatError("the path leads out of the folder")
