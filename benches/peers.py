"""Contestants: what users write with other libraries to get batches of equal images from a zip. Started by a benchmark.

Each reads the zip's members, decodes them to RGB, resizes them to a square and stacks batches of 64, with ``--threads``
threads over images and none inside the library. What a library can prepare once for many epochs is not timed.
"""

from __future__ import annotations

import argparse
import importlib
import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from data import member_names
from peers_zip import tf_pipeline
from workers import serve_contestant, tell_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    Batches: TypeAlias = Callable[[], Iterator[NDArray[np.uint8]]]
    Decode: TypeAlias = Callable[[bytes], Any]
    Stack: TypeAlias = Callable[[list[Any]], NDArray[np.uint8]]

BATCH_SIZE = 64


def over_zip(path: Path, threads: int, decode: Decode, stack: Stack) -> Batches:
    """Batches of what ``decode`` makes of each member, in a plain loop or by a pool of threads."""
    names = member_names(path)

    def stacked(images: Iterable[Any]) -> Iterator[NDArray[np.uint8]]:
        rest = iter(images)
        while batch := list(islice(rest, BATCH_SIZE)):
            yield stack(batch)

    def read() -> Iterator[NDArray[np.uint8]]:
        with zipfile.ZipFile(path) as archive:

            def load(name: str) -> Any:
                return decode(archive.read(name))

            if threads == 1:
                yield from stacked(map(load, names))
                return
            # The pool gets all images at once: it never waits until a batch is taken.
            with ThreadPoolExecutor(threads) as pool:
                yield from stacked(pool.map(load, names))

    return read


def pillow(path: Path, threads: int, side: int) -> Batches:
    """Pillow's ``resize`` with antialiased BILINEAR: the pixels that pixcrawler gives."""
    image_module: Any = importlib.import_module("PIL.Image")
    ops: Any = importlib.import_module("PIL.ImageOps")

    def decode(payload: bytes) -> NDArray[np.uint8]:
        image = ops.exif_transpose(image_module.open(io.BytesIO(payload))).convert("RGB")
        return np.asarray(image.resize((side, side), image_module.Resampling.BILINEAR))

    return over_zip(path, threads, decode, np.stack)


def opencv(path: Path, threads: int, side: int, *, interpolation: str) -> Batches:
    """``cv2.imdecode`` to RGB and ``cv2.resize``."""
    cv2: Any = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    how = getattr(cv2, interpolation)

    def decode(payload: bytes) -> NDArray[np.uint8]:
        image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR_RGB)
        resized: NDArray[np.uint8] = cv2.resize(image, (side, side), interpolation=how)
        return resized

    return over_zip(path, threads, decode, np.stack)


def torchvision(path: Path, threads: int, side: int) -> Batches:
    """``decode_jpeg`` and antialiased ``v2.functional.resize``; batches are (B, C, H, W), as its users want them."""
    torch: Any = importlib.import_module("torch")
    io_module: Any = importlib.import_module("torchvision.io")
    functional: Any = importlib.import_module("torchvision.transforms.v2.functional")
    torch.set_num_threads(1)

    def decode(payload: bytes) -> Any:
        data = torch.frombuffer(bytearray(payload), dtype=torch.uint8)
        image = io_module.decode_jpeg(data, mode=io_module.ImageReadMode.RGB, apply_exif_orientation=True)
        return functional.resize(image, [side, side], antialias=True)

    return over_zip(path, threads, decode, lambda images: torch.stack(images).numpy())


def tfdata(path: Path, threads: int, side: int) -> Batches:
    """tf.data: a generator of members, ``tf.io.decode_jpeg`` and ``tf.image.resize`` (not antialiased), prefetch."""

    def extend(tf: Any, members: Any) -> Any:
        def decode(payload: Any) -> Any:
            image = tf.image.resize(tf.io.decode_jpeg(payload, channels=3), (side, side))
            return tf.cast(tf.round(image), tf.uint8)

        return members.map(decode, num_parallel_calls=threads).batch(BATCH_SIZE)

    dataset = tf_pipeline(path, threads, extend)

    def read() -> Iterator[NDArray[np.uint8]]:
        for batch in dataset:
            yield batch.numpy()

    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=["pillow", "opencv", "torchvision", "tfdata"])
    parser.add_argument("path", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--interpolation", default="INTER_AREA", help="OpenCV's")
    arguments = parser.parse_args()
    where = (arguments.path, arguments.threads, arguments.size)
    try:
        if arguments.library == "opencv":
            read = opencv(*where, interpolation=arguments.interpolation)
        else:
            read = {"pillow": pillow, "torchvision": torchvision, "tfdata": tfdata}[arguments.library](*where)
    except ModuleNotFoundError as exc:
        tell_missing(str(exc.name))
        return

    def epoch() -> dict[str, Any]:
        return {"images": sum(len(batch) for batch in read())}

    def pixels() -> Iterator[NDArray[np.uint8]]:
        for batch in read():
            # torchvision's channels come first.
            last = batch.transpose(0, 2, 3, 1) if arguments.library == "torchvision" else batch
            yield np.ascontiguousarray(last)

    serve_contestant(epoch, pixels)


if __name__ == "__main__":
    main()
