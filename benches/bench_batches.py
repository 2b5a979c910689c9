"""Batches of 64 images of 224 x 224, against what users write with other libraries, and the bare C full decode."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import c_loop
from bench_decode import add_rows, speed_ratio, where_time_goes
from data import check_file
from pairing import take_turns
from report import Bar, Report
from workers import BenchError, NotInstalledError, Worker

from pixcrawler._machine import usable_cpus

if TYPE_CHECKING:
    from data import Photos, Setting

_SIZE = 224
_YARDSTICK = "C loop, full decode"
_OURS = "pixcrawler"
# Names, arguments of peers.py, and the largest mean difference from Pillow's pixels, in levels, that is still the same
# picture: other filters and rounding; swapped channels or a shifted picture are far above.
_PEERS: dict[str, tuple[tuple[str, ...], float]] = {
    "zipfile + Pillow": (("pillow",), 0.0),
    "OpenCV, INTER_AREA": (("opencv", "--interpolation", "INTER_AREA"), 4.0),
    "OpenCV, INTER_LINEAR": (("opencv", "--interpolation", "INTER_LINEAR"), 12.0),
    "torchvision": (("torchvision",), 1.0),
    "tf.data": (("tfdata",), 12.0),
}
_WITHOUT_ANTIALIAS = "tf.data"


def run(setting: Setting) -> Report:
    rounds = setting.rounds_or(7)
    report = Report(
        "batches",
        f"`iter_batches(64, image_size={_SIZE})` against other libraries on the same zip, and the C loop's full decode",
        (
            "contestant",
            "photographs",
            "threads",
            "images/s",
            "of the C loop",
            "CPU, times the C loop",
            "processors busy",
            "off Pillow",
        ),
        rounds,
        setting.description,
        setting.fast,
        plot_axis="images per second (median, smallest to largest)",
    )
    for photos in setting.all_photos:
        for threads in [usable_cpus()] if setting.fast else sorted({1, usable_cpus()}):
            _run_one(report, setting, photos, threads)
    report.notes += [
        (
            "The zip is in the page cache. Every contestant is a process of its own, warm, and takes its turn "
            "while the others sleep. Threads work on whole images (a ThreadPoolExecutor for Pillow, OpenCV and "
            "torchvision; num_parallel_calls and a private pool for tf.data), none inside the library."
        ),
        (
            "The C loop (one decompressor a thread, reused) decodes to full size and resizes nothing: "
            "pixcrawler's share of its speed includes the resize that the loop does not do."
        ),
        (
            "pixcrawler and Pillow: antialiased BILINEAR, equal pixels. torchvision: antialiased, its own "
            "rounding. OpenCV INTER_AREA: averages when shrinking. OpenCV INTER_LINEAR and tf.data (with its "
            "defaults) do not antialias: less work, other pictures."
        ),
        (
            "Off Pillow: mean absolute difference from Pillow's pixels in levels of 255, checked after timing; 0 "
            "means every byte is equal."
        ),
    ]
    return report


def _run_one(report: Report, setting: Setting, photos: Photos, threads: int) -> None:
    where = (photos.path, "--threads", str(threads), "--size", str(_SIZE))
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker.python(_OURS, "ours.py", *where))]
        for name, (arguments, _) in _PEERS.items():
            try:
                workers.append(
                    stack.enter_context(Worker.python(name, "peers.py", arguments[0], *where, *arguments[1:]))
                )
            except NotInstalledError as exc:
                report.notes.append(f"Left out: {exc}.")
        loop = stack.enter_context(c_loop.start(setting.work, photos, threads, "reused"))
        epochs = take_turns({**{worker.name: worker.go for worker in workers}, _YARDSTICK: loop.go}, report.rounds)
        off = {worker.name: _difference(worker, setting, photos) for worker in workers}
    shown = {name: f"{difference:.2f}" if difference else "0" for name, difference in off.items()}
    is_disturbed = add_rows(report, photos, threads, epochs, _YARDSTICK, {**shown, _YARDSTICK: "-"})
    place = f"{photos.name}, {threads} thread(s)"
    of_c = speed_ratio(epochs[_OURS], epochs[_YARDSTICK])
    report.bars.append(Bar(f"{place}, of the C loop's bare decode", of_c.median, 1.3, is_disturbed=is_disturbed))
    for name in epochs:
        if name not in {_OURS, _YARDSTICK, _WITHOUT_ANTIALIAS}:
            ahead = speed_ratio(epochs[_OURS], epochs[name])
            report.bars.append(Bar(f"{place}, times {name}", ahead.median, 1.0, is_disturbed=is_disturbed))
        elif name == _WITHOUT_ANTIALIAS:
            ahead = speed_ratio(epochs[_OURS], epochs[name])
            report.bars.append(Bar(f"{place}, times {name}", ahead.median, 1.5, is_disturbed=is_disturbed))
    report.notes.append(f"pixcrawler on {place}: {where_time_goes(epochs[_OURS])}.")


def _difference(worker: Worker, setting: Setting, photos: Photos) -> float:
    """A contestant's mean difference from Pillow's pixels, which may not be larger than its filter explains."""
    allowed = 0.0 if worker.name == _OURS else _PEERS[worker.name][1]
    pixels = setting.work / "pixels"
    worker.write_pixels(pixels)
    difference = check_file(pixels, photos, _SIZE)
    pixels.unlink()
    if difference > allowed:
        raise BenchError(
            f"{worker.name}: pixels are {difference:.2f} levels off Pillow's, at most {allowed:g} expected"
        )
    return difference
