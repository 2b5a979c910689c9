"""A fresh process that loads a whole zip into one array, and tells its peak memory. Started by a benchmark."""

from __future__ import annotations

import argparse
import json
import sys
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from data import pillow_pixels, read_members
from memory_probe import status_bytes

from pixcrawler import _native, load_dataset

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def ours(path: Path, size: int, memory_limit: str) -> NDArray[np.uint8]:
    with load_dataset(path, image_size=size, memory_limit=memory_limit) as dataset:
        return dataset.to_arrays()[0]


def by_batches(path: Path, size: int, memory_limit: str) -> NDArray[np.uint8]:
    with load_dataset(path, image_size=size, memory_limit=memory_limit) as dataset:
        return np.concatenate([images for images, _ in dataset.iter_batches(64)])


def by_hand(path: Path, size: int, _memory_limit: str) -> NDArray[np.uint8]:
    return np.stack([pillow_pixels(payload, size) for payload in read_members(path)])


WAYS: dict[str, Callable[[Path, int, str], NDArray[np.uint8]]] = {
    "to_arrays": ours,
    "batches": by_batches,
    "pillow": by_hand,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("path", type=Path)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--memory-limit", default="256MB")
    arguments = parser.parse_args()
    # What users have in memory anyway: the interpreter and its modules. Naming one that loads on first use loads it.
    _ = (_native.Decoder, __import__("PIL.Image"))
    before = max(status_bytes("VmHWM"), status_bytes("VmRSS"))
    began = time.perf_counter()
    array = WAYS[arguments.way](arguments.path, arguments.size, arguments.memory_limit)
    seconds = time.perf_counter() - began
    found = {
        "before": before,
        "peak": status_bytes("VmHWM"),
        "bytes": array.nbytes,
        "seconds": seconds,
        "crc": zlib.crc32(array.data),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
