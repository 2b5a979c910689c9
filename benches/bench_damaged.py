"""What damaged members cost the good ones: a clean dataset against one of which 7 % are damaged in twelve ways."""

from __future__ import annotations

import time
import warnings
import zlib
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from damage import KINDS, SHARE, write_damaged
from data import batch_of, read_members
from pairing import Spread, ratios, take_turns
from report import Bar, Report
from workers import BenchError, cpu_seconds

from pixcrawler import load_dataset

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from damage import Damaged
    from data import Setting
    from numpy.typing import NDArray

_BATCH_SIZE = 64
_SIZE = 224


def run(setting: Setting) -> Report:
    payloads = read_members(setting.photos.path)
    chunks = 2 if setting.fast else 3
    report = Report(
        "damaged",
        f"Good images delivered, of {chunks} chunks of {len(payloads)} members",
        ("chunks", "delivered", "left out", "images/s", "CPU ms/image", "of clean"),
        setting.rounds_or(7),
        setting.photos.description,
        setting.fast,
        plot_axis="good images delivered a second (median, smallest to largest)",
    )
    outcomes: dict[str, Damaged] = {}
    folders: dict[str, Path] = {}
    for name, share in (("clean", 0.0), ("damaged", SHARE)):
        folders[name] = setting.work / f"damaged-{name}"
        folders[name].mkdir()
        outcomes[name] = write_damaged(
            folders[name],
            lambda number: payloads[number % len(payloads)],
            chunks=chunks,
            members=len(payloads),
            share=share,
        )
    found = take_turns({name: partial(_timed, folder) for name, folder in folders.items()}, report.rounds)
    _check(setting, folders, outcomes)

    speeds = {name: [images / seconds for images, seconds, _ in epochs] for name, epochs in found.items()}
    of_clean = ratios(speeds["damaged"], speeds["clean"])
    for name, epochs in found.items():
        speed = Spread.of(speeds[name])
        cpu_ms = Spread.of([cpu_s / images * 1000 for images, _, cpu_s in epochs])
        left_out = str(len(outcomes[name].failures))
        share_text = "1" if name == "clean" else of_clean.text(".3f")
        report.add(name, str(epochs[0][0]), left_out, speed.text(".0f"), cpu_ms.text(".3f"), share_text)
        report.plot.append((name, speed))
        report.samples[name] = [
            {"images": images, "seconds": seconds, "cpu_s": cpu_s} for images, seconds, cpu_s in epochs
        ]
    report.bars.append(Bar("Good images a second, damaged of clean", of_clean.median, 0.9))
    report.notes += [
        f'iter_batches({_BATCH_SIZE}, image_size={_SIZE}), on_error="skip". Damage, by turns: {", ".join(KINDS)}.',
        (
            "Checked after timing: the first batch equals Pillow's pixels, each image delivered of the damaged chunks "
            "equals that of the clean ones, in order, and the ledger names each damaged member once with its code."
        ),
    ]
    return report


def _batches(folder: Path) -> Iterator[NDArray[np.uint8]]:
    with warnings.catch_warnings(), load_dataset(folder, on_error="skip") as dataset:
        warnings.filterwarnings("ignore", message=".*were left out.*")
        for images, _ in dataset.iter_batches(_BATCH_SIZE, image_size=_SIZE):
            yield images


def _timed(folder: Path) -> tuple[int, float, float]:
    """Images of one pass, its seconds of wall time and of this process's processor time."""
    began, cpu_began = time.perf_counter(), cpu_seconds()
    images = sum(len(batch) for batch in _batches(folder))
    return images, time.perf_counter() - began, cpu_seconds() - cpu_began


def _check(setting: Setting, folders: dict[str, Path], outcomes: dict[str, Damaged]) -> None:
    sums = {
        name: [zlib.crc32(image.tobytes()) for batch in _batches(folder) for image in batch]
        for name, folder in folders.items()
    }
    if sums["damaged"] != [sums["clean"][number] for number in outcomes["damaged"].good]:
        raise BenchError("the damaged chunks' good images are not those of the clean ones")
    first = min(_BATCH_SIZE, setting.photos.num_images)
    expected = batch_of(setting.photos, 0, first, _SIZE)
    if not np.array_equal(next(_batches(folders["clean"]))[:first], expected):
        raise BenchError("the first batch differs from Pillow's pixels")
    with warnings.catch_warnings(), load_dataset(folders["damaged"], on_error="skip") as dataset:
        warnings.simplefilter("ignore")
        for _ in dataset.iter_batches(_BATCH_SIZE, image_size=_SIZE):
            pass
        told = [(failure.chunk_id, failure.member, failure.code) for failure in dataset.failures]
    for place, (chunk, member, codes) in zip(told, outcomes["damaged"].failures, strict=True):
        if place[:2] != (chunk, member) or place[2] not in codes:
            raise BenchError(f"expected {member} of {chunk} with one of {sorted(codes)}, got {place}")
