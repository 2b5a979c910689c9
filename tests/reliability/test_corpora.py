"""U01: whole corpora of hostile files and the fuzz targets' own seeds, in child processes of bounded memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support import run_child

TESTS = Path(__file__).resolve().parent.parent
SEEDS = TESTS.parent / "fuzz" / "seeds"
ADDRESS_SPACE_MIB = 768
# A file is decoded in three ways, on a machine that may be busy with other things.
FILE_CPU_S = 6
CHILD_TIMEOUT_S = 170

PREAMBLE = """
import json, resource, sys, tempfile, time
from collections import Counter
from pathlib import Path
sys.path.insert(0, sys.argv[1])
folder, mode, mib = Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
import support
import numpy as np
import pixcrawler
from pixcrawler import PixCrawlerError, _native
from pixcrawler._native import Directory
from pixcrawler.limits import Limits

def bound_memory():
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (mib << 20), used + (mib << 20)))

codes, slowest = Counter(), (0.0, "")
paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
"""

# Every file decoded in three ways. A refusal that is no PixCrawlerError ends the child with a traceback.
IMAGES = (
    PREAMBLE
    + """
limits = Limits(pixels=20_000_000)
decoders = [
    support.make_decoder(limits=limits),
    support.make_decoder(limits=limits, keep_truncated=True, mode="RGBA", image_size=(17, 13)),
    support.make_decoder(limits=limits, draft=True, image_size=(31, 8), mode="L", resize_mode="crop"),
]
good = support.encode(support.picture(40, 50), "JPEG")
expected = support.decode_one(good)
bound_memory()
delivered = 0
files, refused = {}, {}
for number, path in enumerate(paths):
    data = path.read_bytes()
    if mode == "repair":
        data = support.repair_png(data)
    began = time.process_time()
    for decoder in decoders:
        # A good image beside every bad one: neighbours in one native call.
        bad, neighbour = decoder.decode(support.bare_items([data, good]), max_bytes=1 << 30)
        bad = bad.image if isinstance(bad, _native.Kept) else bad
        if isinstance(bad, PixCrawlerError):
            codes[bad.code] += 1
            assert str(bad).isprintable() and bad.cause and bad.remedy, repr(bad)
        else:
            assert bad.dtype == np.uint8 and bad.ndim == 3, path
            delivered += 1
        if decoder is decoders[0]:
            assert np.array_equal(neighbour, expected), path
            files[f"{number}"] = data
            if isinstance(bad, PixCrawlerError):
                refused[f"{number}"] = bad.code
    for found in decoders[0].probe(support.bare_items([data])):
        assert isinstance(found, (tuple, PixCrawlerError))
    slowest = max(slowest, (time.process_time() - began, path.name))
# The same as one chunk through the public API: each file is delivered or reported, as before.
with tempfile.TemporaryDirectory() as place:
    _, failures = support.decode_files(Path(place), files, limits=limits, image_size=(8, 8))
assert {name: failure.code for name, failure in failures.items()} == refused
assert np.array_equal(support.decode_one(good), expected)
print(json.dumps({"files": len(paths), "codes": codes, "delivered": delivered, "slowest": slowest}))
"""
)

ZIPS = (
    PREAMBLE
    + """
bound_memory()
members = 0
for path in paths:
    data = path.read_bytes()
    began = time.process_time()
    for length in {len(data), max(0, len(data) - 1), len(data) // 2}:
        part = data[:length]
        try:
            directory = support.open_directory(part)
        except PixCrawlerError as exc:
            codes[exc.code] += 1
            continue
        for index in range(len(directory)):
            try:
                start, stop = directory.extent(index)
                directory.read_member(index, part[start:stop], start)
                members += 1
            except PixCrawlerError as exc:
                codes[exc.code] += 1
    try:
        with pixcrawler.load_dataset(path, on_error="skip", image_size=(8, 8)) as dataset:
            images = sum(1 for _ in support.catching_warning(dataset))
            assert images + sum(failure.num_samples for failure in dataset.failures) >= len(dataset.failures)
    except PixCrawlerError as exc:
        codes[exc.code] += 1
    slowest = max(slowest, (time.process_time() - began, path.name))
print(json.dumps({"files": len(paths), "codes": codes, "delivered": members, "slowest": slowest}))
"""
)

# Each stream as a member that declares the size and checksum of what zlib makes of it.
STREAMS = (
    PREAMBLE
    + """
import zlib
import zips
bound_memory()
delivered = 0
for path in paths:
    stream = path.read_bytes()
    began = time.process_time()
    for method in (8, 9):
        try:
            content = zlib.decompressobj(-15).decompress(stream, 8 << 20)
        except zlib.error:
            content = b"?"
        try:
            found = support.read_all(zips.one_member(stream, content, method=method))
            assert found == {"a.bin": content}, path
            delivered += 1
        except PixCrawlerError as exc:
            codes[exc.code] += 1
    slowest = max(slowest, (time.process_time() - began, path.name))
print(json.dumps({"files": len(paths), "codes": codes, "delivered": delivered, "slowest": slowest}))
"""
)


def replay(child: str, folder: Path, mode: str = "as-it-is") -> dict[str, Any]:
    """Run a child over all files of a folder; its report, of which what holds for every corpus is asserted."""
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    report: dict[str, Any] = json.loads(
        run_child(child, TESTS, folder, mode, ADDRESS_SPACE_MIB, timeout_s=CHILD_TIMEOUT_S)
    )
    assert report["files"] > 0
    assert "internal" not in report["codes"]
    seconds, name = report["slowest"]
    assert seconds < FILE_CPU_S, name
    return report


@pytest.mark.timeout(CHILD_TIMEOUT_S + 10)
@pytest.mark.parametrize(
    ("corpus", "mode", "least"),
    [
        ("jpeg/fuzz", "as-it-is", 200),
        ("jpeg/go-fuzz", "as-it-is", 200),
        ("jpeg/valid", "as-it-is", 1),
        ("jpeg/reftest", "as-it-is", 1),
        ("png/fuzz", "as-it-is", 200),
        ("png/fuzz", "repair", 200),
        ("png/go-fuzz", "as-it-is", 200),
        ("png/go-fuzz", "repair", 200),
        ("png/suite", "as-it-is", 100),
        ("exif", "as-it-is", 10),
        ("pillow", "as-it-is", 200),
    ],
)
def test_U01_images(data_dir: Path, corpus: str, mode: str, least: int) -> None:
    report = replay(IMAGES, data_dir / "corpus" / corpus, mode)
    assert report["files"] >= least
    assert report["delivered"] + sum(report["codes"].values()) == 3 * report["files"]
    assert report["delivered"]


def test_U01_zips(data_dir: Path) -> None:
    report = replay(ZIPS, data_dir / "corpus/zip")
    assert report["files"] > 150
    assert report["delivered"] > 500
    assert len(report["codes"]) > 12


@pytest.mark.timeout(CHILD_TIMEOUT_S + 10)
def test_U01_streams(data_dir: Path) -> None:
    report = replay(STREAMS, data_dir / "corpus/inflate")
    assert report["files"] > 500
    assert report["delivered"] + sum(report["codes"].values()) == 2 * report["files"]


@pytest.mark.parametrize(
    ("target", "child"),
    [
        ("image", IMAGES),
        ("jpeg", IMAGES),
        ("png", IMAGES),
        ("webp", IMAGES),
        ("exif", IMAGES),
        ("batch", IMAGES),
        ("zip", ZIPS),
        ("inflate", STREAMS),
        ("deflate64", STREAMS),
    ],
)
def test_U01_seeds_of_the_fuzz_targets(target: str, child: str) -> None:
    report = replay(child, SEEDS / target)
    assert report["files"] >= 5
