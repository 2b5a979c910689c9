"""A dataset written anew without its bad members: what is kept is copied byte for byte, never packed anew."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import struct
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pixcrawler._constants import TAIL_BYTES
from pixcrawler._native import Directory
from pixcrawler.exceptions import IntegrityError, LimitError
from pixcrawler.sources.labels import METADATA_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from typing import BinaryIO, TypeAlias

    from pixcrawler._native import Buffer
    from pixcrawler.limits import Limits
    from pixcrawler.records import ChunkRecord
    from pixcrawler.sources import Source

    Read: TypeAlias = Callable[[int, int], bytes]

__all__ = ["RepairReport", "Repairer", "check_folder"]

_BLOCK_BYTES = 4 << 20
_PARTIAL_NAME = ".repair.partial"
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
# Names that are the same everywhere and mean nothing to any system: not those of Windows' devices.
_PLAIN_NAME = re.compile(r"(?!(?i:con|prn|aux|nul|com\d|lpt\d)$)[A-Za-z0-9][A-Za-z0-9_-]{0,99}")

# APPNOTE 4.3.12: a central header of 46 bytes, in it at 28 the lengths of name, extra field and comment, at 42 the
# local header's offset.
_CENTRAL_BYTES = 46
_LENGTHS_AT = 28
_OFFSET_AT = 42
_SIZES_AT = (24, 20)
# APPNOTE 4.5.3: the extra field that holds, in this order, what stands as 0xFFFFFFFF: sizes, offset.
_ZIP64_EXTRA = 1
_MAX32 = 0xFFFF_FFFF
_MAX16 = 0xFFFF


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was written.

    Attributes:
        folder: Where.
        chunks: Chunks written; of a plain folder, the groups of files that were copied.
        removed: Bad members that were left out of them.
        left_out: Chunks that were not written because they could not be read or checked; of a plain folder, files.
    """

    folder: str
    chunks: int
    removed: int
    left_out: tuple[str, ...]


def check_folder(folder: Path) -> None:
    """Refuse a place that holds anything: nothing is ever overwritten.

    Raises:
        FileExistsError: It is neither missing nor an empty folder.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(errno.EEXIST, "expected a new or empty folder for the repaired chunks", str(folder))


class Repairer:
    """Writes the chunks of a source without their bad members, each file aside first and renamed when it is complete.

    Args:
        folder: Where; made if missing.
        source: Where the chunks are read from, those of an API a second time.
        limits: Bounds on untrusted input.

    Raises:
        OSError: The folder cannot be made.
    """

    def __init__(self, folder: Path, source: Source, limits: Limits) -> None:
        self._folder = folder
        self._source = source
        self._limits = limits
        self._names = _file_names(source)
        self._chunks = 0
        self._removed = 0
        self._left_out: list[str] = []
        self._removed_files: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, chunk: ChunkRecord, bad: Collection[int], unchecked: Collection[int]) -> None:
        """Write a chunk.

        Args:
            chunk: One of the source's.
            bad: Indices of the members to leave out.
            unchecked: Indices of the members whose bytes could not be had: a zip with such is not written.

        Raises:
            PixCrawlerError: The chunk cannot be read.
            OSError: The disk does not take it.
        """
        if self._source.is_loose:
            self._copy_files(chunk, bad, unchecked)
        elif unchecked:
            self.leave_out(chunk)
            return
        else:
            with self._published(self._folder / self._names[chunk.index]) as file:
                size_bytes, read = self._reader(chunk)
                if bad:
                    _copy_without(file, size_bytes, read, bad, self._limits)
                else:
                    for start in range(0, size_bytes, _BLOCK_BYTES):
                        file.write(read(start, min(start + _BLOCK_BYTES, size_bytes)))
        self._chunks += 1
        self._removed += len(bad)

    def leave_out(self, chunk: ChunkRecord) -> None:
        """Note that a chunk is not written."""
        self._left_out.append(chunk.id)

    def finish(self) -> RepairReport:
        """Write what belongs to all chunks together; returns what was written."""
        if self._source.is_loose:
            metadata = Path(self._source.chunks[0].url) / METADATA_NAME
            if metadata.is_file():
                with self._published(self._folder / METADATA_NAME) as file:
                    file.write(_without_lines(metadata.read_bytes(), self._removed_files))
        return RepairReport(str(self._folder), self._chunks, self._removed, tuple(self._left_out))

    def _reader(self, chunk: ChunkRecord) -> tuple[int, Read]:
        """A chunk's size and how to read its bytes; from a server the whole is fetched, and its SHA-256 checked."""
        if self._source.is_remote:
            _, buffer = self._source.open_whole(chunk)
            return len(buffer), lambda start, stop: _part(buffer, start, stop)
        return chunk.size_bytes or 0, lambda start, stop: _part(self._source.read(chunk, start, stop), 0, stop - start)

    def _copy_files(self, chunk: ChunkRecord, bad: Collection[int], unchecked: Collection[int]) -> None:
        directory = self._source.open(chunk).directory
        for index in directory.samples:
            name = directory.name(index)
            if index in unchecked:
                self._left_out.append(name)
            if index in bad or index in unchecked:
                self._removed_files.add(name)
                continue
            place = self._folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            start, stop = directory.extent(index)
            with self._published(place) as file:
                file.write(_part(self._source.read(chunk, start, stop), 0, stop - start) if start < stop else b"")

    @contextmanager
    def _published(self, place: Path) -> Iterator[BinaryIO]:
        """A file that is there under its name once it is complete, and not at all before."""
        partial = place.with_name(_PARTIAL_NAME)
        try:
            with partial.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            check_folder(place)
            partial.replace(place)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def _part(buffer: Buffer, start: int, stop: int) -> bytes:
    return buffer[start:stop] if isinstance(buffer, bytes) else buffer.tobytes(start, stop)


def _file_names(source: Source) -> list[str]:
    """A file name for each chunk: a local zip's own; of an API its id, or, where ids are no plain names, its number."""
    if not source.is_remote:
        return [Path(chunk.url).name for chunk in source.chunks]
    ids = [chunk.id for chunk in source.chunks]
    are_plain = all(_PLAIN_NAME.fullmatch(one) for one in ids) and len({one.lower() for one in ids}) == len(ids)
    return [f"{one}.zip" if are_plain else f"chunk-{index:05d}.zip" for index, one in enumerate(ids)]


def _without_lines(metadata: bytes, removed: Collection[str]) -> bytes:
    """The lines of a metadata.jsonl but those of the removed members; the others as they are."""
    lines = metadata.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.strip() or json.loads(line)["file_name"] not in removed)


# Zips.


def _copy_without(file: BinaryIO, size_bytes: int, read: Read, bad: Collection[int], limits: Limits) -> None:
    """Write a zip without some of its members; what is kept of local headers, data and directory stays as it is.

    Folders' entries and the archive comment are left out.
    """
    location = Directory.locate(read(max(size_bytes - TAIL_BYTES, 0), size_bytes), size_bytes, limits)
    data = read(location.start, location.stop)
    directory = Directory(data, location, size_bytes, limits)
    headers = _central_headers(data, location.entries)
    metadata = directory.find(METADATA_NAME)
    kept = [index for index in directory.samples if index not in bad]
    new_headers: dict[int, bytes] = {}
    # In the file's order no offset grows.
    for index in sorted(kept, key=directory.extent):
        new_headers[index] = _moved(headers[index], file.tell())
        file.write(read(*directory.extent(index)))
    if metadata is not None:
        removed = {directory.name(index) for index in bad}
        first, last = directory.extent(metadata)
        lines = directory.read_member(metadata, read(first, last), first)
        member, header = _stored(METADATA_NAME, _without_lines(lines, removed))
        new_headers[metadata] = _moved(header, file.tell())
        file.write(member)
    # In the directory's order, which is that of the samples.
    _write_directory(file, [new_headers[index] for index in sorted(new_headers)])


def _central_headers(data: bytes, entries: int) -> list[bytes]:
    """The directory's headers, whose structure has been checked."""
    headers, at = [], 0
    for _ in range(entries):
        stop = at + _CENTRAL_BYTES + sum(struct.unpack_from("<3H", data, at + _LENGTHS_AT))
        headers.append(data[at:stop])
        at = stop
    return headers


def _stored(name: str, data: bytes) -> tuple[bytes, bytes]:
    """A new member as it stands in a zip, and its central header for an offset of 0."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name, _FIXED_TIME), data)
        length = archive.start_dir
    written = stream.getvalue()
    return written[:length], _central_headers(written[length:], 1)[0]


def _moved(header: bytes, offset: int) -> bytes:
    """A central header that says another place of the member."""
    moved = bytearray(header)
    if struct.unpack_from("<I", header, _OFFSET_AT)[0] != _MAX32:
        if offset >= _MAX32:
            message = f"{METADATA_NAME} would stand at byte {offset}, at most {_MAX32 - 1} can be written"
            raise LimitError(message, code="limit_chunk")
        struct.pack_into("<I", moved, _OFFSET_AT, offset)
        return bytes(moved)
    name_length, extra_length = struct.unpack_from("<2H", header, _LENGTHS_AT)
    at = _CENTRAL_BYTES + name_length
    stop = at + extra_length
    while at + 4 <= stop:
        kind, length = struct.unpack_from("<2H", header, at)
        if kind == _ZIP64_EXTRA:
            before = sum(struct.unpack_from("<I", header, size)[0] == _MAX32 for size in _SIZES_AT)
            struct.pack_into("<Q", moved, at + 4 + 8 * before, offset)
            return bytes(moved)
        at += 4 + length
    message = "a member's offset is nowhere"
    raise IntegrityError(message, code="file_changed")


def _write_directory(file: BinaryIO, headers: list[bytes]) -> None:
    """Write the central directory and the end records (APPNOTE 4.3.14 to 4.3.16)."""
    start, length, count = file.tell(), sum(map(len, headers)), len(headers)
    file.writelines(headers)
    if count >= _MAX16 or start >= _MAX32 or length >= _MAX32:
        end = file.tell()
        file.write(struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, start))
        file.write(struct.pack("<4sIQI", b"PK\6\7", 0, end, 1))
    counts = (min(count, _MAX16),) * 2
    file.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, *counts, min(length, _MAX32), min(start, _MAX32), 0))
