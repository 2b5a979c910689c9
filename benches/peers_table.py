"""The comparison with other libraries: each reads the form it reads best, all take turns, one table."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from bench_decode import speed_ratio
from data import check_file
from pairing import Spread, take_turns
from report import Bar
from workers import BENCHES, BenchError, Worker

from pixcrawler._machine import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data import Photos, Setting
    from report import Report
    from workers import Epoch

ZIP = "zip"
OURS = "pixcrawler"
# The share of the machine that other programs may take before the figures tell nothing.
_UNDISTURBED = 0.05
_storing = threading.Lock()
_LIBRARIES = ("nvidia-dali-cuda120", "spdl", "webdataset", "litdata", "mosaicml-streaming")


@dataclass(frozen=True)
class Peer:
    """A contestant.

    Attributes:
        name: What the table calls it.
        command: The script and its arguments, up to what it reads.
        reads: ``ZIP``, or a form of ``peers_store``.
        allowed: The largest mean difference from Pillow's pixels, in levels, that its decoder and filter explain.
        resize: The filter of its batches.
        orients: Whether it turns images as their EXIF blocks say.
        options: Further arguments.
    """

    name: str
    command: tuple[str, ...]
    reads: str
    allowed: float
    resize: str = ""
    orients: bool = True
    options: tuple[str, ...] = ()

    def start(self, setting: Setting, photos: Photos, threads: int, size: int | None) -> Worker:
        """Start it on photographs and warm it by one epoch.

        Raises:
            BenchError: It cannot run here; the message says why.
        """
        path = photos.path if self.reads == ZIP else _stored(setting, photos, self.reads)
        sized = ("--size", str(size)) if size else ()
        worker = Worker.python(self.name, *self.command, path, "--threads", str(threads), *sized, *self.options)
        try:
            worker.go()
        except BenchError:
            worker.close()
            raise
        return worker


def compare(report: Report, setting: Setting, peers: Sequence[Peer], size: int | None) -> None:
    """Fill a report: every contestant on all photographs, with one thread and with all."""
    for photos in setting.all_photos:
        for threads in [usable_cpus()] if setting.fast else sorted({1, usable_cpus()}):
            _compare_on(report, setting, peers, photos, threads, size)
    report.notes += [
        (
            "Every library reads the form it reads best, made of the same JPEG bytes before anything is timed, from "
            "the page cache: shards and chunks of equal numbers of images, four for each processor."
        ),
        (
            "Threads are those that decode, or processes: WebDataset, LitData, Streaming and torchvision's DataLoader "
            "have no workers (the loop decodes) for one thread, and as many worker processes, kept from epoch to "
            "epoch, for several. Workers' processor time counts."
        ),
        (
            "DALI gives views of its own buffers, which it writes again; all others give arrays of their own. DALI's "
            "files come from an external source, so that it does not decode ahead into the next epoch. WebDataset and "
            "Streaming decode with Pillow, LitData with torchvision's `decode_jpeg`, SPDL with FFmpeg, tf.data with "
            "its default, a fast and less exact DCT."
        ),
        (
            "Off Pillow: mean absolute difference from Pillow's pixels in levels of 255, checked after timing, as are "
            "the number and the sizes of the images; 0 means every byte is equal."
        ),
        f"Versions: {', '.join(f'{name} {_version(name)}' for name in _LIBRARIES)}.",
    ]


def _compare_on(
    report: Report, setting: Setting, peers: Sequence[Peer], photos: Photos, threads: int, size: int | None
) -> None:
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for peer, started in zip(peers, start_all(setting, peers, photos, threads, size), strict=True):
            if isinstance(started, Worker):
                workers[peer.name] = stack.enter_context(started)
            else:
                leave_out(report, peer.name, str(started))
        if OURS not in workers:
            raise BenchError(report.notes[-1])
        raced = [peer for peer in peers if peer.name in workers]
        # They are warm already.
        began, used_s = time.perf_counter(), _used_cpu_s()
        turns = take_turns({name: worker.go for name, worker in workers.items()}, report.rounds, warm=0)
        epochs = {name: [with_workers(epoch) for epoch in own] for name, own in turns.items()}
        own_s = sum(epoch.cpu_s for all_own in epochs.values() for epoch in all_own)
        taken = (_used_cpu_s() - used_s - own_s) / (time.perf_counter() - began) / (os.cpu_count() or 1)
        off = {peer.name: difference(peer, workers[peer.name], setting, photos, size) for peer in raced}
    for peer in raced:
        own = epochs[peer.name]
        if any(epoch.images != photos.num_images for epoch in own):
            raise BenchError(f"{peer.name}: {[epoch.images for epoch in own]} images of {photos.num_images}")
        _add_row(report, peer, photos, threads, own, epochs[OURS], off[peer.name])
    others = {name: speed_ratio(epochs[OURS], own) for name, own in epochs.items() if name != OURS}
    place = f"{photos.name}, {threads} thread(s)"
    is_disturbed = taken > _UNDISTURBED
    if is_disturbed:
        report.notes.append(
            f"DISTURBED: on {place}, other programs took {taken:.0%} of the machine. These rows are worth repeating, "
            "and only their CPU is worth reading."
        )
    if size:
        report.bars += [
            Bar(f"{place}, times {name}", ahead.median, 1.0, is_disturbed=is_disturbed)
            for name, ahead in others.items()
        ]
    if others:
        nearest = min(others, key=lambda name: others[name].median)
        report.notes.append(f"{place}: {others[nearest].text()} times the speed of the fastest other, {nearest}.")


def start_all(
    setting: Setting, peers: Sequence[Peer], photos: Photos, threads: int, size: int | None
) -> list[Worker | BenchError]:
    """Start all at once: most of the time is spent on imports, which use one processor each."""

    def start(peer: Peer) -> Worker | BenchError:
        try:
            return peer.start(setting, photos, threads, size)
        except BenchError as exc:
            return exc

    with ThreadPoolExecutor(usable_cpus()) as pool:
        return list(pool.map(start, peers))


def _add_row(
    report: Report,
    peer: Peer,
    photos: Photos,
    threads: int,
    own: Sequence[Epoch],
    ours: Sequence[Epoch],
    off: float,
) -> None:
    rate = Spread.of([epoch.images / epoch.seconds for epoch in own])
    share = "1" if peer.name == OURS else speed_ratio(own, ours).text()
    cpu_ms = Spread.of([1000 * epoch.cpu_s / epoch.images for epoch in own])
    busy = Spread.of([epoch.cpu_s / epoch.seconds for epoch in own])
    report.add(
        *(peer.name, peer.reads, *([peer.resize] if peer.resize else []), photos.name, str(threads)),
        *(rate.text(".0f"), share, f"{cpu_ms.median:.2f}", f"{busy.median:.2f}", f"{off:.2f}" if off else "0"),
    )
    if threads == usable_cpus():
        report.plot.append((f"{peer.name}, {photos.path.stem}", rate))
    report.samples[f"{peer.name}, {photos.name}, {threads}"] = [
        {"seconds": epoch.seconds, "cpu_s": epoch.cpu_s} for epoch in own
    ]


def _used_cpu_s() -> float:
    """Processor time that all programs took since the start of the machine, as far as it tells (Linux does)."""
    try:
        first = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0]
    except OSError:
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, first.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def with_workers(epoch: Epoch) -> Epoch:
    """An epoch with the processor time of the contestant's own workers."""
    return replace(epoch, cpu_s=epoch.cpu_s + epoch.extra.get("children_cpu_s", 0.0))


def difference(peer: Peer, worker: Worker, setting: Setting, photos: Photos, size: int | None) -> float:
    """A contestant's mean difference from Pillow's pixels, which may not be larger than what explains it."""
    pixels = setting.work / "pixels"
    worker.write_pixels(pixels)
    difference = check_file(pixels, photos, size, orient=peer.orients)
    pixels.unlink()
    if difference > peer.allowed:
        raise BenchError(
            f"{peer.name}: pixels are {difference:.2f} levels off Pillow's, at most {peer.allowed:g} expected"
        )
    return difference


def _stored(setting: Setting, photos: Photos, form: str) -> Path:
    """The folder of photographs in another form, made when first asked for.

    Raises:
        BenchError: It cannot be made here.
    """
    folder = setting.work / f"{photos.path.stem}, {form}"
    log = setting.work / f"{photos.path.stem}, {form}.log"
    with _storing:
        if not folder.exists():
            folder.mkdir()
            command = [sys.executable, str(BENCHES / "peers_store.py"), form, str(photos.path), str(folder)]
            made = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            log.write_text(made.stderr if made.returncode else "")
    failure = log.read_text()
    if failure:
        raise BenchError(failure)
    return folder


def leave_out(report: Report, name: str, reason: str) -> None:
    """Say so, once, with the last line of the reason, which is the exception of a traceback."""
    last = reason.strip().splitlines()[-1].removeprefix(f"{name}: ").removeprefix("workers.BenchError: ")
    note = f"Left out: {name}: {last}."
    if note not in report.notes:
        report.notes.append(note)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
