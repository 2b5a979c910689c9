"""Contestants with pipelines and threads of their own: NVIDIA DALI on the processor, and SPDL. Both read files."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
import peers_store
from peers import BATCH_SIZE
from workers import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from peers_zip import Images


def dali(folder: Path, threads: int, side: int | None) -> Images:
    """``fn.decoders.image`` and antialiased ``fn.resize``, both on the processor; arrays are views of DALI's buffers.

    The files come from an external source: it ends with the epoch, while ``fn.readers.file`` would read and decode
    ahead into the next one, outside the time that is taken.
    """
    fn: Any = importlib.import_module("nvidia.dali.fn")
    library: Any = importlib.import_module("nvidia.dali")
    batches = _batches(folder)

    def payloads() -> Iterator[list[Any]]:
        for batch in batches:
            yield [np.fromfile(path, np.uint8) for path in batch]

    pipe = library.Pipeline(batch_size=BATCH_SIZE, num_threads=threads, device_id=None)
    with pipe:
        images = fn.decoders.image(fn.external_source(payloads, cycle="raise"), device="cpu")
        pipe.set_outputs(fn.resize(images, resize_x=side, resize_y=side) if side else images)
    pipe.build()

    def read() -> Iterator[tuple[Any, Any]]:
        number = 0
        for _ in batches:
            (images,) = pipe.run()
            numbers = range(number, number + len(images))
            number += len(images)
            if side:
                yield np.asarray(images.as_tensor()), numbers
            else:
                yield from ((np.asarray(images[at]), number) for at, number in enumerate(numbers))
        try:
            pipe.run()
        except StopIteration:
            pipe.reset()

    return read


def spdl(folder: Path, threads: int, side: int | None) -> Images:
    """``load_image``, or ``load_image_batch`` with FFmpeg's bicubic scaling (SPDL's default, antialiased)."""
    spdl_io: Any = importlib.import_module("spdl.io")
    pipeline: Any = importlib.import_module("spdl.pipeline")
    try:
        importlib.import_module("spdl.io.utils").get_ffmpeg_versions()
    except RuntimeError as exc:
        raise BenchError("SPDL finds no shared libraries of FFmpeg") from exc
    scale = spdl_io.get_video_filter_desc(scale_width=side, scale_height=side, scale_mode=None)

    def load(path: str) -> Any:
        return spdl_io.to_numpy(spdl_io.load_image(path))

    def load_batch(paths: list[str]) -> Any:
        return spdl_io.to_numpy(spdl_io.load_image_batch(paths, width=side, height=side, filter_desc=scale))

    batches = _batches(folder)
    source: list[Any] = batches if side else [path for batch in batches for path in batch]

    def read() -> Iterator[tuple[Any, Any]]:
        number = 0
        built = (
            pipeline.PipelineBuilder()
            .add_source(source)
            .pipe(load_batch if side else load, concurrency=threads, output_order="input")
            .add_sink()
            .build(num_threads=threads)
        )
        with built.auto_stop():
            for images in built:
                count = len(images) if side else 1
                yield images, range(number, number + count) if side else number
                number += count

    return read


def _batches(folder: Path) -> list[list[str]]:
    paths = [str(path) for path in peers_store.files(folder)]
    return [paths[start : start + BATCH_SIZE] for start in range(0, len(paths), BATCH_SIZE)]
