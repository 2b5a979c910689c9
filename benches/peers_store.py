"""Writes a zip's photographs in the form that a library reads best, their JPEG bytes unchanged. Run by a benchmark.

Each form is in shards or chunks of equal numbers of images, a multiple of the number of processors: every worker gets
as much to do as the others.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data import read_members

from pixcrawler._machine import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMS = ("files", "class folders", "tar shards", "LitData chunks", "MDS shards")
FILES, CLASS_FOLDERS, TAR_SHARDS, LITDATA_CHUNKS, MDS_SHARDS = FORMS
_CLASSES = 10
_SHARDS_PER_PROCESSOR = 4


def files(folder: Path) -> list[Path]:
    """The JPEG files of a folder that ``FILES`` wrote, in order."""
    return sorted(folder.glob("*.jpg"))


def _write_files(payloads: list[bytes], folder: Path) -> None:
    for number, payload in enumerate(payloads):
        (folder / f"{number:06d}.jpg").write_bytes(payload)


def _write_class_folders(payloads: list[bytes], folder: Path) -> None:
    for label in range(_CLASSES):
        (folder / f"label{label}").mkdir()
    for number, payload in enumerate(payloads):
        (folder / f"label{number % _CLASSES}" / f"{number:06d}.jpg").write_bytes(payload)


def _write_tar_shards(payloads: list[bytes], folder: Path) -> None:
    webdataset: Any = importlib.import_module("webdataset")
    for shard, numbers in enumerate(_shards(len(payloads))):
        with webdataset.TarWriter(str(folder / f"{shard:04d}.tar")) as writer:
            for number in numbers:
                writer.write({"__key__": f"{number:06d}", "jpg": payloads[number], "cls": number})


def _write_litdata_chunks(payloads: list[bytes], folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        # ``optimize`` clears its work folders.
        os.environ["DATA_OPTIMIZER_CACHE_FOLDER"] = f"{work}/chunks"
        os.environ["DATA_OPTIMIZER_DATA_CACHE_FOLDER"] = f"{work}/data"
        litdata: Any = importlib.import_module("litdata")
        photos = Path(work) / "photos"
        photos.mkdir()
        _write_files(payloads, photos)
        litdata.optimize(
            fn=_litdata_sample,
            inputs=[str(path) for path in files(photos)],
            output_dir=str(folder),
            chunk_size=len(next(_shards(len(payloads)))),
            num_workers=1,
            keep_data_ordered=True,
            reorder_files=False,
        )


def _litdata_sample(path: str) -> dict[str, Any]:
    litdata: Any = importlib.import_module("litdata")
    return {"image": litdata.Image(path=path), "number": int(Path(path).stem)}


def _write_mds_shards(payloads: list[bytes], folder: Path) -> None:
    image_module: Any = importlib.import_module("PIL.Image")
    streaming: Any = importlib.import_module("streaming")
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        _write_files(payloads, Path(work))
        # A sample has a few bytes of its own, the header of a shard some hundred.
        limit = sum(map(len, payloads)) // _num_shards() + 64 * len(payloads)
        with streaming.MDSWriter(
            out=str(folder), columns={"image": "jpeg", "number": "int"}, size_limit=limit, progress_bar=False
        ) as writer:
            # The writer copies the file that an image was opened from.
            for number, path in enumerate(files(Path(work))):
                with image_module.open(path) as image:
                    writer.write({"image": image, "number": number})


def _num_shards() -> int:
    return _SHARDS_PER_PROCESSOR * usable_cpus()


def _shards(count: int) -> Iterator[range]:
    size = -(-count // _num_shards())
    return (range(start, min(start + size, count)) for start in range(0, count, size))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("form", choices=FORMS)
    parser.add_argument("photos", type=Path, help="a zip")
    parser.add_argument("folder", type=Path, help="empty")
    arguments = parser.parse_args()
    write = {
        FILES: _write_files,
        CLASS_FOLDERS: _write_class_folders,
        TAR_SHARDS: _write_tar_shards,
        LITDATA_CHUNKS: _write_litdata_chunks,
        MDS_SHARDS: _write_mds_shards,
    }[arguments.form]
    payloads = read_members(arguments.photos)
    write(payloads, arguments.folder)
    # The sum of all files: no form may hold the JPEGs recompressed to less.
    size = sum(path.stat().st_size for path in arguments.folder.rglob("*") if path.is_file())
    if size < sum(map(len, payloads)):
        print(f"{arguments.form}: {size} bytes were written of {sum(map(len, payloads))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
