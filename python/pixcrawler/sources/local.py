"""Datasets on a local disk: one zip, a folder of zip chunks, or a plain folder of images; archives have their own room.

Files are read at positions into memory and never mapped: one that another process cuts short must be an error, not a
signal.
"""

from __future__ import annotations

import multiprocessing.context
import os
import re
import threading
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pixcrawler._fork import restart_in_children
from pixcrawler._native import Directory, LocalFile, SegmentBuffer
from pixcrawler.exceptions import IntegrityError, NotFoundError, PixCrawlerError
from pixcrawler.failures import LEDGER_NAME
from pixcrawler.records import ChunkRecord, DatasetInfo
from pixcrawler.sources import OpenChunk
from pixcrawler.sources.directory import read_directory
from pixcrawler.sources.labels import METADATA_NAME, folder_label, label_counts, parse_metadata, read_labels
from pixcrawler.sources.reading import raise_file_error, read_range

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pixcrawler._native import Buffer
    from pixcrawler.limits import Limits
    from pixcrawler.sources import SampleLabel, Source

__all__ = ["FolderSource", "ZipSource", "is_local", "open_local", "zips_at"]

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE | re.ASCII)
_TAIL_BYTES = 1 << 16
_FOLDER_CHUNK_IMAGES = 500

_S = TypeVar("_S")


def is_local(job_id: str | os.PathLike[str]) -> bool:
    """Whether ``load_dataset``'s first argument is a path: so that a folder never shadows a job, only by its form.

    Raises:
        ValueError: It is an address, such as ``file:///data/chunk.zip``.
    """
    if not isinstance(job_id, str):
        return True
    if _ADDRESS.match(job_id):
        scheme = job_id.partition(":")[0]
        message = (
            f"job_id must be a job's id or a path, not an address ({scheme}://...): pass a file's path as it is, and "
            "an API's address as base_url"
        )
        raise ValueError(message)
    separators = {os.sep, os.altsep, "/"} - {None}
    return job_id.endswith((".zip", ".barecat")) or any(cast("str", separator) in job_id for separator in separators)


def open_local(path: str | os.PathLike[str], limits: Limits, *, skips: bool = False) -> Source:
    """The source for a local path.

    Args:
        path: A zip file, an archive, a folder that holds zip files at its top, or a folder of images.
        limits: Bounds on untrusted input.
        skips: Leave it to the reader of a chunk to find that it cannot be opened.

    Raises:
        NotFoundError: There is nothing at ``path``, or a folder or an archive without images.
        DownloadError: It cannot be read.
        BarecatError: An archive's index cannot be read.
    """
    from pixcrawler.sources.archive import ArchiveSource, is_archive

    place = Path(path)
    if is_archive(place):
        return ArchiveSource(place, limits)
    zips = zips_at(place)
    return ZipSource(place, zips, limits, skips=skips) if zips else FolderSource(place, limits)


def zips_at(place: Path) -> list[Path]:
    """The zips that a path stands for, in order: the file itself, or those at a folder's top; none of a plain folder.

    Raises:
        NotFoundError: There is nothing at ``place``.
    """
    if place.is_dir():
        return sorted(entry for entry in place.iterdir() if entry.suffix.lower() == ".zip" and entry.is_file())
    if not place.exists():
        raise NotFoundError(f"expected a zip file or a folder at {place}, found nothing", code="path_not_found")
    return [place]


def _label_of(member: str, labels: Mapping[str, SampleLabel] | None) -> object:
    if labels is None or member not in labels:
        return folder_label(member)
    return labels[member].label


def _describe(path: Path, chunks: Sequence[ChunkRecord], opened: Sequence[OpenChunk], chunk_size: int) -> DatasetInfo:
    """A local dataset's info, from its directories."""
    members = ((chunk, chunk.directory.name(index)) for chunk in opened for index in chunk.directory.samples)
    labels = label_counts(_label_of(name, chunk.labels) for chunk, name in members)
    return DatasetInfo(
        job_id=str(path),
        name=path.stem if path.is_file() else path.resolve().name,
        created_at=datetime.fromtimestamp(path.stat().st_mtime, tz=timezone.utc),
        num_images=sum(len(chunk.directory.samples) for chunk in opened),
        num_chunks=len(chunks),
        chunk_size=chunk_size,
        size_bytes=sum(chunk.size_bytes or 0 for chunk in chunks),
        labels=labels,
        classes=tuple(label.name for label in labels),
    )


class ZipSource:
    """Zip files, each a chunk. Directories are read once, when the source is made.

    Args:
        path: What the dataset is called: the zip, or the folder that holds the zips.
        files: The zips, in order.
        limits: Bounds on untrusted input.
        skips: Take a zip that cannot be opened as a chunk of unknown content, which raises when it is opened.
        records: What a catalogue says of the zips, for errors to name the chunks that they are; else the files' names.
    """

    is_remote = False
    is_loose = False

    def __init__(
        self,
        path: Path,
        files: Sequence[Path],
        limits: Limits,
        *,
        skips: bool = False,
        records: Sequence[ChunkRecord] | None = None,
    ) -> None:
        self._path = path
        self._limits = limits
        self._skips = skips
        self._records = records
        self._files = tuple(files)
        self._open_files: dict[int, LocalFile] = {}
        self.start_after_fork()
        restart_in_children(self)
        self._opened: list[OpenChunk | PixCrawlerError] = []
        chunks: list[ChunkRecord] = []
        for index, file in enumerate(self._files):
            record = ChunkRecord(id=file.name, index=index, url="") if records is None else records[index]
            chunk = replace(record, index=index, url=str(file))
            try:
                chunk = replace(chunk, size_bytes=self._size_of(index))
                opened = self._open(chunk)
                chunk = replace(chunk, num_images=len(opened.directory.samples))
                self._opened.append(opened)
            except PixCrawlerError as exc:
                if not skips:
                    self.close()
                    raise
                # A copy: the error itself holds all frames that it came through.
                self._opened.append(copy(exc))
            chunks.append(chunk)
        self.chunks = tuple(chunks)
        readable = [opened for opened in self._opened if isinstance(opened, OpenChunk)]
        largest = max((chunk.num_images or 0 for chunk in self.chunks), default=0)
        self.info = _describe(path, self.chunks, readable, largest)

    def _size_of(self, index: int) -> int:
        file = self._file(index)
        try:
            return file.size_bytes
        except OSError as exc:
            raise_file_error(exc, self._files[index], self._files[index].name)

    def _file(self, index: int) -> LocalFile:
        """An open file, the same one for as long as the source lives: a file replaced meanwhile is not mixed in."""
        with self._lock:
            if index not in self._open_files:
                file = self._files[index]
                try:
                    self._open_files[index] = LocalFile(file)
                except OSError as exc:
                    raise_file_error(exc, file, file.name)
            return self._open_files[index]

    def __reduce__(self) -> tuple[Any, ...]:
        """A child that multiprocessing is starting gets the directories; any other process reads the files again."""
        if multiprocessing.context.get_spawning_popen() is not None:
            state = {**vars(self), "_open_files": {}}
            del state["_lock"]
            return _restored, (type(self), state)
        again = partial(type(self), skips=self._skips, records=self._records)
        return again, (self._path, self._files, self._limits)

    def _open(self, chunk: ChunkRecord) -> OpenChunk:
        size = chunk.size_bytes or 0
        try:
            offset = max(size - _TAIL_BYTES, 0)
            tail = self.read(chunk, offset, size).tobytes(0, size - offset)
            directory = read_directory(
                tail,
                size,
                lambda start, stop: self.read(chunk, start, stop).tobytes(0, stop - start),
                self._limits,
                chunk_id=chunk.id,
            )
            labels = read_labels(directory, lambda start, stop: (self.read(chunk, start, stop), start))
        except PixCrawlerError as exc:
            raise exc.with_place(chunk_id=chunk.id) from exc.__cause__
        return OpenChunk(directory, labels)

    def open(self, chunk: ChunkRecord) -> OpenChunk:
        """The members of a chunk and their labels.

        Raises:
            PixCrawlerError: It could not be opened when the source was made.
        """
        opened = self._opened[chunk.index]
        if isinstance(opened, PixCrawlerError):
            raise copy(opened)
        return opened

    def open_whole(self, chunk: ChunkRecord) -> tuple[OpenChunk, Buffer]:
        """The same, and all bytes of the chunk."""
        return self.open(chunk), self.read(chunk, 0, chunk.size_bytes or 0)

    def read(self, chunk: ChunkRecord, start: int, stop: int) -> SegmentBuffer:
        """The bytes [start, stop) of a chunk.

        Raises:
            DownloadError: The file cannot be read; :class:`IntegrityError`: it has become shorter.
        """
        return read_range(self._file(chunk.index), start, stop, self._files[chunk.index], chunk.id)

    def start_after_fork(self) -> None:
        """A lock of its own. Open files are shared with the parent, as reads say where they begin."""
        self._lock = threading.Lock()

    def for_run(self) -> ZipSource:
        """Itself: a disk is not spared."""
        return self

    def stats(self) -> Mapping[str, int]:
        """Nothing: no server is asked."""
        return {}

    def interrupt(self) -> None:
        """Nothing: no read waits for long."""

    def close(self) -> None:
        """Close the files. A later read opens them again."""
        with self._lock:
            self._open_files.clear()


@dataclass(frozen=True, slots=True)
class _FolderChunk:
    names: tuple[str, ...]
    stops: tuple[int, ...]
    opened: OpenChunk


class FolderSource:
    """A plain folder of images, taken in chunks of 500: each chunk is its files laid end to end.

    Every regular file below the folder is a sample, in the order of the names; hidden files and folders, and a
    ``metadata.jsonl`` and a ``failures.jsonl`` at the top are not.

    Args:
        path: The folder.
        limits: Bounds on untrusted input.
    """

    is_remote = False
    is_loose = True

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        names = sorted(_files_below(path))
        if not names:
            raise NotFoundError(f"expected images in the folder {path}, found no files", code="path_not_found")
        labels = None
        metadata = path / METADATA_NAME
        try:
            if metadata.is_file() and metadata.stat().st_size <= limits.inflated_bytes:
                labels = parse_metadata(metadata.read_bytes())
            sizes = {name: (path / name).stat().st_size for name in names}
        except OSError as exc:
            raise_file_error(exc, path, path.name)
        self._chunks: list[_FolderChunk] = []
        records: list[ChunkRecord] = []
        for first in range(0, len(names), _FOLDER_CHUNK_IMAGES):
            part = tuple(names[first : first + _FOLDER_CHUNK_IMAGES])
            part_sizes = [sizes[name] for name in part]
            opened = OpenChunk(Directory.bare([_text_of(name) for name in part], part_sizes), labels)
            self._chunks.append(_FolderChunk(part, tuple(accumulate(part_sizes)), opened))
            index = len(records)
            records.append(ChunkRecord(f"{path.name}[{index}]", index, str(path), sum(part_sizes), len(part)))
        self.chunks = tuple(records)
        self.info = _describe(path, self.chunks, [chunk.opened for chunk in self._chunks], _FOLDER_CHUNK_IMAGES)

    def open(self, chunk: ChunkRecord) -> OpenChunk:
        """The files of a chunk and their labels."""
        return self._chunks[chunk.index].opened

    def open_whole(self, chunk: ChunkRecord) -> tuple[OpenChunk, Buffer]:
        """The same, and the bytes of all files."""
        return self.open(chunk), self.read(chunk, 0, chunk.size_bytes or 0)

    def __reduce__(self) -> tuple[Any, ...]:
        """A child that multiprocessing is starting gets the list; any other process lists the folder again."""
        if multiprocessing.context.get_spawning_popen() is not None:
            return _restored, (type(self), vars(self))
        return type(self), (self._path, self._limits)

    def read(self, chunk: ChunkRecord, start: int, stop: int) -> SegmentBuffer:
        """The bytes [start, stop) of a chunk's files laid end to end.

        Raises:
            DownloadError: A file cannot be read; :class:`IntegrityError`: it has another size than when it was listed.
        """
        files = self._chunks[chunk.index]
        parts = []
        first = 0
        for name, after in zip(files.names, files.stops, strict=True):
            low, high = max(start, first), min(stop, after)
            if low < high:
                parts.append(self._read_file(chunk, name, low - first, high - first, after - first))
            first = after
        if len(parts) == 1:
            return parts[0]
        joined = SegmentBuffer(stop - start)
        for part in parts:
            joined.write(part.tobytes(0, len(part)))
        joined.seal()
        return joined

    def _read_file(self, chunk: ChunkRecord, name: str, start: int, stop: int, size: int) -> SegmentBuffer:
        path = self._path / name
        try:
            file = LocalFile(path)
            found = file.size_bytes
        except OSError as exc:
            raise_file_error(exc, path, chunk.id)
        if found != size:
            detail = f"{path}: expected {size} bytes as when the folder was listed, got {found}"
            raise IntegrityError(detail, code="file_changed", chunk_id=chunk.id, member=name)
        return read_range(file, start, stop, path, chunk.id)

    def for_run(self) -> FolderSource:
        """Itself: a disk is not spared."""
        return self

    def stats(self) -> Mapping[str, int]:
        """Nothing: no server is asked."""
        return {}

    def interrupt(self) -> None:
        """Nothing: no read waits for long."""

    def close(self) -> None:
        """Nothing stays open between reads."""


def _restored(kind: type[_S], state: dict[str, Any]) -> _S:
    """A source in the child, as it is in the parent."""
    source = kind.__new__(kind)
    vars(source).update(state)
    if isinstance(source, ZipSource):
        source.start_after_fork()
        restart_in_children(source)
    return source


def _text_of(name: str) -> str:
    r"""A file name as text: bytes that are no UTF-8, which Python keeps as lone surrogates, as ``\xff``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _files_below(folder: Path) -> list[str]:
    """Names, with forward slashes, of the regular files below a folder that are not hidden, nor notes about it."""
    names = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        relative = Path(place).relative_to(folder)
        for name in files:
            entry = Path(place, name)
            is_note = (relative / name).as_posix() in {METADATA_NAME, LEDGER_NAME}
            if not name.startswith(".") and entry.is_file() and not is_note:
                names.append((relative / name).as_posix())
    return names
