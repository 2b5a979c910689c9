"""Contestants of the comparison with other libraries. Started by a benchmark."""

from __future__ import annotations

import argparse
import importlib
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from workers import serve_contestant, tell_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from peers_zip import Images

_LOADERS = {
    "dali": "peers_pipelines",
    "spdl": "peers_pipelines",
    "torchvision": "peers_torch",
    "webdataset": "peers_torch",
    "litdata": "peers_torch",
    "streaming": "peers_torch",
}
_ZIP_LOOPS = ("pillow", "opencv", "torchvision", "tfdata")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("zip", "loader"), help="a loop over a zip, or a loader over a form of its own")
    parser.add_argument("library", choices=sorted({*_ZIP_LOOPS, *_LOADERS}))
    parser.add_argument("path", type=Path, help="the zip, or the folder that peers_store.py wrote")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--size", type=int, help="batches of images of this size; without it images, as they are")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    try:
        psutil: Any = importlib.import_module("psutil")
        read = _reader(arguments)
    except ModuleNotFoundError as exc:
        tell_missing(str(exc.name))
        return

    def epoch() -> dict[str, Any]:
        began = children_cpu_s(psutil)
        count = sum(len(images) if arguments.size else 1 for images, _ in read())
        return {"images": count, "children_cpu_s": children_cpu_s(psutil) - began}

    serve_contestant(epoch, lambda: _in_order(read, is_batched=arguments.size is not None))


def _reader(arguments: argparse.Namespace) -> Images:
    if arguments.kind == "zip":
        module: Any = importlib.import_module("peers_zip")
        loop: Callable[[Path, int], Images] = getattr(module, arguments.library)
        return loop(arguments.path, arguments.threads)
    module = importlib.import_module(_LOADERS[arguments.library])
    loader: Callable[[Path, int, int | None], Images] = getattr(module, arguments.library)
    return loader(arguments.path, arguments.threads, arguments.size)


def _in_order(read: Images, *, is_batched: bool) -> Iterator[NDArray[np.uint8]]:
    """All images, channels last, by their numbers: workers deliver in an order of their own."""
    images: dict[int, NDArray[np.uint8]] = {}
    for image, number in read():
        several = zip(image, number, strict=True) if is_batched else [(image, number)]
        for one, at in several:
            array = np.asarray(one)
            last = array if array.shape[-1] == 3 else array.transpose(1, 2, 0)
            # A copy: a loader may use its buffer again.
            images[int(at)] = np.array(last, order="C")
    return (images[number] for number in sorted(images))


def children_cpu_s(psutil: Any) -> float:
    """Processor time of all worker processes so far, of those that ended and those that live."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    living: float = sum(one.user + one.system for one in times)
    return ended.ru_utime + ended.ru_stime + living


if __name__ == "__main__":
    main()
