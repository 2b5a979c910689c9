"""Over HTTP on loopback against in memory: what the network path costs the client's processor."""

from __future__ import annotations

import filecmp
from contextlib import ExitStack
from typing import TYPE_CHECKING

from data import Photos, check_file
from pairing import Spread, ratios, take_turns
from report import Bar, Report
from workers import BenchError, Epoch, Worker

from pixcrawler._machine import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data import Setting

_SIZE = 224
_MEMORY, _HTTP = "pixcrawler, in memory", "pixcrawler, HTTP"


def run(setting: Setting) -> Report:
    from pixcrawler.server.catalogue import JobSpec
    from pixcrawler.server.run import ServerProcess
    from pixcrawler.server.store import Store

    report = Report(
        "http",
        "Over HTTP on loopback, from `pixcrawler.server`, against the same chunk in memory",
        ("contestant", "what", "threads", "images/s", "client CPU ms/image", "of in memory"),
        setting.rounds_or(9),
        setting.photos.description,
        setting.fast,
        plot_axis="milliseconds of the client's processor per image (median, smallest to largest)",
    )
    folder = setting.work / "store"
    store, key = Store.open_or_create(folder)
    assert key is not None
    with store:
        job = store.pack(setting.photos.path, JobSpec("photos", None, (), 500)).job
    # The packed chunk itself, so that both read the same bytes in the same order.
    chunk = Photos.at(next((folder / "chunks").rglob("*.zip")), "chunk")
    with ServerProcess(folder) as server:
        remote = (job.id, "--url", server.url, "--key", key)
        for threads in sorted({1, usable_cpus()}):
            for what, options in (("full decode", ()), (f"batches of 64 at {_SIZE}", ("--size", str(_SIZE)))):
                size = _SIZE if options else None
                _run_one(report, setting, chunk, remote, threads, what, (*options, "--threads", str(threads)), size)
    report.notes += [
        (
            "CPU: user and system seconds of the client's process, with what the kernel does for its sockets. The "
            "server is a process of its own and takes its own; on loopback from the same processors, so images/s "
            "say little here."
        ),
        "Checked after timing: every pixel over HTTP equals that in memory, and Pillow's.",
    ]
    return report


def _run_one(
    report: Report,
    setting: Setting,
    chunk: Photos,
    remote: Sequence[str],
    threads: int,
    what: str,
    options: Sequence[str],
    size: int | None,
) -> None:
    with ExitStack() as stack:
        local = stack.enter_context(Worker.python(_MEMORY, "ours.py", chunk.path, *options))
        http = stack.enter_context(Worker.python(_HTTP, "ours.py", *remote, *options))
        epochs = take_turns({_MEMORY: local.go, _HTTP: http.go}, report.rounds)
        files = [setting.work / "pixels-memory", setting.work / "pixels-http"]
        local.write_pixels(files[0])
        http.write_pixels(files[1])
        if not filecmp.cmp(files[0], files[1], shallow=False):
            raise BenchError(f"{what}: pixels over HTTP differ from those in memory")
        if check_file(files[0], chunk, size):
            raise BenchError(f"{what}: pixels differ from Pillow's")
        for file in files:
            file.unlink()
    for name, own in epochs.items():
        cpu = Spread.of(_cpu_ms(own))
        rate = Spread.of([epoch.images / epoch.seconds for epoch in own])
        share = "1" if name == _MEMORY else ratios(_cpu_ms(own), _cpu_ms(epochs[_MEMORY])).text(".3f")
        report.add(name, what, str(threads), rate.text(".0f"), cpu.text(), share)
        report.plot.append((f"{name.split(', ')[1]}: {what}, {threads} thr.", cpu))
        key = f"{name}, {what}, {threads}"
        report.samples[key] = [{"seconds": epoch.seconds, "cpu_s": epoch.cpu_s} for epoch in own]
    share_of = ratios(_cpu_ms(epochs[_HTTP]), _cpu_ms(epochs[_MEMORY]))
    report.bars.append(Bar(f"{what}, {threads} thread(s), CPU of in memory", share_of.median, 1.10, at_most=True))


def _cpu_ms(epochs: Sequence[Epoch]) -> list[float]:
    return [epoch.cpu_s / epoch.images * 1000 for epoch in epochs]
