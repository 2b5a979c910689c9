"""Contestants that give TensorFlow batches of 64 of one size with a label each. Started by a benchmark.

Pipelines are built before anything is timed, as a program builds them once for many epochs.
"""

from __future__ import annotations

import argparse
import importlib
import os
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from peers import BATCH_SIZE
from workers import serve_contestant, tell_missing

from pixcrawler import load_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from numpy.typing import NDArray

    # Begins an epoch of batches; and tells all images in their order.
    Reader: TypeAlias = tuple[Callable[[], Iterator[tuple[Any, Any]]], Callable[[], Iterator[NDArray[np.uint8]]]]


def tensorflow(threads: int) -> Any:
    """The module, with so many threads for images and none inside an operation."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tf: Any = importlib.import_module("tensorflow")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return tf


def ours(path: Path, threads: int, side: int) -> Reader:
    """``to_tensorflow().batch(64)``."""
    tensorflow(threads)
    dataset = load_dataset(path, image_size=side, decode_threads=threads)
    batches = dataset.to_tensorflow().batch(BATCH_SIZE)
    return lambda: iter(batches), lambda: (images.numpy() for images, _ in batches)


def iter_batches(path: Path, threads: int, side: int) -> Reader:
    """The package's own batches, without TensorFlow."""
    dataset = load_dataset(path, image_size=side, decode_threads=threads)
    return lambda: dataset.iter_batches(BATCH_SIZE), lambda: (images for images, _ in dataset.iter_batches(BATCH_SIZE))


def by_hand(folder: Path, threads: int, side: int, *, antialias: bool) -> Reader:
    """tf.data as its guide for images in class folders has it: files listed, decoded, resized, AUTOTUNE throughout."""
    tf = tensorflow(threads)
    classes = tf.constant(sorted(one.name for one in folder.iterdir()))

    def load(path: Any) -> tuple[Any, Any]:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        image = tf.image.resize(image, (side, side), antialias=antialias)
        label = tf.argmax(tf.strings.split(path, os.sep)[-2] == classes)
        return tf.cast(tf.round(image), tf.uint8), label

    files = tf.data.Dataset.list_files(str(folder / "*" / "*.jpg"), shuffle=False)
    options = tf.data.Options()
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    batches = files.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH_SIZE).prefetch(tf.data.AUTOTUNE)
    batches = batches.with_options(options)

    def in_order() -> Iterator[NDArray[np.uint8]]:
        numbers = [int(Path(file.decode()).stem) for file in files.as_numpy_iterator()]
        images = np.concatenate([one.numpy() for one, _ in batches])
        yield images[np.argsort(numbers)]

    return lambda: iter(batches), in_order


_KINDS: dict[str, Callable[[Path, int, int], Reader]] = {
    "to_tensorflow": ours,
    "iter_batches": iter_batches,
    "by_hand": partial(by_hand, antialias=False),
    "by_hand_antialiased": partial(by_hand, antialias=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(_KINDS))
    parser.add_argument("path", type=Path, help="the zip, or the folder that peers_store.py wrote")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    arguments = parser.parse_args()
    try:
        begin, pixels = _KINDS[arguments.kind](arguments.path, arguments.threads, arguments.size)
    except ModuleNotFoundError as exc:
        tell_missing(str(exc.name))
        return

    def epoch() -> dict[str, Any]:
        held = [begin()]
        count = sum(len(labels) for _, labels in held[0])
        # Dropping an iterator often waits for TensorFlow's autotuning thread, which may sleep for as long as the epoch
        # took, whatever the pipeline: by chance, and so not timed.
        threading.Thread(target=held.clear).start()
        return {"images": count}

    serve_contestant(epoch, pixels)


if __name__ == "__main__":
    main()
