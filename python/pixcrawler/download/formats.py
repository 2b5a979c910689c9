"""From verified chunks to the three forms of a download; each adds chunk by chunk to files that can be cut back."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pixcrawler.dataset import Dataset
from pixcrawler.download.arrays import HEADER_BYTES, npy_header
from pixcrawler.download.files import AppendFile, named_errors, sync_folder
from pixcrawler.download.names import UniqueNames, image_name, safe_name
from pixcrawler.download.state import FILES_NAME, FileEntry
from pixcrawler.exceptions import PixCrawlerError
from pixcrawler.failures import LEDGER_NAME, Failure, json_line
from pixcrawler.sources.labels import METADATA_NAME
from pixcrawler.sources.local import ZipSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pixcrawler.download.fetch import FetchedChunk
    from pixcrawler.download.state import Staging, State
    from pixcrawler.options import Options

__all__ = ["WRITERS", "Format", "Writer"]

Format = Literal["numpy", "images", "zip"]

_BATCH = 64
_SYNCS = 8
# Trouble with the disk is none of a sample.
_NOT_OF_A_SAMPLE = frozenset({"file_io", "file_changed"})


class Writer(Protocol):
    """One form of a download.

    Args:
        staging: Where the files grow.
        state: Counts images and failures; ``done`` is the caller's.
        options: How images are decoded.
        names: Those of the chunks' files, in order.
        classes: Those that the catalogue names.
    """

    def __init__(
        self, staging: Staging, state: State, options: Options, names: list[str], classes: tuple[str, ...]
    ) -> None: ...

    def add(self, chunk: FetchedChunk, tick: Callable[[], None]) -> None:
        """Add the samples of a chunk, and let its file go; ``tick`` is called often.

        Raises:
            OSError: The disk does not take them.
        """

    def finish(self) -> tuple[str, dict[str, str]]:
        """After the last chunk: what the output is, and from the names in ``out/`` to those that its files get."""


def _on_error(failure: Failure) -> Literal["raise", "skip"]:
    return "raise" if failure.code in _NOT_OF_A_SAMPLE else "skip"


class _Chunks:
    """What all forms do with a chunk: open it, and write down what it does not deliver."""

    def __init__(self, staging: Staging, state: State, options: Options) -> None:
        self.state = state
        self.options = replace(options, on_error=_on_error)
        self.failures = staging.file(LEDGER_NAME)
        self.files = staging.file(FILES_NAME)

    def source(self, chunk: FetchedChunk) -> ZipSource:
        """The chunk's file, as a dataset of that one chunk."""
        return ZipSource(chunk.path, [chunk.path], self.options.limits, skips=True, records=[chunk.record])

    @contextlib.contextmanager
    def opened(self, chunk: FetchedChunk) -> Iterator[Dataset]:
        """The chunk as a dataset, whose pass is taken to its end inside."""
        with warnings.catch_warnings(), Dataset(self.source(chunk), self.options) as dataset:
            warnings.filterwarnings("ignore", message=r".* were left out")
            yield dataset
            self.note(dataset.failures)

    def note(self, failures: Any) -> None:
        """Write failures down, and count them."""
        self.failures.write(b"".join(failure.to_line() for failure in failures))
        self.state.failed += sum(failure.num_samples for failure in failures)

    def plan(self, *names: str) -> dict[str, str]:
        """The files of that name, and those that all forms have."""
        if self.failures.length:
            names += (LEDGER_NAME,)
            length, crc = self.failures.sync()
            self.files.write(FileEntry(LEDGER_NAME, length, ((length, crc),)).to_line())
        return {name: name for name in (*names, FILES_NAME)}


class ArrayWriter:
    """Decoded images one after the other in one array, whatever their sizes; what else is needed beside it.

    If all turn out to be of one size, the same bytes are ``images.npy``.
    """

    def __init__(
        self, staging: Staging, state: State, options: Options, names: list[str], classes: tuple[str, ...]
    ) -> None:
        del names
        self._chunks = _Chunks(staging, state, options)
        self._classes = classes
        self._out = staging.out
        self._pixels = staging.file("pixels.npy", reserve=HEADER_BYTES)
        self._shapes = staging.file("shapes.npy", reserve=HEADER_BYTES)
        self._labels = staging.file("labels.jsonl")

    def add(self, chunk: FetchedChunk, tick: Callable[[], None]) -> None:
        """Decode and append a chunk's images."""
        import numpy as np

        state = self._chunks.state
        shapes: list[tuple[int, ...]] = []
        labels: list[Any] = []
        before = state.images
        with self._chunks.opened(chunk) as dataset:
            if self._chunks.options.image_size is not None:
                for images, own in dataset.iter_batches(_BATCH):
                    self._pixels.write(images)
                    shapes += [images.shape[1:]] * len(images)
                    labels += own
                    state.images = before + len(labels)
                    tick()
            else:
                for image, label in dataset:
                    self._pixels.write(image)
                    shapes.append(image.shape)
                    labels.append(label)
                    state.images = before + len(labels)
                    tick()
        if shapes:
            self._shapes.write(np.array(shapes, np.int64))
        self._labels.write(b"".join(json.dumps(label).encode() + b"\n" for label in labels))
        chunk.remove()

    def finish(self) -> tuple[str, dict[str, str]]:
        """Write the headers, the labels and, for several sizes, the offsets."""
        import numpy as np

        shapes = np.fromfile(self._shapes.path, np.int64, offset=HEADER_BYTES).reshape(-1, 3)
        count = len(shapes)
        has_classes = self._write_labels(count)
        plan = self._chunks.plan("labels.npy", *(["classes.json"] if has_classes else []))
        if not count or (shapes == shapes[0]).all():
            size = self._chunks.options.image_size or (0, 0)
            shape = tuple(map(int, shapes[0])) if count else (*size, self._chunks.options.channels)
            self._complete(self._pixels, npy_header("|u1", (count, *shape)), "images.npy")
            return "images", {**plan, "pixels.npy": "images.npy"}
        self._complete(self._pixels, npy_header("|u1", (self._pixels.length,)), "pixels.npy")
        self._complete(self._shapes, npy_header("<i8", shapes.shape), "shapes.npy")
        offsets = np.concatenate([[0], np.cumsum(shapes.prod(axis=1))]).astype("<i8")
        self._write_array("offsets.npy", offsets)
        return "pixels", {**plan, **{name: name for name in ("pixels.npy", "shapes.npy", "offsets.npy")}}

    def _complete(self, file: AppendFile, header: bytes, name: str) -> None:
        file.write_header(header)
        length, crc = file.sync()
        parts = ((len(header), zlib.crc32(header)), (length, crc))
        self._chunks.files.write(FileEntry(name, len(header) + length, parts).to_line())

    def _write_array(self, name: str, array: Any) -> None:
        with AppendFile(self._out / name, reserve=HEADER_BYTES) as file:
            if array.size:
                file.write(array)
            self._complete(file, npy_header(array.dtype.str, array.shape), name)

    def _write_labels(self, count: int) -> bool:
        """Write the labels as numbers; returns whether the classes that they stand for were written beside them."""
        import numpy as np

        with self._labels.path.open("rb") as lines:
            labels = [json.loads(line) for line in lines]
        assert len(labels) == count, "each image has its label"
        kinds = {type(label) for label in labels}
        is_int = kinds == {int} and all(-(2**63) <= label < 2**63 for label in labels)
        if is_int or (float in kinds and kinds <= {int, float}):
            self._write_array("labels.npy", np.array(labels, "<i8" if is_int else "<f8"))
            return False
        if kinds <= {str}:
            # As Dataset.class_to_idx numbers them, whatever of them failed.
            classes: list[Any] = sorted({*self._classes, *labels})
        else:
            # Values that differ in a type alone, as 1 and true, are two.
            classes = [json.loads(text) for text in sorted({json.dumps(label, sort_keys=True) for label in labels})]
        number = {json.dumps(value, sort_keys=True): at for at, value in enumerate(classes)}
        indices = [number[json.dumps(label, sort_keys=True)] for label in labels]
        self._write_array("labels.npy", np.array(indices, "<i8"))
        text = (json.dumps(classes) + "\n").encode()
        with AppendFile(self._out / "classes.json") as file:
            file.write(text)
            length, crc = file.sync()
        self._chunks.files.write(FileEntry("classes.json", length, ((length, crc),)).to_line())
        return True


class ImageWriter:
    """The files as they are, in folders by label, with a ``metadata.jsonl``: an image folder."""

    def __init__(
        self, staging: Staging, state: State, options: Options, names: list[str], classes: tuple[str, ...]
    ) -> None:
        del names, classes
        self._chunks = _Chunks(staging, state, options)
        self._out = staging.out
        self._metadata = staging.file(METADATA_NAME)
        # By label: its folder, and the names in it.
        self._folders: dict[str, tuple[str, UniqueNames]] = {}
        self._folder_names = UniqueNames([METADATA_NAME, LEDGER_NAME])
        self._read_back()

    def _read_back(self) -> None:
        """The names that an earlier run gave."""
        with self._metadata.path.open("rb") as lines:
            for line in lines:
                fields = json.loads(line)
                folder, _, name = fields["file_name"].partition("/")
                key = json.dumps(fields["label"], sort_keys=True)
                if key not in self._folders:
                    self._folder_names.take(folder)
                    self._folders[key] = (folder, UniqueNames())
                self._folders[key][1].take(name)

    def _folder_of(self, label: Any) -> tuple[str, UniqueNames]:
        """A folder for each label: labels that differ never share one."""
        key = json.dumps(label, sort_keys=True)
        if key not in self._folders:
            text = label if isinstance(label, str) else "unlabelled" if label is None else key
            folder = self._folder_names.give(safe_name(text))
            (self._out / folder).mkdir(exist_ok=True)
            self._folders[key] = (folder, UniqueNames())
        return self._folders[key]

    def add(self, chunk: FetchedChunk, tick: Callable[[], None]) -> None:
        """Write a chunk's images, each to a file."""
        written: list[Path] = []
        lines, entries = bytearray(), bytearray()
        with self._chunks.opened(chunk) as dataset:
            for sample in dataset.iter_encoded():
                folder, names = self._folder_of(sample.label)
                name = f"{folder}/{names.give(image_name(sample.member, sample.data))}"
                path = self._out / name
                with named_errors(path):
                    path.write_bytes(sample.data)
                written.append(path)
                lines += json_line({"file_name": name, "label": sample.label, **sample.metadata})
                size = len(sample.data)
                entries += FileEntry(name, size, ((size, zlib.crc32(sample.data)),)).to_line()
                self._chunks.state.images += 1
                tick()
        # What the state counts is on the disk. 500 files take 0.2 s eight at once, one by one 2 s (measured, ext4).
        with ThreadPoolExecutor(_SYNCS) as pool:
            for _ in pool.map(_sync, written):
                tick()
        for parent in {path.parent for path in written}:
            sync_folder(parent)
        self._metadata.write(lines)
        self._chunks.files.write(entries)
        chunk.remove()

    def finish(self) -> tuple[str, dict[str, str]]:
        """List the metadata among the files."""
        length, crc = self._metadata.sync()
        self._chunks.files.write(FileEntry(METADATA_NAME, length, ((length, crc),)).to_line())
        folders = (folder for folder, _ in self._folders.values())
        return "images", self._chunks.plan(METADATA_NAME, *folders)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


class ZipWriter:
    """The chunks as they are."""

    def __init__(
        self, staging: Staging, state: State, options: Options, names: list[str], classes: tuple[str, ...]
    ) -> None:
        del classes
        self._chunks = _Chunks(staging, state, options)
        self._names = names
        self._folder = staging.out.parent.parent

    def add(self, chunk: FetchedChunk, tick: Callable[[], None]) -> None:
        """Count a chunk's images, and give its file its name."""
        tick()
        state, index = self._chunks.state, chunk.record.index
        # One that was damaged since has been counted.
        if index >= state.done:
            source = self._chunks.source(chunk)
            try:
                state.images += len(source.open(source.chunks[0]).directory.samples)
            except PixCrawlerError as error:
                self._chunks.note([Failure.of(error, num_samples=chunk.record.num_images or 1)])
            source.close()
        entry = FileEntry(self._names[index], chunk.size_bytes, sha256=chunk.sha256)
        self._chunks.files.write(entry.to_line())
        chunk.path.replace(self._folder / self._names[index])

    def finish(self) -> tuple[str, dict[str, str]]:
        """Nothing more than the list of files."""
        return "zip", self._chunks.plan()


WRITERS: dict[Format, type[Writer]] = {"numpy": ArrayWriter, "images": ImageWriter, "zip": ZipWriter}
