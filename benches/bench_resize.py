"""The resize alone, decoded pictures in memory, against Pillow's; run as a script, it is Pillow's contestant."""

from __future__ import annotations

import struct
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cargo_example
import numpy as np
from data import check_file, pillow_pixels, read_members
from pairing import Spread, ratios, take_turns
from report import Bar, Report
from workers import BenchError, Worker, serve_contestant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from data import Photos, Setting
    from numpy.typing import NDArray

_SIDE = 224
# The picture that a decoder has just written is in the cache; one that was decoded long before is not.
_REPEATS = 4
_OURS, _PUSHED, _PILLOW = "pixcrawler", "pixcrawler, 16 rows at a time", "Pillow"


def run(setting: Setting) -> Report:
    report = Report(
        "resize",
        f"Resize alone, BILINEAR to {_SIDE} x {_SIDE}, one thread, against Pillow's `Image.resize`",
        ("contestant", "photographs", "CPU us/image", "times Pillow"),
        setting.rounds_or(21),
        setting.description,
        setting.fast,
        plot_axis="processor's microseconds per image (median, smallest to largest)",
    )
    program = cargo_example.build("pixcrawler-resize", "time_resize")
    for photos in setting.all_photos:
        _run_one(report, setting, photos, program)
    report.notes += [
        (
            f"The pictures are decoded before and lie in memory. Each is resized {_REPEATS} times in a row: the first "
            "time it comes from memory, then from the cache, as after a decode. Pillow makes a new image each time, "
            "ours writes to one buffer."
        ),
        "CPU: each has one thread that waits for nothing; its processor time suffers less from other programs.",
        "16 rows at a time: the rows are pushed as a decoder hands them over.",
        "Checked after timing: every pixel equals Pillow's.",
    ]
    return report


def _run_one(report: Report, setting: Setting, photos: Photos, program: Path) -> None:
    pictures = setting.work / "pictures"
    _write_pictures(pictures, photos)
    with ExitStack() as stack:
        workers = [
            stack.enter_context(worker)
            for worker in (
                Worker(_OURS, [program, pictures, str(_SIDE), str(_REPEATS)]),
                Worker(_PUSHED, [program, pictures, str(_SIDE), str(_REPEATS), "16"]),
                Worker.python(_PILLOW, Path(__file__).name, pictures),
            )
        ]
        pictures.unlink()
        epochs = take_turns({worker.name: worker.go for worker in workers}, report.rounds)
        for worker in workers:
            pixels = setting.work / "pixels"
            worker.write_pixels(pixels)
            if check_file(pixels, photos, _SIDE):
                raise BenchError(f"{worker.name}: pixels differ from Pillow's")
            pixels.unlink()
        kernel = workers[0].told["kernel"]
    seconds = {name: [epoch.cpu_s / epoch.images for epoch in own] for name, own in epochs.items()}
    for name, own in seconds.items():
        per_image = Spread.of([one * 1e6 for one in own])
        times = ratios(seconds[_PILLOW], own)
        report.add(name, photos.name, per_image.text(".0f"), "1" if name == _PILLOW else times.text(".1f"))
        report.plot.append((f"{name}, {photos.path.stem}", per_image))
        report.samples[f"{name}, {photos.name}"] = own
        if name != _PILLOW:
            report.bars.append(Bar(f"{photos.name}, {name} ({kernel}), times Pillow", times.median, 6))


def _write_pictures(path: Path, photos: Photos) -> None:
    """Write decoded pictures one after the other, each behind its width and height."""
    with path.open("wb") as file:
        for payload in read_members(photos.path):
            pixels = pillow_pixels(payload, None)
            height, width, _ = pixels.shape
            file.write(struct.pack("<II", width, height))
            file.write(np.ascontiguousarray(pixels).data)


def main() -> None:
    from PIL import Image

    pictures = []
    with Path(sys.argv[1]).open("rb") as file:
        while header := file.read(8):
            width, height = struct.unpack("<II", header)
            pictures.append(Image.frombytes("RGB", (width, height), file.read(width * height * 3)))

    def resized(repeats: int) -> Iterator[Image.Image]:
        repeated = (picture for picture in pictures for _ in range(repeats))
        return (picture.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR) for picture in repeated)

    def epoch() -> dict[str, Any]:
        return {"images": sum(1 for _ in resized(_REPEATS))}

    def pixels() -> Iterator[NDArray[np.uint8]]:
        return (np.ascontiguousarray(image) for image in resized(1))

    serve_contestant(epoch, pixels)


if __name__ == "__main__":
    main()
