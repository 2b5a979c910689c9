"""Shuffled reading by number against shuffled streaming, from a server with and without latency, through torch."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from data import pillow_pixels, read_members
from pairing import Spread, ratios, take_turns
from report import Bar, Report
from workers import BenchError, Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data import Setting
    from workers import Epoch

_SIZE = 224
_WORKERS = 4
_CHUNKS = 4
_LATENCIES_MS = (0, 20)
_BOUND = 0.7
_MAP, _STREAM = "to_torch()", "to_torch(streaming=True)"


def run(setting: Setting) -> Report:
    photos = setting.photos
    chunks = 1 if setting.fast else _CHUNKS
    report = Report(
        "torch-latency",
        f"Shuffled batches of 64 images of {_SIZE} x {_SIZE} from a server, by a `DataLoader` of {_WORKERS} workers",
        ("form", "latency, ms", "images/s", f"of {_STREAM}"),
        setting.rounds_or(5),
        f"{photos.description}, as {chunks} chunks",
        setting.fast,
        plot_axis="images per second (median, smallest to largest)",
    )
    images = chunks * photos.num_images
    expected = chunks * sum(
        int(pillow_pixels(payload, _SIZE).astype(int).sum()) / 255 for payload in read_members(photos.path)
    )
    for latency_ms in _LATENCIES_MS:
        epochs = _measure(setting, report, latency_ms, chunks)
        for name, own in epochs.items():
            for epoch in own:
                if epoch.images != images or abs(epoch.extra["total"] / expected - 1) > 1e-6:
                    raise BenchError(f"{name}: {epoch.images} images of {images}, or other pixels than Pillow's")
        _add_rows(report, latency_ms, epochs)
    report.notes += [
        (
            "`DataLoader(load_dataset(job, image_size=224).to_torch(), 64, shuffle=True, num_workers=4)` against the "
            "same over `to_torch(streaming=True, shuffle=True)`. Each epoch is a user's whole program: the job, the "
            "directories and the start of the workers are part of it."
        ),
        (
            "By number nearly every sample is a request of its own, of which each worker has up to 32 under way; the "
            "stream asks for 1 MiB at once. The server shares the processors with the client."
        ),
        "Checked after timing: as many images as there are, and the sum of all pixels is that of Pillow's.",
    ]
    return report


def _measure(setting: Setting, report: Report, latency_ms: int, chunks: int) -> dict[str, list[Epoch]]:
    photos = setting.photos
    options = ("--images", str(photos.num_images), "--chunks", str(chunks), "--latency-ms", str(latency_ms))
    with ExitStack() as stack:
        server = stack.enter_context(Worker.python("server", "throttled_server.py", photos.path, *options))
        given = ("--url", server.told["url"], "--size", str(_SIZE), "--workers", str(_WORKERS))
        raced = {
            name: stack.enter_context(Worker.python(name, "torch_latency.py", form, *given))
            for name, form in ((_STREAM, "stream"), (_MAP, "map"))
        }
        return take_turns({name: worker.go for name, worker in raced.items()}, report.rounds)


def _add_rows(report: Report, latency_ms: int, epochs: dict[str, list[Epoch]]) -> None:
    rates = {name: _rates(own) for name, own in epochs.items()}
    share = ratios(rates[_MAP], rates[_STREAM])
    for name, own in rates.items():
        rate = Spread.of(own)
        report.add(name, str(latency_ms), rate.text(".0f"), "1" if name == _STREAM else share.text())
        report.plot.append((f"{name}, {latency_ms} ms", rate))
        report.samples[f"{name}, {latency_ms} ms"] = [{"seconds": epoch.seconds} for epoch in epochs[name]]
    if latency_ms:
        report.bars.append(Bar(f"{latency_ms} ms, by number, of the stream", share.median, _BOUND))


def _rates(epochs: Sequence[Epoch]) -> list[float]:
    return [epoch.images / epoch.seconds for epoch in epochs]
