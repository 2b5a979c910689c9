"""Cost per image from one chunk to forty, on photographs and on thumbnails, where overhead shows."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

import numpy as np
from data import Photos, batch_of, make_chunk, make_thumbnails
from pairing import Spread, ratios
from report import Bar, Report
from workers import BenchError, cpu_seconds

from pixcrawler import load_dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from data import Setting

_BATCH_SIZE = 64
_CHUNK_IMAGES = 500


def run(setting: Setting) -> Report:
    chunks = 4 if setting.fast else 40
    photos = setting.photos
    if photos.num_images != _CHUNK_IMAGES and not setting.fast:
        photos = make_chunk(photos, setting.work / "chunk-55MB.zip", 55_000_000)
    report = Report(
        "scaling",
        f"Cost per image: one pass over {chunks} chunks against {chunks} passes over one",
        ("what", "images", "ms/image", "CPU ms/image", "of one chunk", "CPU, of one chunk"),
        setting.rounds_or(3),
        setting.description,
        setting.fast,
        plot_axis="milliseconds per image (median, smallest to largest)",
    )
    thumbnails = make_thumbnails(photos, setting.work / "thumbnails.zip", 96, 24 if setting.fast else _CHUNK_IMAGES)
    for what, chunk, size in (("photographs at 224", photos, 224), ("thumbnails of 96", thumbnails, 96)):
        _run_one(report, setting, what, chunk, size, chunks)
    report.notes += [
        (
            f"A round: {chunks // 2} passes over one chunk, one pass over {chunks} chunks (hard links to it), "
            f"{chunks // 2} passes over one chunk; each pass opens the dataset. So a drift of the machine falls on "
            "both alike."
        ),
        (
            "Checked after timing: the first and the last batch of the long pass equal Pillow's pixels, and every "
            "image came."
        ),
    ]
    return report


def _run_one(report: Report, setting: Setting, what: str, chunk: Photos, size: int, chunks: int) -> None:
    folder = setting.work / f"scaling-{size}"
    folder.mkdir()
    for number in range(chunks):
        _link(chunk.path, folder / f"chunk-{number:03d}.zip")
    kept: list[np.ndarray] = []

    def short_passes() -> None:
        for _ in range(chunks // 2):
            _pass(chunk.path, size, chunk.num_images)

    def long_pass() -> None:
        kept.extend(_pass(folder, size, chunk.num_images * chunks))

    short_passes()
    shorts: list[tuple[float, float]] = []
    longs: list[tuple[float, float]] = []
    for _ in range(report.rounds):
        first, middle, last = _timed(short_passes), _timed(long_pass), _timed(short_passes)
        shorts.append((first[0] + last[0], first[1] + last[1]))
        longs.append(middle)
    _check(kept, chunk, size, chunks)

    images = chunk.num_images * chunks
    wall, cpu = (ratios([one[at] for one in longs], [one[at] for one in shorts]) for at in (0, 1))
    for name, found, shares in (
        (f"{chunks} x {chunk.num_images}", shorts, ("1", "1")),
        (f"{images}", longs, (wall.text(".3f"), cpu.text(".3f"))),
    ):
        per_image, per_image_cpu = (Spread.of([one[at] / images * 1000 for one in found]) for at in (0, 1))
        report.add(what, name, per_image.text(".3f"), per_image_cpu.text(".3f"), *shares)
        report.plot.append((f"{what}, {name}", per_image))
        report.samples[f"{what}, {name}"] = [{"seconds": one[0], "cpu_s": one[1]} for one in found]
    what_ratio = f"{what}: {images} images of {chunks} x {chunk.num_images}"
    report.bars.append(Bar(what_ratio, wall.median, 1.03, at_most=True))


def _pass(path: Path, size: int, num_images: int) -> tuple[np.ndarray, np.ndarray]:
    """One pass over a zip or a folder of zips; its first and its last batch."""
    count = 0
    with load_dataset(path) as dataset:
        for images, _ in dataset.iter_batches(_BATCH_SIZE, image_size=size):
            if not count:
                first = images
            count += len(images)
    if count != num_images:
        raise BenchError(f"{count} images of {num_images}")
    return first, images


def _timed(run_once: Callable[[], None]) -> tuple[float, float]:
    """Seconds of wall time and of this process's processor time."""
    began, cpu_began = time.perf_counter(), cpu_seconds()
    run_once()
    return time.perf_counter() - began, cpu_seconds() - cpu_began


def _check(kept: list[np.ndarray], chunk: Photos, size: int, chunks: int) -> None:
    total = chunk.num_images * chunks
    start = (total - 1) // _BATCH_SIZE * _BATCH_SIZE
    reference = batch_of(chunk, 0, chunk.num_images, size)
    first = reference[np.arange(min(_BATCH_SIZE, total)) % chunk.num_images]
    last = reference[np.arange(start, total) % chunk.num_images]
    for batch, expected in zip(kept, [first, last] * (len(kept) // 2), strict=True):
        if not np.array_equal(batch, expected):
            raise BenchError("a batch of the long pass differs from Pillow's pixels")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
