"""The JPEG decoder alone, files and pixels in memory, one thread, against libjpeg-turbo in a bare C loop."""

from __future__ import annotations

import filecmp
import io
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING

import c_loop
import cargo_example
from data import read_members, write_payloads
from pairing import Spread, ratios, take_turns
from PIL import Image
from report import Bar, Report
from workers import BenchError, Worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from data import Setting

_OURS, _YARDSTICK = "pixcrawler", "C loop, reused handle"
# What is made of photographs is made of this many; of thumbnails there are as many, each several times.
_DERIVED = 150
_THUMBNAIL_COPIES = 10
# No kind of image may be slower than libjpeg-turbo by more than 3 %.
_NO_SLOWER = 0.97


def run(setting: Setting) -> Report:
    report = Report(
        "jpeg",
        "The JPEG decoder alone, to RGB (CMYK as coded), one thread, against libjpeg-turbo in a bare C loop",
        ("files", "images", "CPU ms/image", "C loop, CPU ms/image", "times as fast"),
        setting.rounds_or(15),
        setting.description,
        setting.fast,
        plot_axis="times as fast as libjpeg-turbo (median, smallest to largest)",
    )
    program = cargo_example.build("pixcrawler-jpeg", "decode_loop")
    for number, (name, bar, payloads) in enumerate(_kinds(setting)):
        files = setting.work / f"jpeg-{number}.payloads"
        write_payloads(files, payloads)
        _run_one(report, setting, program, files, name, bar)
        files.unlink()
    report.notes += [
        (
            "Both loops decode from memory into one reused buffer and keep their decoder's memory. CPU: each has one "
            "thread that waits for nothing; its processor time suffers less from other programs."
        ),
        f"Derived files are made of {_DERIVED} photographs; thumbnails stand in {_THUMBNAIL_COPIES} times each.",
        "Checked after timing: every pixel of all equals libjpeg-turbo's.",
    ]
    return report


def _run_one(report: Report, setting: Setting, program: Path, files: Path, name: str, bar: float) -> None:
    with ExitStack() as stack:
        ours = stack.enter_context(Worker(_OURS, [program, files, "1", "native"]))
        theirs = stack.enter_context(c_loop.start_with(setting.work, files, 1, "reused"))
        epochs = take_turns({worker.name: worker.go for worker in (ours, theirs)}, report.rounds)
        own, their = setting.work / "pixels-ours", setting.work / "pixels-theirs"
        ours.write_pixels(own)
        theirs.write_pixels(their)
        if not filecmp.cmp(own, their, shallow=False):
            raise BenchError(f"{name}: pixels differ from libjpeg-turbo's")
        own.unlink()
        their.unlink()
    # A smoke test's few small files can take less than the clock tells.
    seconds = {worker: [max(epoch.cpu_s, 1e-6) / epoch.images for epoch in own] for worker, own in epochs.items()}
    faster = ratios(seconds[_YARDSTICK], seconds[_OURS])
    spent = [Spread.of([s * 1e3 for s in seconds[worker]]).text(".3f") for worker in (_OURS, _YARDSTICK)]
    report.add(name, str(epochs[_OURS][0].images), *spent, faster.text())
    report.plot.append((name, faster))
    report.samples[name] = seconds
    report.bars.append(Bar(f"{name}, times as fast as the C loop", faster.median, bar))


def _kinds(setting: Setting) -> Iterator[tuple[str, float, list[bytes]]]:
    """Names, bars and files of all kinds."""
    photos = read_members(setting.photos.path)
    chosen = photos[:_DERIVED]
    yield setting.photos.name, 1.6, photos
    yield "re-encoded 4:2:0, quality 85", 1.5, _encoded(chosen, quality=85, subsampling=2)
    if setting.large is not None:
        large = read_members(setting.large.path)
        is_progressive = [Image.open(io.BytesIO(payload)).info.get("progressive", 0) for payload in large]
        yield f"{setting.large.name}, baseline", 1.5, _where(large, is_progressive, wanted=False)
        yield f"{setting.large.name}, progressive", 2.2, _where(large, is_progressive, wanted=True)
    yield "made progressive, same coefficients", 2.2, _made_progressive(setting.work, chosen)
    progressive = _encoded(chosen, quality=85, subsampling=2, progressive=True)
    yield "re-encoded progressive, 4:2:0, quality 85", 2.2, progressive
    yield "4:2:2, quality 90", _NO_SLOWER, _encoded(chosen, quality=90, subsampling=1)
    yield "4:2:0, restart at each MCU row", _NO_SLOWER, _encoded(chosen, quality=85, restart_marker_rows=1)
    yield "grey, quality 85", _NO_SLOWER, _encoded(chosen, mode="L", quality=85)
    yield "CMYK, quality 85", _NO_SLOWER, _encoded(chosen, mode="CMYK", quality=85)
    for side in (64, 16):
        small = _encoded(chosen, side=side, quality=85, subsampling=2)
        yield f"{side} x {side}, 4:2:0", _NO_SLOWER, small * _THUMBNAIL_COPIES
        small = _encoded(chosen, side=side, quality=85, subsampling=0, optimize=1)
        yield f"{side} x {side}, 4:4:4, tables of their own", _NO_SLOWER, small * _THUMBNAIL_COPIES


def _where(payloads: Iterable[bytes], is_progressive: Iterable[object], *, wanted: bool) -> list[bytes]:
    return [payload for payload, found in zip(payloads, is_progressive, strict=True) if bool(found) == wanted]


def _encoded(payloads: Iterable[bytes], *, mode: str = "RGB", side: int = 0, **options: int) -> list[bytes]:
    """Photographs encoded anew by Pillow."""
    encoded = []
    for payload in payloads:
        image: Image.Image = Image.open(io.BytesIO(payload)).convert("RGB")
        if side:
            image = image.resize((side, side))
        file = io.BytesIO()
        image.convert(mode).save(file, "JPEG", **options)
        encoded.append(file.getvalue())
    return encoded


def _made_progressive(work: Path, payloads: list[bytes]) -> list[bytes]:
    """The same coefficients in a progressive file's scans."""
    before, after = work / "before.payloads", work / "after.payloads"
    write_payloads(before, payloads)
    subprocess.run([c_loop.build(work, "make_progressive"), before, after], check=True)
    data = after.read_bytes()
    made, at = [], 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        made.append(data[at + 4 : end])
        at = end
    return made
