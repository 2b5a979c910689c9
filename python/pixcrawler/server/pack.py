"""From a folder or a zip of images to chunk files. Knows nothing of jobs and catalogues.

The same input gives the same chunks, byte for byte: names are sorted, times and attributes fixed, images stored as
they are.
What is held in memory is one image, the names, and the lines of metadata.jsonl.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import zipfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from pixcrawler import _native
from pixcrawler.exceptions import ArchiveError, LimitError, NotFoundError, PixCrawlerError
from pixcrawler.limits import Limits
from pixcrawler.sources.directory import read_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

__all__ = ["Input", "Refused", "Summary", "WrittenChunk", "open_input", "write_chunks"]

METADATA_NAME: Final = "metadata.jsonl"

# A chunk closes before it passes this, however few images it has: clients of servers without ranges hold whole chunks,
# and below 4 GiB no zip64 fields are needed.
MAX_CHUNK_BYTES: Final = 1 << 30

_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
_ATTRIBUTES = (stat.S_IFREG | 0o644) << 16
_UNIX = 3
_TAIL_BYTES = 65_536
# Names that need no second look.
_PLAIN_NAME = re.compile(r"[\w .()+,=@-]+(/[\w .()+,=@-]+)*")
# 32 suffice for most formats; SVG hides behind comments.
_SNIFFED_BYTES = 1024
_HASH_BLOCK_BYTES = 1 << 20
# More than this around a member's data (its headers) cannot be: name and extra field are 65,535 bytes each at most.
_HEADER_BYTES = 1 << 18
_LITTER = frozenset(
    {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"}
)


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was not packed.

    Attributes:
        name: Its path in the input.
        code: Why, from the table of error codes.
        detail: What was expected and found.
    """

    name: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class WrittenChunk:
    """A finished chunk file.

    Attributes:
        path: Where it lies; its bytes are on disk (fsync).
        sha256: Of the file.
        size_bytes: Of the file.
        num_images: Members beside metadata.jsonl.
    """

    path: Path
    sha256: str
    size_bytes: int
    num_images: int


@dataclass(slots=True)
class Summary:
    """What packing learns on the way; complete when :func:`write_chunks` is exhausted.

    Attributes:
        labels: String label -> images that have it.
        refused: Files that were not packed, in order.
        image_size: (height, width) if all images have that size when decoded, EXIF orientation applied; else None.
    """

    labels: Counter[str] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)
    image_size: tuple[int, int] | None = None


class Input(Protocol):
    """A folder or a zip: named files, of which some are images."""

    @property
    def names(self) -> Sequence[str]:
        """The files to look at, sorted: not those hidden, nor systems' litter, nor the top-level metadata.jsonl."""

    def read(self, name: str) -> bytes:
        """A file's bytes.

        Raises:
            PixCrawlerError: It is refused; the others may be fine.
            OSError: It cannot be read.
        """

    def metadata(self) -> bytes | None:
        """The bytes of the top-level metadata.jsonl, or None."""

    def close(self) -> None:
        """Let go of files. Idempotent."""


def open_input(path: Path, limits: Limits | None = None) -> Input:
    """A folder or a zip as an input.

    Args:
        path: The folder or the zip file.
        limits: Bounds on the zip and on one image; what exceeds them, readers with the same limits would refuse.

    Raises:
        NotFoundError: There is nothing at ``path``.
        ArchiveError, LimitError: It is a file, but no zip that can be trusted.
    """
    limits = limits or Limits()
    if path.is_dir():
        return _Folder(path, limits)
    if path.is_file():
        return _Zip(path, limits)
    message = f"no folder and no zip file at {path}"
    raise NotFoundError(message, code="path_not_found")


def write_chunks(
    source: Input,
    folder: Path,
    *,
    stem: str,
    chunk_size: int,
    summary: Summary,
    on_file: Callable[[int, int], None] | None = None,
) -> Generator[WrittenChunk, None, None]:
    """Write an input's images into chunk files, one after the other.

    Args:
        source: Where the images come from.
        folder: Where the chunk files go, as ``<stem>-<index>.partial``; the caller gives them their final names.
        stem: Begins the names of the chunk files.
        chunk_size: Images in a full chunk.
        summary: Filled in on the way.
        on_file: Called after each file with the number of files done and of all.

    Yields:
        Finished chunks in order. An unfinished one is deleted if the iteration fails or is closed.

    Raises:
        ArchiveError: metadata.jsonl is malformed.
        OSError: A chunk cannot be written.
    """
    metadata = _parse_metadata(source.metadata())
    unlisted = dict.fromkeys(metadata)
    sizes = _SharedSize()
    writer: _ChunkWriter | None = None
    index = 0
    try:
        for done, name in enumerate(source.names, start=1):
            unlisted.pop(name, None)
            data = _read_image(source, name, summary.refused)
            if data is not None:
                if writer is not None and writer.is_full(chunk_size, len(data)):
                    yield writer.finish()
                    writer, index = None, index + 1
                if writer is None:
                    writer = _ChunkWriter(folder / f"{stem}-{index:05d}.partial")
                line, label = metadata.get(name, (None, _parent_folder(name)))
                writer.add(name, data, line)
                if isinstance(label, str):
                    summary.labels[label] += 1
                sizes.add(name, data)
            if on_file is not None:
                on_file(done, len(source.names))
        if writer is not None:
            yield writer.finish()
            writer = None
    finally:
        if writer is not None:
            writer.abort()
    summary.refused += [
        Refused(name, "path_not_found", f"listed in {METADATA_NAME}, but there is no such file") for name in unlisted
    ]
    summary.image_size = sizes.shared


def _read_image(source: Input, name: str, refused: list[Refused]) -> bytes | None:
    """A file's bytes if it is an image; else the reason goes to ``refused``."""
    if not _is_text(name):
        refused.append(Refused(name, "name", "the name is not valid UTF-8"))
        return None
    try:
        data = source.read(name)
    except PixCrawlerError as error:
        refused.append(Refused(name, error.code, error.detail))
    except OSError as error:
        refused.append(Refused(name, "file_io", error.strerror or str(error)))
    else:
        if _native.detect_format(data[:_SNIFFED_BYTES]) is not None:
            return data
        refused.append(Refused(name, "not_an_image", f"{len(data)} bytes of no image format" if data else "empty file"))
    return None


def _parent_folder(name: str) -> str | None:
    parts = name.split("/")
    return parts[-2] if len(parts) > 1 else None


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part.lower() in _LITTER


# Metadata.


def _parse_metadata(data: bytes | None) -> dict[str, tuple[bytes, object]]:
    """file_name -> the line as it is written, and its label; a line without one says that there is none."""
    lines: dict[str, tuple[bytes, object]] = {}
    for number, line in enumerate((data or b"").removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        name = record.get("file_name") if isinstance(record, dict) else None
        if not isinstance(record, dict) or not isinstance(name, str):
            message = f'{METADATA_NAME} line {number} is not a JSON object with a text "file_name": {line[:100]!r}'
            raise ArchiveError(message, code="metadata")
        if name in lines:
            message = f"{METADATA_NAME} line {number} names {name!r} a second time"
            raise ArchiveError(message, code="metadata")
        label = record.get("label")
        if isinstance(label, str) and not _is_text(label):
            message = f"{METADATA_NAME} line {number} has a label that is not valid Unicode"
            raise ArchiveError(message, code="metadata")
        lines[name] = (line.strip(), label)
    return lines


def _is_text(name: str) -> bool:
    """Whether it has no lone surrogates, which neither a zip nor a database can hold as text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


# Inputs.


class _Folder:
    """The files below a folder. Links to files are followed, links to folders are not: they may lead in circles."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self._root = root
        self._limits = limits
        names = []
        for folder, folders, files in os.walk(root, onerror=_raise):
            folders[:] = [name for name in folders if not _is_hidden(name)]
            prefix = Path(folder).relative_to(root).parts
            names += ["/".join((*prefix, name)) for name in files if not _is_hidden(name)]
        self.names = sorted(name for name in names if name != METADATA_NAME)

    def read(self, name: str) -> bytes:
        if not _PLAIN_NAME.fullmatch(name):
            _ask_reader(name)
        # Not to wait for a FIFO's writer; the flag is missing on Windows, as FIFOs are.
        file = os.open(self._root / name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(file, "rb") as stream:  # noqa: PTH123  (a descriptor)
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                message = "not a regular file"
                raise ArchiveError(message, code="not_regular")
            _check_size(status.st_size, self._limits)
            return stream.read()

    def metadata(self) -> bytes | None:
        path = self._root / METADATA_NAME
        return path.read_bytes() if path.is_file() else None

    def close(self) -> None:
        pass


class _Zip:
    """The members of a zip file, read and checked as a chunk's are."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self._limits = limits
        self._file = path.open("rb", buffering=0)
        try:
            size = os.fstat(self._file.fileno()).st_size
            tail = self._bytes(max(0, size - _TAIL_BYTES), size)
            self._directory = read_directory(tail, size, self._bytes, limits, chunk_id=path.name)
        except BaseException:
            self._file.close()
            raise
        # A name that occurs twice is kept once: reading it is refused either way.
        self._indices = {self._directory.name(index): index for index in self._directory.samples}
        self.names = sorted(name for name in self._indices if not any(_is_hidden(part) for part in name.split("/")))

    def read(self, name: str) -> bytes:
        data = self._member(self._indices[name])
        _check_size(len(data), self._limits)
        return data

    def metadata(self) -> bytes | None:
        index = self._directory.find(METADATA_NAME)
        return None if index is None else self._member(index)

    def close(self) -> None:
        self._file.close()

    def _member(self, index: int) -> bytes:
        start, stop = self._directory.extent(index)
        _check_size(stop - start - _HEADER_BYTES, self._limits)
        return self._directory.read_member(index, self._bytes(start, stop), start)

    def _bytes(self, start: int, stop: int) -> bytes:
        """Bytes [start, stop) of the file; fewer if it ends before, which the parser refuses."""
        self._file.seek(start)
        parts = []
        while start < stop and (part := self._file.read(stop - start)):
            parts.append(part)
            start += len(part)
        return b"".join(parts)


def _ask_reader(name: str) -> None:
    """Raise what reading a member of this name would raise: a file system allows names that a chunk must not have."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name, _FIXED_TIME), b"")
    data, limits = stream.getvalue(), Limits()
    location = _native.Directory.locate(data, len(data), limits)
    directory = _native.Directory(data[location.start : location.stop], location, len(data), limits)
    directory.read_member(0, data, 0)


def _raise(error: OSError) -> None:
    raise error


def _check_size(size_bytes: int, limits: Limits) -> None:
    if size_bytes > limits.member_bytes:
        message = f"{size_bytes} bytes, over the limit of {limits.member_bytes}"
        raise LimitError(message, code="limit_member")


# Chunks.


class _ChunkWriter:
    """One chunk file while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb+")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED, allowZip64=False)
        self._lines: list[bytes] = []
        self._num_images = 0
        self._size_bytes = 0

    def is_full(self, chunk_size: int, next_bytes: int) -> bool:
        return self._num_images >= chunk_size or self._size_bytes + next_bytes > MAX_CHUNK_BYTES

    def add(self, name: str, data: bytes, line: bytes | None) -> None:
        self._write(name, data)
        self._num_images += 1
        self._size_bytes += len(data) + (0 if line is None else len(line) + 1)
        if line is not None:
            self._lines.append(line)

    def finish(self) -> WrittenChunk:
        try:
            if self._lines:
                self._write(METADATA_NAME, b"".join(line + b"\n" for line in self._lines))
            self._zip.close()
            size_bytes = self._file.seek(0, os.SEEK_END)
            # Hashed from the start when complete: zipfile goes back to fill in sizes and checksums.
            self._file.seek(0)
            digest = hashlib.sha256()
            while block := self._file.read(_HASH_BLOCK_BYTES):
                digest.update(block)
            os.fsync(self._file.fileno())
        except BaseException:
            self.abort()
            raise
        self._file.close()
        return WrittenChunk(self._path, digest.hexdigest(), size_bytes, self._num_images)

    def abort(self) -> None:
        # Closing the zip writes its directory, which a full disk may refuse; the file goes away either way.
        with suppress(OSError):
            self._zip.close()
        with suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    def _write(self, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name, _FIXED_TIME)
        info.create_system = _UNIX
        info.external_attr = _ATTRIBUTES
        self._zip.writestr(info, data)


class _SharedSize:
    """Whether all images have one size, from their headers; looks at no more images once two differ."""

    def __init__(self) -> None:
        self._sizes: set[tuple[int, int] | None] = set()
        self._decoder = _native.Decoder(
            mode="RGB",
            image_size=None,
            resize_mode="stretch",
            interpolation="bilinear",
            apply_exif=True,
            draft=False,
            keep_truncated=False,
            limits=Limits(),
            threads=1,
            working_bytes=64 << 20,
        )

    def add(self, name: str, data: bytes) -> None:
        if len(self._sizes) > 1:
            return
        directory = _native.Directory.bare([name], [len(data)])
        (found,) = self._decoder.probe([(data, 0, directory, 0)])
        # An image that cannot be decoded has no size, and so shares none.
        self._sizes.add(None if isinstance(found, PixCrawlerError) else found)

    @property
    def shared(self) -> tuple[int, int] | None:
        return next(iter(self._sizes)) if len(self._sizes) == 1 else None
