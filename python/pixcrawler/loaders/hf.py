"""A dataset as Hugging Face's ``datasets`` has it, of the files as they are stored."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixcrawler.loaders.class_index import ClassIndex
from pixcrawler.loaders.missing import needs
from pixcrawler.loaders.progress import ProgressBar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import datasets
    from typing_extensions import Self

    from pixcrawler.dataset import Dataset
    from pixcrawler.records import EncodedSample

__all__ = ["to_hf"]

# Rows and bytes of one record batch: as many rows as datasets itself writes of images, and no more bytes than are held
# without being noticed.
_BATCH_ROWS = 100
_BATCH_BYTES = 4 << 20


def to_hf(dataset: Dataset, *, streaming: bool) -> datasets.Dataset | datasets.IterableDataset:
    """The dataset of :meth:`pixcrawler.dataset.Dataset.to_hf`.

    Args:
        dataset: Which.
        streaming: Whether chunks are read as they are iterated over; else all are written to the disk first.

    Returns:
        A row a sample.

    Raises:
        ImportError: datasets is not installed.
        TypeError, ValueError: A label is neither one of the classes nor, where there are none, an int.
        PixCrawlerError: A sample cannot be delivered.
        OSError: The rows cannot be written.
    """
    with needs("hf", "to_hf()"):
        import datasets
    rows = _Rows(dataset)
    label = datasets.ClassLabel(names=list(dataset.classes)) if dataset.classes else datasets.Value("int64")
    features = datasets.Features({"image": datasets.Image(), "label": label, "metadata": datasets.Value("string")})
    if streaming:
        # A list, which is what datasets splits among the workers of a DataLoader.
        chunks = list(range(dataset.num_chunks))
        return datasets.IterableDataset.from_generator(rows, features=features, gen_kwargs={"chunks": chunks})
    folder = _own_folder(Path(datasets.config.HF_DATASETS_CACHE))
    path = folder / "data.arrow"
    try:
        with ProgressBar("to_hf", len(dataset)) as bar:
            _write(path, features.arrow_schema, rows.sized(), bar)
    except BaseException:
        _remove(folder, os.getpid())
        raise
    return datasets.Dataset.from_file(str(path), split=datasets.Split.TRAIN)


class _Rows:
    """A dataset's samples as rows. Can be pickled as the dataset can."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._has_classes = bool(dataset.classes)
        self._index = ClassIndex(dataset)

    def __call__(self, chunks: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Those of some chunks."""
        with self._dataset.iter_encoded(chunks=chunks) as samples:
            for sample in samples:
                yield self._row(sample)

    def sized(self) -> Iterator[tuple[dict[str, Any], int]]:
        """All of them, in one pass, each with the size of its file."""
        with self._dataset.iter_encoded() as samples:
            for sample in samples:
                yield self._row(sample), len(sample.data)

    def _row(self, sample: EncodedSample) -> dict[str, Any]:
        if self._has_classes and not isinstance(sample.label, str):
            message = f"{sample.member} has the label {sample.label!r} where others have strings, and a ClassLabel"
            raise TypeError(f"{message} takes nothing else: load_dataset(label_fn=...) can map it")
        # As fsspec and datasets name a file in a zip. A bare name would be dangerous: where a file of that name happens
        # to lie in the working directory, datasets takes that one instead of the bytes.
        path = f"zip://{sample.member}::{sample.chunk_id}".encode("utf-8", "backslashreplace").decode()
        return {
            "image": {"bytes": sample.data, "path": path},
            "label": self._index(sample.label),
            "metadata": json.dumps(sample.metadata),
        }

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        """Itself: a copy of the dataset would be one without its key."""
        return self


def _write(path: Path, schema: Any, rows: Iterable[tuple[dict[str, Any], int]], bar: ProgressBar) -> None:
    """Write rows as an Arrow stream, holding a few megabytes of them at a time."""
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        done, held_bytes = 0, 0
        held: list[dict[str, Any]] = []
        for row, size_bytes in rows:
            held.append(row)
            held_bytes += size_bytes
            if len(held) == _BATCH_ROWS or held_bytes >= _BATCH_BYTES:
                writer.write_batch(pa.RecordBatch.from_pylist(held, schema=schema))
                done += len(held)
                bar.update(done)
                held.clear()
                held_bytes = 0
        if held:
            writer.write_batch(pa.RecordBatch.from_pylist(held, schema=schema))


def _own_folder(cache: Path) -> Path:
    """A new folder below datasets' cache, removed when this process ends.

    Never one that is used again: nothing tells that a job, a file or a ``label_fn`` is the same as in an earlier run.
    """
    cache.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="pixcrawler-", dir=cache))
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: Path, pid: int) -> None:
    # Not at the end of a forked child.
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)
