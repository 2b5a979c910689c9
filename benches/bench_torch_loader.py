"""A DataLoader over ``to_torch(streaming=True)``, against what users of torch write. Needs ``.venv-peers``."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from bench_decode import speed_ratio
from pairing import Spread, take_turns
from peers_store import CLASS_FOLDERS, TAR_SHARDS
from peers_table import ZIP, Peer, difference, leave_out, start_all, with_workers
from report import Bar, Report
from workers import BenchError, Worker

from pixcrawler._machine import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from data import Photos, Setting
    from workers import Epoch

_SIZE = 224
_WORKERS = (0, 1, 2)
_SCRIPT = "torch_loader.py"
_STREAM, _PLAIN = "to_torch, batches", "iter_batches"
_PEERS = (
    Peer(_STREAM, (_SCRIPT, "stream"), ZIP, 0.0, "uint8"),
    Peer("to_torch, samples", (_SCRIPT, "samples"), ZIP, 0.0, "float32"),
    Peer(_PLAIN, (_SCRIPT, "iter_batches"), ZIP, 0.0, "uint8"),
    Peer("ImageFolder", (_SCRIPT, "imagefolder"), CLASS_FOLDERS, 0.0, "float32", orients=False),
    Peer("WebDataset", (_SCRIPT, "webdataset"), TAR_SHARDS, 0.0, "float32", orients=False),
)


def run(setting: Setting) -> Report:
    report = Report(
        "torch-loader",
        f"Batches of 64 images of {_SIZE} x {_SIZE} through torch's `DataLoader`, by its number of workers",
        (
            *("contestant", "reads", "gives", "photographs", "workers"),
            *("images/s", f"of {_PLAIN}", "CPU ms/image", "processors busy"),
        ),
        setting.rounds_or(5),
        setting.description,
        setting.fast,
        plot_axis="images per second (median, smallest to largest)",
    )
    for photos in setting.all_photos:
        for workers in _WORKERS:
            _compare(report, setting, photos, workers)
    report.notes += [
        (
            "Each as its users write it: `DataLoader(load_dataset(zip, image_size=224).to_torch(streaming=True, "
            "batch_size=64), batch_size=None)`; the same without batch_size, of which the DataLoader stacks the "
            "floats of `ToTensor`; `ImageFolder` and `WebDataset` with Pillow, `Resize` and `ToTensor`. uint8 batches "
            "become floats where they are used, on the accelerator: this is not timed."
        ),
        (
            f"pixcrawler decodes with {usable_cpus()} thread(s), shared out among its workers, also where there are "
            "none; the others decode in their workers alone, or in the loop itself. `iter_batches` has no workers: its "
            "rows are repetitions."
        ),
        "Workers live on from epoch to epoch. Their processor time counts.",
        "After timing every image is compared with Pillow's: all are equal, byte by byte.",
    ]
    return report


def _compare(report: Report, setting: Setting, photos: Photos, workers: int) -> None:
    """All contestants with so many workers, in turns."""
    peers = [replace(peer, options=("--workers", str(workers))) for peer in _PEERS]
    with ExitStack() as stack:
        raced: dict[str, Worker] = {}
        for peer, started in zip(peers, start_all(setting, peers, photos, usable_cpus(), _SIZE), strict=True):
            if isinstance(started, Worker):
                raced[peer.name] = stack.enter_context(started)
            else:
                leave_out(report, peer.name, str(started))
        if not {_STREAM, _PLAIN} <= raced.keys():
            raise BenchError(report.notes[-1])
        # They are warm already.
        turns = take_turns({name: worker.go for name, worker in raced.items()}, report.rounds, warm=0)
        for peer in peers:
            if peer.name in raced:
                difference(peer, raced[peer.name], setting, photos, _SIZE)
    epochs = {name: [with_workers(epoch) for epoch in own] for name, own in turns.items()}
    for peer in peers:
        if peer.name in epochs:
            _add_row(report, peer, photos, workers, epochs)
    for name in epochs.keys() & {"ImageFolder", "WebDataset"}:
        ahead = speed_ratio(epochs[_STREAM], epochs[name])
        report.bars.append(Bar(f"{photos.name}, {workers} workers, batches: times {name}", ahead.median, 1.0))


def _add_row(report: Report, peer: Peer, photos: Photos, workers: int, epochs: Mapping[str, Sequence[Epoch]]) -> None:
    own = epochs[peer.name]
    if any(epoch.images != photos.num_images for epoch in own):
        raise BenchError(f"{peer.name}: {[epoch.images for epoch in own]} images of {photos.num_images}")
    rate = Spread.of([epoch.images / epoch.seconds for epoch in own])
    cpu_ms = Spread.of([1000 * epoch.cpu_s / epoch.images for epoch in own])
    busy = Spread.of([epoch.cpu_s / epoch.seconds for epoch in own])
    share = "1" if peer.name == _PLAIN else speed_ratio(own, epochs[_PLAIN]).text()
    report.add(
        *(peer.name, peer.reads, peer.resize, photos.name, "none" if peer.name == _PLAIN else str(workers)),
        *(rate.text(".0f"), share, f"{cpu_ms.median:.2f}", f"{busy.median:.2f}"),
    )
    report.plot.append((f"{peer.name}, {workers} workers, {photos.path.stem}", rate))
    report.samples[f"{peer.name}, {photos.name}, {workers}"] = [
        {"seconds": epoch.seconds, "cpu_s": epoch.cpu_s} for epoch in own
    ]
