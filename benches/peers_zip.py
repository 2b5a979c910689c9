"""What users write to decode every image of a zip to an array, without a loader: the full-size twins of ``peers``.

With several threads, these work on whole images, as in ``peers``.
"""

from __future__ import annotations

import importlib
import io
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from data import member_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    # An image with its number; or, of a loader, a batch with its numbers.
    Images: TypeAlias = Callable[[], Iterator[tuple[Any, Any]]]


def _over_zip(path: Path, threads: int, decode: Callable[[bytes], Any]) -> Images:
    names = member_names(path)

    def read() -> Iterator[tuple[Any, int]]:
        with zipfile.ZipFile(path) as archive:

            def load(numbered: tuple[int, str]) -> tuple[Any, int]:
                return decode(archive.read(numbered[1])), numbered[0]

            if threads == 1:
                yield from map(load, enumerate(names))
                return
            # The pool gets all images at once: it never waits for the consumer.
            with ThreadPoolExecutor(threads) as pool:
                yield from pool.map(load, enumerate(names))

    return read


def pillow(path: Path, threads: int) -> Images:
    """Pillow, and a copy into a numpy array."""
    image_module: Any = importlib.import_module("PIL.Image")
    ops: Any = importlib.import_module("PIL.ImageOps")

    def decode(payload: bytes) -> Any:
        return np.asarray(ops.exif_transpose(image_module.open(io.BytesIO(payload))).convert("RGB"))

    return _over_zip(path, threads, decode)


def opencv(path: Path, threads: int) -> Images:
    """``cv2.imdecode`` to RGB."""
    cv2: Any = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    return _over_zip(
        path, threads, lambda payload: cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR_RGB)
    )


def torchvision(path: Path, threads: int) -> Images:
    """``decode_jpeg`` to (C, H, W)."""
    torch: Any = importlib.import_module("torch")
    io_module: Any = importlib.import_module("torchvision.io")
    torch.set_num_threads(1)

    def decode(payload: bytes) -> Any:
        data = torch.frombuffer(bytearray(payload), dtype=torch.uint8)
        return io_module.decode_jpeg(data, mode=io_module.ImageReadMode.RGB, apply_exif_orientation=True)

    return _over_zip(path, threads, decode)


def tf_pipeline(path: Path, threads: int, extend: Callable[[Any, Any], Any]) -> Any:
    """A tf.data.Dataset that decodes with so many threads.

    Args:
        path: The zip, whose members a generator reads.
        threads: That decode.
        extend: Makes the pipeline: takes TensorFlow and the dataset of the members' bytes.
    """
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    tf: Any = importlib.import_module("tensorflow")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    names = member_names(path)

    def members() -> Iterator[bytes]:
        with zipfile.ZipFile(path) as archive:
            for name in names:
                yield archive.read(name)

    dataset = extend(tf, tf.data.Dataset.from_generator(members, output_signature=tf.TensorSpec((), tf.string)))
    options = tf.data.Options()
    # One thread more than decode: the generator keeps one.
    options.threading.private_threadpool_size = threads + 1
    options.threading.max_intra_op_parallelism = 1
    return dataset.prefetch(2).with_options(options)


def tfdata(path: Path, threads: int) -> Images:
    """tf.data: a generator of members, ``tf.io.decode_jpeg``, prefetch."""

    def extend(tf: Any, members: Any) -> Any:
        return members.map(lambda payload: tf.io.decode_jpeg(payload, channels=3), num_parallel_calls=threads)

    dataset = tf_pipeline(path, threads, extend)

    def read() -> Iterator[tuple[Any, int]]:
        for number, image in enumerate(dataset):
            yield image.numpy(), number

    return read
