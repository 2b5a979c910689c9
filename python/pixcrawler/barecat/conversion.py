"""Archives made of tar and zip, and the other way round."""

from __future__ import annotations

import logging
import os
import struct
import zipfile
from collections import Counter, deque
from itertools import pairwise
from typing import IO, TYPE_CHECKING

from pixcrawler.barecat import layout
from pixcrawler.barecat.archive import Barecat
from pixcrawler.barecat.copying import contents_of
from pixcrawler.barecat.exceptions import BarecatIntegrityError
from pixcrawler.barecat.foreign import (
    DANGLING,
    TAR_KINDS,
    Entry,
    StrictTar,
    broken,
    kind_of,
    members_of_zip,
    metadata_of_tar,
    mtime_of_zip,
    read_tar,
    read_zip,
    skip_of_tar,
    translated,
)
from pixcrawler.barecat.index import Index
from pixcrawler.barecat.infos import BarecatDirInfo, BarecatFileInfo
from pixcrawler.barecat.packing import TarPacker, ZipPacker
from pixcrawler.barecat.paths import below, is_safe, normalize
from pixcrawler.barecat.replacing import new_archive, new_file
from pixcrawler.exceptions import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from pixcrawler.barecat.packing import Packer

    AnyPath: TypeAlias = str | os.PathLike[str]

__all__ = ["add_foreign", "archive2barecat", "barecat2archive", "wrap_archive"]

_LOG = logging.getLogger("pixcrawler.barecat")

# Of a zip's member: its header's fixed part, where the lengths of its name and its extra field stand (APPNOTE 4.3.7).
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LOCAL_SIGNATURE = b"PK\3\4"
_ENCRYPTED = 1


def _kind(path: AnyPath, kind: str | None) -> str:
    found = kind or kind_of(path)
    if found is None:
        message = f"expected a name that ends in .tar, .tar.gz, .tar.bz2, .tar.xz or .zip, got {os.fspath(path)!r}"
        raise ValueError(message)
    return found


# Into an archive.


def archive2barecat(
    src: AnyPath | IO[bytes],
    target: AnyPath,
    shard_size_limit: int | str | None = None,
    overwrite: bool = False,
    *,
    kind: str | None = None,
) -> int:
    """Make an archive of a tar or a zip.

    Directories, modes, owners and times come along, of a zip the times alone. A hard link becomes a file of its own; of
    several entries of one name the last counts, as when they are unpacked. The archive appears when it is complete.

    Args:
        src: The tar or the zip: its name, or a stream of a tar.
        target: The archive's name.
        shard_size_limit: Bytes that a shard may have, or text such as ``"50G"``.
        overwrite: Replace an archive that is there.
        kind: ``"tar"``, ``"tar.gz"``, ``"tar.bz2"``, ``"tar.xz"`` or ``"zip"``; None tells by the name.

    Returns:
        How many entries were left out, which is logged too: symbolic links, devices and the like.

    Raises:
        FileExistsBarecatError: There is an archive already.
        BarecatIntegrityError: The tar or zip is broken.
        ValueError: A name must not be an entry's (it starts with ``..``, or is not UTF-8), or ``src`` has no known end.
    """
    with (
        new_archive(os.fspath(target), overwrite=overwrite) as name,
        Barecat(name, shard_size_limit, readonly=False) as bc,
    ):
        return add_foreign(bc, src, kind=kind)


def add_foreign(
    bc: Barecat,
    src: AnyPath | IO[bytes],
    *,
    kind: str | None = None,
    prefix: str = "",
    is_included: Callable[[str], bool] | None = None,
    ignore_duplicates: bool | None = None,
) -> int:
    """Add the entries of a tar or a zip to an archive.

    Args:
        bc: Open for writing.
        src: As in :func:`archive2barecat`.
        kind: As there.
        prefix: Directory of the archive that they go below.
        is_included: Which files, and the directories that they lie in; None takes everything.
        ignore_duplicates: Leave out files that are there; False refuses them, None replaces them.

    Returns:
        How many entries were left out because they are neither files nor directories.
    """
    is_stream = hasattr(src, "read")
    name = getattr(src, "name", "the stream") if is_stream else os.fspath(src)  # type: ignore[arg-type]
    found_kind = _kind("" if is_stream else src, kind)  # type: ignore[arg-type]
    skipped: Counter[str] = Counter()
    adder = _Adder(bc, prefix, is_included, skipped, ignore_duplicates=ignore_duplicates)
    with translated(str(name)):
        if is_stream:
            adder.add_all(read_tar(src, found_kind, skipped))  # type: ignore[arg-type]
        elif found_kind == "zip":
            with zipfile.ZipFile(src) as archive:
                adder.add_all(read_zip(archive, skipped))
        else:
            with open(src, "rb") as stream:  # type: ignore[arg-type]
                adder.add_all(read_tar(stream, found_kind, skipped))
    return _told(str(name), skipped)


def _told(name: str, skipped: Counter[str]) -> int:
    if skipped:
        counts = ", ".join(f"{count} {what}" for what, count in sorted(skipped.items()))
        _LOG.warning("left out of %s: %s", escape(name), counts)
    return skipped.total()


class _Adder:
    """Entries on their way into an archive."""

    def __init__(
        self,
        bc: Barecat,
        prefix: str,
        is_included: Callable[[str], bool] | None,
        skipped: Counter[str],
        *,
        ignore_duplicates: bool | None,
    ) -> None:
        self._bc = bc
        self._prefix = prefix
        self._is_included = is_included
        self._ignore_duplicates = ignore_duplicates
        self._skipped = skipped
        # Directories that no file was added to yet.
        self._pending: dict[str, BarecatDirInfo] = {}

    def add_all(self, entries: Iterator[Entry]) -> None:
        for entry in entries:
            if isinstance(entry.info, BarecatDirInfo):
                self._add_dir(entry.info)
            else:
                self._add_file(entry, entry.info)

    def _add_dir(self, info: BarecatDirInfo) -> None:
        path = info.path = below(self._prefix, info.path)
        if not path and self._ignore_duplicates is not None:
            # The root of an archive that others come into as well.
            return
        # An entry may come after what is in it.
        if self._is_included is not None and not self._bc.isdir(path):
            self._pending[path] = info
        else:
            self._bc.add(info, dir_exist_ok=True)

    def _add_file(self, entry: Entry, info: BarecatFileInfo) -> None:
        if self._is_included is not None and not self._is_included(info.path):
            return
        path = info.path = below(self._prefix, info.path)
        linked = None if entry.link is None else self._linked(entry.link)
        if entry.link is not None and linked is None:
            self._skipped[DANGLING] += 1
            return
        if linked is not None and linked.path == path:
            return
        is_there = self._bc.isfile(path)
        if is_there and self._ignore_duplicates:
            return
        fileobj = entry.fileobj
        if linked is not None:
            info.size, info.crc32c = linked.size, linked.crc32c
            ((_, content),) = contents_of(self._bc, [linked], ahead=False)
            entry = entry._replace(data=content) if isinstance(content, bytes) else entry._replace(fileobj=content)
            fileobj = entry.fileobj
        if is_there and self._ignore_duplicates is None:
            self._bc.update_file(path, info, data=entry.data, fileobj=fileobj)
        else:
            self._bc.add(info, data=entry.data, fileobj=fileobj)
        self._add_pending(path)

    def _linked(self, link: str) -> BarecatFileInfo | None:
        path = below(self._prefix, link)
        return self._bc.index.lookup_file(path) if self._bc.isfile(path) else None

    def _add_pending(self, path: str) -> None:
        while self._pending and path:
            path = path.rpartition("/")[0]
            info = self._pending.pop(path, None)
            if info is not None:
                self._bc.add(info, dir_exist_ok=True)


# Out of an archive.


def barecat2archive(
    src: AnyPath | Barecat,
    target: AnyPath | IO[bytes],
    root_dir: str | None = None,
    *,
    overwrite: bool = False,
    kind: str | None = None,
) -> None:
    """Make a tar or a zip of an archive: in order of path, checksums compared. The file appears when it is complete.

    A tar has directories, modes, owners and times; a zip names and times, and its entries are stored.

    Args:
        src: The archive.
        target: The tar or the zip: its name, or a stream that a tar is written to.
        root_dir: A folder that everything is put below.
        overwrite: Replace a file that is there.
        kind: As in :func:`archive2barecat`.

    Raises:
        FileExistsBarecatError: There is such a file.
        BarecatIntegrityError: A file of the archive is broken, or a path would lead out of the place of unpacking.
        ValueError: ``target`` has no known end, or ``root_dir`` leads elsewhere.
    """
    prefix = "" if root_dir is None else normalize(root_dir)
    if prefix and not is_safe(prefix):
        raise ValueError(f"root_dir is a folder within the target, not {root_dir!r}")
    is_stream = hasattr(target, "write")
    found_kind = _kind("" if is_stream else target, kind)  # type: ignore[arg-type]
    archive = src if isinstance(src, Barecat) else Barecat(src)
    try:
        if is_stream:
            _pack(archive, target, found_kind, prefix)  # type: ignore[arg-type]
            return
        with new_file(os.fspath(target), overwrite=overwrite) as file:  # type: ignore[arg-type]
            _pack(archive, file, found_kind, prefix)
    finally:
        if archive is not src:
            archive.close()


def _pack(archive: Barecat, stream: IO[bytes], kind: str, prefix: str) -> None:
    packer: Packer = ZipPacker(stream) if kind == "zip" else TarPacker(stream, kind)
    dirs: deque[BarecatDirInfo] = deque()

    def files() -> Iterator[BarecatFileInfo]:
        for info in archive.index.iter_by_path():
            if not is_safe(info.path):
                raise BarecatIntegrityError("the path is unsafe", code="archive_row", path=info.path)
            if isinstance(info, BarecatFileInfo):
                yield info
            else:
                dirs.append(info)

    def add_dirs(end: str | None = None) -> None:
        """Those that stand before a file: files are read ahead, and so directories are listed ahead."""
        while dirs and (end is None or dirs[0].path < end):
            info = dirs.popleft()
            packer.add(below(prefix, info.path), info)

    try:
        for info, content in contents_of(archive, files(), ahead=archive.readonly):
            add_dirs(info.path)
            packer.add(below(prefix, info.path), info, content, info.size or 0)
        add_dirs()
    except BaseException:
        packer.discard()
        raise
    packer.close()


# Around a tar or a zip.


def wrap_archive(src: AnyPath, target: AnyPath, overwrite: bool = False) -> int:
    """Make an index over an uncompressed tar or a zip of stored entries, whose bytes stay where they are.

    The archive's one shard is a symbolic link to it. Files have no checksum. Hard links are left out: two files of an
    archive do not share bytes.

    Args:
        src: The tar or the zip, which must not change any more.
        target: The archive's name.
        overwrite: Replace an archive that is there.

    Returns:
        How many entries were left out, which is logged too.

    Raises:
        FileExistsBarecatError: There is an archive already.
        BarecatIntegrityError: The tar or zip is broken.
        ValueError: It is compressed or encrypted, a file in it has holes, or a name must not be an entry's.
    """
    name, kind = os.fspath(src), _kind(src, None)
    if kind in TAR_KINDS[1:]:
        raise ValueError(f"cannot wrap {name!r}: it is compressed, convert it without wrapping")
    skipped: Counter[str] = Counter()
    with new_archive(os.fspath(target), overwrite=overwrite) as partial:
        with translated(name), open(src, "rb") as file, Index(partial, readonly=False) as index:
            rows = _rows_of_zip(file, name, skipped) if kind == "zip" else _rows_of_tar(file, name, skipped)
            _add_rows(index, rows, os.fstat(file.fileno()).st_size, name)
        os.symlink(os.path.abspath(name), layout.shard_path(partial, 0))
    return _told(name, skipped)


def _add_rows(index: Index, infos: Iterator[BarecatFileInfo | BarecatDirInfo], size: int, name: str) -> None:
    places: list[tuple[int, int]] = []
    for info in infos:
        if isinstance(info, BarecatDirInfo):
            index.add_dir(info, exist_ok=True)
            continue
        if info.end > size:
            raise broken(name, f"{info.path!r} would end at {info.end}, the file ends at {size}")
        if index.isfile(info.path):
            # Of several of one name the last counts.
            index.remove_file(info.path)
        index.add_file(info)
        if info.size:
            places.append((info.offset or 0, info.end))
    places.sort()
    if any(end > offset for (_, end), (offset, _) in pairwise(places)):
        raise broken(name, "entries share bytes")


def _rows_of_tar(file: IO[bytes], name: str, skipped: Counter[str]) -> Iterator[BarecatFileInfo | BarecatDirInfo]:
    with StrictTar.open(fileobj=file, mode="r:") as tar:
        while (member := tar.next()) is not None:
            metadata = metadata_of_tar(member)
            if member.isdir():
                yield BarecatDirInfo(*metadata)
            elif not member.isreg():
                skipped[skip_of_tar(member)] += 1
            elif member.issparse():
                raise ValueError(f"cannot wrap {name!r}: {member.name!r} has holes")
            else:
                yield BarecatFileInfo(*metadata, 0, member.offset_data, member.size)


def _rows_of_zip(file: IO[bytes], name: str, skipped: Counter[str]) -> Iterator[BarecatFileInfo | BarecatDirInfo]:
    with zipfile.ZipFile(file) as archive:
        for member in members_of_zip(archive, skipped):
            mtime_ns = mtime_of_zip(member)
            if member.is_dir():
                yield BarecatDirInfo(member.filename, mtime_ns=mtime_ns)
                continue
            if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _ENCRYPTED:
                raise ValueError(f"cannot wrap {name!r}: {member.filename!r} is compressed or encrypted")
            file.seek(member.header_offset)
            header = file.read(_LOCAL_HEADER.size)
            if len(header) != _LOCAL_HEADER.size or header[:4] != _LOCAL_SIGNATURE:
                raise zipfile.BadZipFile(f"expected a local header at byte {member.header_offset}")
            _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
            offset = member.header_offset + _LOCAL_HEADER.size + name_length + extra_length
            yield BarecatFileInfo(member.filename, None, None, None, mtime_ns, 0, offset, member.file_size)
