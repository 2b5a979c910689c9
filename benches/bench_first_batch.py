"""The first batch over a slow line, against the time that the whole chunk takes on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from data import batch_of, make_chunk
from pairing import Spread, ratios, take_turns
from report import Bar, Report
from throttled_server import JOB_ID
from workers import BenchError, Worker

from pixcrawler import load_dataset

if TYPE_CHECKING:
    from data import Photos, Setting

_SIZE = 224
_BATCH_SIZE = 64
_LATENCY_MS = 20
# MB/s and the share of the whole chunk's time that the first batch may take.
_RATES = {20: 0.25, 50: 0.25, 200: 0.35}
_CHUNK_BYTES = 55_000_000


def run(setting: Setting) -> Report:
    photos = setting.photos
    if photos.size_bytes < 0.9 * _CHUNK_BYTES and not setting.fast:
        photos = make_chunk(photos, setting.work / "chunk-55MB.zip", _CHUNK_BYTES)
    report = Report(
        "first-batch",
        f"First batch of {_BATCH_SIZE} over HTTP at {_LATENCY_MS} ms a request, against the whole chunk",
        ("line, MB/s", "first batch, s", "chunk downloaded, s", "of the download", "whole pass, s", "of the pass"),
        setting.rounds_or(5),
        photos.description,
        setting.fast,
        plot_axis="first batch as a share of the download of the whole chunk (median, smallest to largest)",
    )
    expected = batch_of(photos, 0, _BATCH_SIZE, _SIZE)
    for rate, bound in _RATES.items():
        _run_one(report, photos, rate, bound, expected)
    report.notes += [
        (
            "Each time begins before `load_dataset` (the API's answer, the chunk's directory and then its images "
            f"each cost the latency) and ends when `iter_batches({_BATCH_SIZE}, image_size={_SIZE})` hands out: "
            "the first batch, or the last."
        ),
        (
            "Chunk downloaded: the API's answer and one plain GET of the chunk into a buffer by httpx, nothing "
            "decoded: the soonest that a client which needs whole chunks could begin to decode."
        ),
        (
            f"The first {_BATCH_SIZE} images are {_share_of_bytes(photos):.0%} of the bytes. The server, which "
            "shares the processors with the client, gives all connections one line, in slices of 16 KiB."
        ),
        "Checked after timing: the first batch equals Pillow's pixels, and every image came.",
    ]
    return report


def _run_one(report: Report, photos: Photos, rate: int, bound: float, expected: np.ndarray) -> None:
    with Worker.python(
        "server",
        "throttled_server.py",
        *(photos.path, "--images", str(photos.num_images), "--rate", str(rate), "--latency-ms", str(_LATENCY_MS)),
    ) as server:
        url = server.told["url"]
        batches: list[np.ndarray] = []

        def stream() -> tuple[float, float]:
            began = time.perf_counter()
            with load_dataset(JOB_ID, "key", base_url=url) as dataset:
                count = 0
                for images, _ in dataset.iter_batches(_BATCH_SIZE, image_size=_SIZE):
                    if not count:
                        first_s = time.perf_counter() - began
                        batches.append(images)
                    count += len(images)
            if count != photos.num_images:
                raise BenchError(f"{count} images of {photos.num_images}")
            return first_s, time.perf_counter() - began

        turns = take_turns(
            {"stream": stream, "download": lambda: (0.0, _download(url, photos.size_bytes))}, report.rounds
        )
    if not all(np.array_equal(batch, expected) for batch in batches):
        raise BenchError("the first batch differs from Pillow's pixels")
    first = [first_s for first_s, _ in turns["stream"]]
    whole = [whole_s for _, whole_s in turns["stream"]]
    download = [download_s for _, download_s in turns["download"]]
    of_download, of_pass = ratios(first, download), ratios(first, whole)
    report.add(
        str(rate),
        Spread.of(first).text(".3f"),
        Spread.of(download).text(".3f"),
        of_download.text(),
        Spread.of(whole).text(".3f"),
        of_pass.text(),
    )
    report.bars.append(
        Bar(f"{rate} MB/s, first batch of the chunk's download", of_download.median, bound, at_most=True)
    )
    report.bars.append(Bar(f"{rate} MB/s, first batch of the whole pass", of_pass.median, bound, at_most=True))
    report.plot.append((f"{rate} MB/s", of_download))
    report.samples[f"{rate} MB/s"] = {"first_s": first, "download_s": download, "pass_s": whole}


def _download(url: str, size_bytes: int) -> float:
    """Seconds for the API's answer and one GET of the whole chunk into a buffer."""
    import httpx

    buffer = bytearray(size_bytes)
    began = time.perf_counter()
    reached = 0
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        job = client.get(f"/api/v1/jobs/{JOB_ID}").json()
        with client.stream("GET", job["chunks"][0]["url"]) as answer:
            for part in answer.iter_raw():
                buffer[reached : reached + len(part)] = part
                reached += len(part)
    if reached != size_bytes:
        raise BenchError(f"{reached} bytes of {size_bytes}")
    return time.perf_counter() - began


def _share_of_bytes(photos: Photos) -> float:
    from zipfile import ZipFile

    with ZipFile(photos.path) as archive:
        sizes = [info.compress_size for info in archive.infolist()]
    return sum(sizes[:_BATCH_SIZE]) / sum(sizes)
