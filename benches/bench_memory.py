"""Peak memory of a fresh process that streams chunks of two sizes and of several counts over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from data import expected_crc, make_chunk
from pairing import Spread
from report import Bar, Report
from workers import BENCHES, BenchError, Worker

if TYPE_CHECKING:
    from data import Photos, Setting

_SIZE = 224
_MB = 1_000_000
# The package's own default, and a small one.
_LIMITS = {"256MB": 256 * _MB, "64MB": 64 * _MB}


@dataclass(frozen=True)
class _Case:
    """One row: which chunk, how many, images resized or as they are."""

    photos: Photos
    chunks: int
    size: int | None


def run(setting: Setting) -> Report:
    report = Report(
        "memory",
        "Peak memory of a fresh process that streams over HTTP, beyond that of the interpreter with its modules",
        ("what", "chunk, MB", "chunks", "memory_limit", "interpreter, MB", "beyond it, MB", "of the limit"),
        setting.rounds_or(1),
        setting.photos.description,
        setting.fast,
        plot_axis="peak beyond the interpreter as a share of memory_limit",
    )
    for limit, limit_bytes in _LIMITS.items():
        peaks: dict[_Case, float] = {}
        for case in _cases(setting):
            found = _measure(case, limit, report.rounds)
            beyond = Spread.of([(one["peak"] - one["before"]) / _MB for one in found])
            before = Spread.of([one["before"] / _MB for one in found])
            what = f"batches at {case.size}" if case.size else "images as they are"
            peaks[case] = beyond.high
            share = Spread.of([(one["peak"] - one["before"]) / limit_bytes for one in found])
            chunk_mb = case.photos.size_bytes / _MB
            cells = (f"{chunk_mb:.0f}", str(case.chunks), limit, f"{before.median:.0f}", beyond.text(".0f"))
            report.add(what, *cells, share.text())
            report.plot.append((f"{what}, {case.chunks} x {chunk_mb:.0f} MB, {limit}", share))
            report.samples[f"{what}, {chunk_mb:.0f} MB x {case.chunks}, {limit}"] = found
        _judge(report, peaks, limit, limit_bytes)
    report.notes += [
        (
            "Peak: the kernel's VmHWM at the end. Interpreter: the same when all modules are loaded and nothing "
            "is opened."
        ),
        "40 chunks against 4 is judged with 5 % for the luck of the allocator and the threads.",
        "Checked after the run: the CRC of all pixels equals that of Pillow's.",
    ]
    return report


def _cases(setting: Setting) -> list[_Case]:
    photos = setting.photos
    if setting.fast:
        return [_Case(photos, 1, _SIZE), _Case(photos, 4, _SIZE)]
    small = photos if photos.size_bytes > 50 * _MB else make_chunk(photos, setting.work / "chunk-55MB.zip", 55 * _MB)
    large = make_chunk(photos, setting.work / "chunk-250MB.zip", 250 * _MB)
    return [
        *(_Case(small, chunks, _SIZE) for chunks in (1, 4, 10, 40)),
        *(_Case(large, chunks, _SIZE) for chunks in (1, 4, 10)),
        _Case(large, 1, None),
    ]


def _measure(case: _Case, limit: str, rounds: int) -> list[dict[str, Any]]:
    arguments = [sys.executable, str(BENCHES / "memory_probe.py")]
    options = ["--memory-limit", limit, *(["--size", str(case.size)] if case.size else [])]
    with Worker.python(
        "server",
        "throttled_server.py",
        *(case.photos.path, "--images", str(case.photos.num_images), "--chunks", str(case.chunks)),
    ) as server:
        found = []
        for _ in range(rounds):
            done = subprocess.run(
                [*arguments, server.told["url"], *options], check=False, capture_output=True, text=True
            )
            if done.returncode:
                raise BenchError(f"memory_probe.py failed:\n{done.stderr[-4000:]}")
            found.append(json.loads(done.stdout))
    images, crc = case.photos.num_images * case.chunks, expected_crc(case.photos, case.size, case.chunks)
    if any((one["images"], one["crc"]) != (images, crc) for one in found):
        raise BenchError(f"{case.chunks} chunks of {case.photos.path.name}: pixels differ from Pillow's")
    return found


def _judge(report: Report, peaks: dict[_Case, float], limit: str, limit_bytes: int) -> None:
    worst = max(peaks.values())
    report.bars.append(
        Bar(f"memory_limit {limit}, largest peak beyond the interpreter, MB", worst, limit_bytes / _MB, at_most=True)
    )
    by_chunks = {case.chunks: peak for case, peak in peaks.items() if case.photos == next(iter(peaks)).photos}
    if 40 in by_chunks:
        share = by_chunks[40] / by_chunks[4]
        report.bars.append(Bar(f"memory_limit {limit}, peak of 40 chunks of that of 4", share, 1.05, at_most=True))
