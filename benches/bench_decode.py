"""Full decode in memory, image by image, against libjpeg-turbo in a bare C loop."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import c_loop
from data import check_file
from pairing import Spread, ratios, take_turns
from report import Bar, Report
from workers import BenchError, Epoch, Worker

from pixcrawler._machine import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data import Photos, Setting

_YARDSTICK = "C loop, reused handle"
_OURS = "pixcrawler"
# The C loop waits for nothing but processors: what is missing of them, other programs took.
_UNDISTURBED = 0.95


def run(setting: Setting) -> Report:
    rounds = setting.rounds_or(9)
    report = Report(
        "decode",
        "Full decode: `for image, label in load_dataset(zip, decode_threads=N)` against libjpeg-turbo in a bare C loop",
        (
            "contestant",
            "photographs",
            "threads",
            "images/s",
            "of the C loop",
            "CPU, times the C loop",
            "processors busy",
        ),
        rounds,
        setting.description,
        setting.fast,
        plot_axis="images per second (median, smallest to largest)",
    )
    for photos in setting.all_photos:
        for threads in sorted({1, usable_cpus()}):
            _run_one(report, setting, photos, threads)
    report.notes += [
        (
            "In memory: the zip is in the page cache; the C loop has its files in its own memory. Every "
            "contestant is a process of its own, warm, and takes its turn while the others sleep."
        ),
        (
            "The yardstick keeps one decompressor a thread and decodes into one buffer a thread, whose pages "
            "stay. pixcrawler opens, reads and checks the zip, starts its threads, and gives each image an array of "
            "its own."
        ),
        "Checked after timing: every pixel of all equals Pillow's.",
    ]
    return report


def _run_one(report: Report, setting: Setting, photos: Photos, threads: int) -> None:
    with ExitStack() as stack:
        workers = [
            stack.enter_context(worker)
            for worker in (
                Worker.python(_OURS, "ours.py", photos.path, "--threads", str(threads)),
                c_loop.start(setting.work, photos, threads, "reused"),
                c_loop.start(setting.work, photos, threads, "fresh"),
            )
        ]
        epochs = take_turns({worker.name: worker.go for worker in workers}, report.rounds)
        for worker in workers:
            pixels = setting.work / "pixels"
            worker.write_pixels(pixels)
            if check_file(pixels, photos, None, orient=worker.name == _OURS):
                raise BenchError(f"{worker.name}: pixels differ from Pillow's")
            pixels.unlink()
    is_disturbed = add_rows(report, photos, threads, epochs, _YARDSTICK)
    of_c = speed_ratio(epochs[_OURS], epochs[_YARDSTICK])
    report.bars.append(
        Bar(f"{photos.name}, {threads} thread(s), of the C loop", of_c.median, 1.5, is_disturbed=is_disturbed)
    )
    report.notes.append(f"pixcrawler on {photos.name} with {threads} thread(s): {where_time_goes(epochs[_OURS])}.")


def speed_ratio(ours: Sequence[Epoch], theirs: Sequence[Epoch]) -> Spread:
    """How many times as fast as another contestant, round by round."""
    return ratios([epoch.seconds for epoch in theirs], [epoch.seconds for epoch in ours])


def add_rows(
    report: Report,
    photos: Photos,
    threads: int,
    epochs: dict[str, list[Epoch]],
    yardstick: str,
    *further: dict[str, str],
) -> bool:
    """A row and a mark of the plot for each contestant: speed, shares of the yardstick's, and further columns.

    Returns:
        Whether other programs disturbed the measurement.
    """
    is_disturbed = False
    for name, own in epochs.items():
        rate = Spread.of([epoch.images / epoch.seconds for epoch in own])
        busy = Spread.of([epoch.cpu_s / epoch.seconds for epoch in own])
        share, cpu = "1", "1"
        if name != yardstick:
            share = speed_ratio(own, epochs[yardstick]).text()
            cpu = ratios([epoch.cpu_s for epoch in own], [epoch.cpu_s for epoch in epochs[yardstick]]).text()
        cells = (name, photos.name, str(threads), rate.text(".0f"), share, cpu, f"{busy.median:.2f}")
        report.add(*cells, *(column[name] for column in further))
        report.plot.append((f"{name}, {photos.path.stem}, {threads} thr.", rate))
        key = f"{name}, {photos.name}, {threads}"
        report.samples[key] = [{"seconds": epoch.seconds, "cpu_s": epoch.cpu_s} for epoch in own]
        if name == yardstick and busy.median < _UNDISTURBED * threads:
            is_disturbed = True
            report.notes.append(
                f"DISTURBED: on {photos.name} the C loop with {threads} thread(s) got {busy.median:.2f} processors. "
                "Other programs ran: these rows are worth repeating, and only their CPU is worth reading."
            )
    return is_disturbed


def where_time_goes(epochs: Sequence[Epoch]) -> str:
    """What pixcrawler's decode threads did, as shares of their time by the wall clock, over all rounds."""
    stats: list[dict[str, Any]] = [epoch.extra["stats"] for epoch in epochs]
    total_s = sum(one["elapsed_s"] * one["threads"] for one in stats)
    parts = {name: sum(one[f"{name}_s"] for one in stats) / total_s for name in ("decode", "resize", "inflate")}
    told = [f"{name} {share:.1%}" for name, share in parts.items() if share > 0]
    return f"of its decode threads' time {', '.join(told)}, nothing to do {1 - sum(parts.values()):.1%}"
