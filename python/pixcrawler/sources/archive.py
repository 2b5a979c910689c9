"""A Barecat archive as a dataset: its shards, in runs of files that lie one behind the other.

The index is read once, in one query, when the source is made: the dataset is the archive as it was then. Each file's
CRC-32C, where the index holds one, is checked as the file is decoded.
"""

from __future__ import annotations

import multiprocessing.context
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixcrawler import _native
from pixcrawler._machine import usable_cpus
from pixcrawler._native import Directory, SegmentBuffer
from pixcrawler.barecat import layout, schema
from pixcrawler.barecat.exceptions import BarecatError
from pixcrawler.barecat.index import Index
from pixcrawler.barecat.shards import Shards, checked_address
from pixcrawler.exceptions import LimitError, NotFoundError
from pixcrawler.records import ChunkRecord, DatasetInfo
from pixcrawler.sources import OpenChunk
from pixcrawler.sources.labels import METADATA_NAME, folder_label, label_counts, parse_metadata
from pixcrawler.sources.reading import raise_file_error, read_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import TypeAlias

    from pixcrawler._native import Buffer
    from pixcrawler.limits import Limits
    from pixcrawler.sources import SampleLabel

    # Path, shard, offset, size, CRC-32C, as they stand in the index.
    _Row: TypeAlias = tuple[Any, ...]

__all__ = ["ArchiveSource", "is_archive"]

# Files of a chunk at most: large enough for whole segments of small files, small enough to be planned in no time.
_RUN_FILES = 1000
_SQLITE_MAGIC = b"SQLite format 3\0"


def is_archive(place: Path) -> bool:
    """Whether a path is an archive's name: it ends in ``.barecat``, or its index is there, and it is no folder."""
    if place.is_dir():
        return False
    if place.suffix == ".barecat":
        return True
    try:
        with Path(layout.find_index(str(place))).open("rb") as index:
            return index.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class _Run:
    """Files of one shard that lie one behind the other: a chunk, which begins at a byte of the shard."""

    shard: int
    start: int
    opened: OpenChunk


class ArchiveSource:
    """The files of an archive in order of address, which is that of writing; each chunk is a part of a shard.

    Left out is what a folder of images leaves out: hidden files, files in hidden folders, and a ``metadata.jsonl`` and
    a ``failures.jsonl`` at the top. A row that cannot be true, or whose bytes are not there, is a sample that fails.
    A file takes about 95 bytes and its path.

    Args:
        path: The archive's name.
        limits: Bounds on untrusted input.

    Raises:
        NotFoundError: There is no archive, or none with images.
        BarecatError: Its index cannot be read.
    """

    is_remote = False
    is_loose = False

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._shards = self._shards_of_this_process()
        index_path = Path(layout.find_index(str(path)))
        if not index_path.is_file():
            raise NotFoundError(f"expected an archive at {path}, found nothing", code="path_not_found")
        chunks: list[ChunkRecord] = []
        self._runs: list[_Run] = []
        with closing(Index(str(index_path), bufsize=_RUN_FILES)) as index:
            self._labels = self._read_labels(index)
            counts = label_counts(label for rows in self._read_rows(index, chunks) for label in self._labels_of(rows))
        if not chunks:
            raise NotFoundError(f"expected images in the archive {path}, found no files", code="path_not_found")
        self.chunks = tuple(chunks)
        self.info = DatasetInfo(
            job_id=str(path),
            name=path.stem,
            created_at=datetime.fromtimestamp(index_path.stat().st_mtime, tz=timezone.utc),
            num_images=sum(chunk.num_images or 0 for chunk in self.chunks),
            num_chunks=len(self.chunks),
            chunk_size=max(chunk.num_images or 0 for chunk in self.chunks),
            size_bytes=sum(chunk.size_bytes or 0 for chunk in self.chunks),
            labels=counts,
            classes=tuple(label.name for label in counts),
        )

    def _shards_of_this_process(self) -> Shards:
        return Shards(str(self._path.absolute()))

    def _read_labels(self, index: Index) -> Mapping[str, SampleLabel] | None:
        """What the archive's own ``metadata.jsonl`` says, or None if it has none."""
        if not index.isfile(METADATA_NAME):
            return None
        ((_, *address),) = index.addresses([METADATA_NAME])
        shard, offset, size, crc = checked_address(address, METADATA_NAME)
        if size > self._limits.inflated_bytes:
            detail = f"{size} bytes, the limit is {self._limits.inflated_bytes}"
            raise LimitError(detail, code="limit_inflated", member=METADATA_NAME)
        try:
            return parse_metadata(self._shards.read(METADATA_NAME, shard, offset, size, crc))
        except OSError as exc:
            raise_file_error(exc, Path(self._shards.path(shard)), self._path.name)

    def _read_rows(self, index: Index, chunks: list[ChunkRecord]) -> Iterator[list[_Row]]:
        """Read all rows: each list of them becomes a run and a chunk, and is handed on."""
        runs = _runs(index)
        following = next(runs, None)
        shard: object = None
        parts, shard_bytes, before = 0, None, 0
        while following is not None:
            rows, following = following, next(runs, None)
            if not chunks or rows[0][1] != shard:
                shard = rows[0][1]
                parts, shard_bytes, before = 0, self._shard_bytes(shard), 0
            directory, start, stop = Directory.in_shard(
                rows,
                shard_bytes,
                self._limits,
                before=before,
                following=following if following is not None and following[0][1] == shard else None,
            )
            # What is no number is told by each row's own error.
            number = shard if type(shard) is int else -1
            name = f"{self._path.name}-shard-{number:05d}[{parts}]"
            self._runs.append(_Run(number, start, OpenChunk(directory, self._labels)))
            chunks.append(ChunkRecord(name, len(chunks), str(self._path), stop - start, len(rows)))
            before = max(before, stop)
            parts += 1
            yield rows

    def _labels_of(self, rows: Sequence[_Row]) -> Iterator[object]:
        names = (str(row[0]) for row in rows)
        labels = self._labels
        if labels is None:
            return map(folder_label, names)
        return (labels[name].label if name in labels else folder_label(name) for name in names)

    def _shard_bytes(self, shard: object) -> int | None:
        """A shard's size, or None if there is none of that number."""
        if type(shard) is not int or not 0 <= shard <= layout.MAX_SHARD:
            return None
        place = Path(self._shards.path(shard))
        try:
            return place.stat().st_size
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise_file_error(exc, place, self._path.name)

    def __reduce__(self) -> tuple[Any, ...]:
        """A child that multiprocessing is starting gets the directories; any other process reads the index again."""
        if multiprocessing.context.get_spawning_popen() is not None:
            state = vars(self).copy()
            del state["_shards"]
            return _restored, (state,)
        return type(self), (self._path, self._limits)

    def open(self, chunk: ChunkRecord) -> OpenChunk:
        """The files of a chunk and their labels."""
        return self._runs[chunk.index].opened

    def open_whole(self, chunk: ChunkRecord) -> tuple[OpenChunk, Buffer]:
        """The same, and the bytes of the chunk's part of the shard."""
        return self.open(chunk), self.read(chunk, 0, chunk.size_bytes or 0)

    def read(self, chunk: ChunkRecord, start: int, stop: int) -> SegmentBuffer:
        """The bytes [start, stop) of a chunk.

        Raises:
            BarecatIntegrityError: The shard is gone; :class:`IntegrityError`: it has become shorter.
            DownloadError: It cannot be read.
        """
        if start == stop:
            empty = SegmentBuffer(0)
            empty.seal()
            return empty
        run = self._runs[chunk.index]
        place = Path(self._shards.path(run.shard))
        try:
            file = self._shards.file(run.shard)
        except BarecatError as exc:
            raise exc.with_place(chunk_id=chunk.id) from None
        except OSError as exc:
            raise_file_error(exc, place, chunk.id)
        return read_range(file, run.start + start, run.start + stop, place, chunk.id)

    def read_many(self, ranges: Sequence[tuple[ChunkRecord, int, int]], at_once: int) -> list[Buffer | None]:  # noqa: ARG002 - threads are those that decode
        """The bytes of ranges (chunk, start, stop), in one native call; None for those that cannot be had."""
        results: list[Buffer | None] = [None] * len(ranges)
        items = []
        for at, (chunk, start, stop) in enumerate(ranges):
            run = self._runs[chunk.index]
            try:
                items.append((at, (self._shards.file(run.shard), run.start + start, stop - start, None)))
            except (BarecatError, OSError):
                # Reading it by itself tells why.
                continue
        found = _native.read_many([item for _, item in items], usable_cpus())
        for (at, _), data in zip(items, found, strict=True):
            results[at] = data if isinstance(data, bytes) else None
        return results

    def for_run(self) -> ArchiveSource:
        """Itself: a disk is not spared."""
        return self

    def stats(self) -> Mapping[str, int]:
        """Nothing: no server is asked."""
        return {}

    def interrupt(self) -> None:
        """Nothing: no read waits for long."""

    def close(self) -> None:
        """Close the shards. A later read opens them again."""
        self._shards.close()


def _restored(state: dict[str, Any]) -> ArchiveSource:
    """A source in the child, as it is in the parent."""
    source = ArchiveSource.__new__(ArchiveSource)
    vars(source).update(state)
    vars(source).update(_shards=source._shards_of_this_process())  # noqa: SLF001
    return source


def _runs(index: Index) -> Iterator[list[_Row]]:
    """The rows of all samples in order of address, in lists of one shard each."""
    for rows in index.stream(schema.SAMPLES):
        start = 0
        while start < len(rows):
            shard = rows[start][1]
            if rows[-1][1] == shard:
                yield rows[start:]
                break
            stop = next(at for at in range(start, len(rows)) if rows[at][1] != shard)
            yield rows[start:stop]
            start = stop
