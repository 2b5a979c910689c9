"""Peak memory of a fresh process that loads a whole dataset into one array, against that array's size."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from data import expected_crc, make_chunk
from pairing import Spread, take_turns
from report import Bar, Report
from workers import BENCHES, BenchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from data import Photos, Setting

_SIZE = 224
_MB = 1_000_000
_LIMITS = {"256MB": 256 * _MB, "64MB": 64 * _MB}
_BATCHES, _HAND = "pixcrawler, np.concatenate of iter_batches(64)", "zipfile + Pillow, np.stack"


def run(setting: Setting) -> Report:
    # Large enough that the array is more than the limit.
    times = 1 if setting.fast else 5
    photos = setting.photos
    chunk = photos if times == 1 else make_chunk(photos, setting.work / "chunk-x.zip", times * photos.size_bytes)
    report = Report(
        "to-arrays",
        "A whole dataset as one array of 224 x 224 images: peak memory beyond the interpreter against the array's size",
        ("what", "memory_limit", "X, MB", "peak, MB", "beyond X, MB", "of X", "s"),
        setting.rounds_or(3),
        photos.description,
        setting.fast,
        plot_axis="peak beyond the interpreter as a multiple of X (median, smallest to largest)",
    )
    ours = {f"pixcrawler, to_arrays(), {limit}": ("to_arrays", limit) for limit in _LIMITS}
    ways = {**ours, _BATCHES: ("batches", "256MB"), _HAND: ("pillow", "-")}
    contestants = {name: _probing(chunk, way, limit) for name, (way, limit) in ways.items()}
    crc = expected_crc(chunk, _SIZE, 1)
    for name, found in take_turns(contestants, report.rounds, warm=0).items():
        if any(one["crc"] != crc for one in found):
            raise BenchError(f"{name}: pixels differ from Pillow's")
        size_bytes = found[0]["bytes"]
        peak = Spread.of([(one["peak"] - one["before"]) / _MB for one in found])
        beyond = Spread.of([(one["peak"] - one["before"] - size_bytes) / _MB for one in found])
        share = Spread.of([(one["peak"] - one["before"]) / size_bytes for one in found])
        limit = ways[name][1]
        seconds = Spread.of([one["seconds"] for one in found])
        cells = (peak.text(".0f"), beyond.text(".0f"), share.text(), seconds.text())
        report.add(name.removesuffix(f", {limit}"), limit, f"{size_bytes / _MB:.0f}", *cells)
        report.plot.append((name, share))
        report.samples[name] = found
        if name in ours:
            what = f"to_arrays(), largest peak beyond the interpreter and X, MB, memory_limit {limit}"
            report.bars.append(Bar(what, beyond.high, _LIMITS[limit] / _MB, at_most=True))
    report.notes += [
        "Peak: the kernel's VmHWM at the end, less the same when all modules are loaded and nothing is opened.",
        "Checked in every run: the CRC of the whole array equals that of Pillow's pixels.",
    ]
    return report


def _probing(photos: Photos, way: str, limit: str) -> Callable[[], dict[str, Any]]:
    command = [sys.executable, str(BENCHES / "arrays_probe.py"), way, str(photos.path), "--size", str(_SIZE)]

    def probe() -> dict[str, Any]:
        done = subprocess.run([*command, f"--memory-limit={limit}"], check=False, capture_output=True, text=True)
        if done.returncode:
            raise BenchError(f"arrays_probe.py failed:\n{done.stderr[-4000:]}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return probe
