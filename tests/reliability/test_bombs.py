"""B: what claims to be huge, or grows huge: JPEGs, and memory as a whole."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import jpeg_cases
from jpeg_builder import (
    APP1,
    COM,
    DQT,
    EOI,
    SOF2,
    SOS,
    Picture,
    exif,
    insert_before,
    put_together,
    scan_bomb,
    segment,
    take_apart,
)
from jpeg_oracle import check
from pixcrawler import LimitError
from pixcrawler.limits import Limits
from support import __file__ as support_file
from support import decode_one, encode, picture, run_child, write_zip

if TYPE_CHECKING:
    from oracle import Examiner

TESTS = Path(support_file).parent
SMALL = encode(picture(16, 16), "JPEG")


def jpeg_of_size(height: int, width: int) -> bytes:
    """A small JPEG whose header says another size."""
    data = bytearray(SMALL)
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def cpu_seconds_to_refuse(data: bytes, code: str, limits: Limits | None = None) -> float:
    """Decode what is to be refused with a limit's code, by one thread."""
    began = time.process_time()
    with pytest.raises(LimitError) as caught:
        decode_one(data, threads=1, limits=limits or Limits())
    assert caught.value.code == code
    return time.process_time() - began


@pytest.mark.parametrize("side", [65500, 65535])
def test_B07_jpeg_header_of_4_gigapixels(examiner: Examiner, side: int) -> None:
    outcome = examiner.images({"b.jpg": jpeg_of_size(side, side)}, growth_bytes=8 << 20)
    assert outcome.codes == {"b.jpg": "limit_pixels"}
    assert "Limits.pixels" in outcome.text
    assert not outcome.delivered


@pytest.mark.parametrize("side", [2048, 8192, 16384])
def test_B08_scan_bomb(examiner: Examiner, side: int) -> None:
    bomb = scan_bomb(883, side)
    # The largest is above the limit of pixels, which is found first.
    limits = Limits(pixels=1 << 30)
    outcome = examiner.images({"b.jpg": bomb}, growth_bytes=8 << 20, limits={"pixels": 1 << 30})
    assert outcome.codes == {"b.jpg": "limit_scans"}
    assert "Limits.scans" in outcome.text
    assert cpu_seconds_to_refuse(bomb, "limit_scans", limits) < 0.5


def test_B08_scans_are_limited_by_their_pixels() -> None:
    data = scan_bomb(11)
    with pytest.raises(LimitError, match=r"Limits\.scan_pixels"):
        decode_one(data, limits=Limits(scan_pixels=10 * 2048 * 2048))
    assert decode_one(data, limits=Limits(scan_pixels=11 * 2048 * 2048)).shape == (2048, 2048, 3)


def test_B08_scans_of_a_sequential_file_are_limited_too(examiner: Examiner) -> None:
    # Arithmetic coding: scans without data are legal, and each decodes all blocks of a component.
    wide = Picture(4096, 4096, [(1, 1)] * 3, frame=0xC9)
    bomb = wide.head() + wide.scan_header([0]) * 500 + EOI
    outcome = examiner.images({"b.jpg": bomb}, growth_bytes=8 << 20)
    assert outcome.codes == {"b.jpg": "limit_scans"}
    assert cpu_seconds_to_refuse(bomb, "limit_scans") < 0.5


def marker_bombs() -> dict[str, tuple[bytes, str | None]]:
    """What is wrong with each, None for the one that is delivered."""
    cut = scan_bomb(883, 4096)[:-40]
    scan = segment(SOS, bytes([1, 1, 0, 1, 1, 0]))
    head = Picture(1000, 1000, frame=SOF2).head()
    comments = segment(COM, b"x") * 10_001
    return {
        "last-scan-cut": (cut, "limit_scans"),
        "100000-empty-scans": (head + scan * 100_000 + EOI, "limit_scans"),
        "10001-app1": (insert_before(SMALL, DQT, segment(APP1, b"Exif\0\0") * 10_001), "limit_markers"),
        "10001-comments": (insert_before(SMALL, DQT, comments), "limit_markers"),
        "10001-comments-of-progressive": (insert_before(jpeg_cases.PROGRESSIVE, DQT, comments), "limit_markers"),
        "10001-comments-between-scans": (insert_before(jpeg_cases.PROGRESSIVE, SOS, comments), "limit_markers"),
        "fill": (insert_before(SMALL, DQT, b"\xff" * (1 << 20)), None),
        "fill-before-scan": (insert_before(SMALL, SOS, b"\xff" * (1 << 20)), None),
        "fill-behind-scan": (SMALL[:-2] + b"\xff" * (1 << 20) + EOI, None),
        "fill-between-scans": (
            put_together([part for scan in take_apart(jpeg_cases.PROGRESSIVE) for part in (b"\xff" * (1 << 16), scan)]),
            None,
        ),
        "comments-behind-scan": (SMALL[:-2] + segment(COM, b"x") * 100_000 + EOI, None),
    }


@pytest.mark.parametrize("name", marker_bombs())
def test_B09_markers(examiner: Examiner, name: str) -> None:
    data, code = marker_bombs()[name]
    outcome = examiner.images({"b.jpg": data}, growth_bytes=16 << 20)
    assert outcome.codes == ({"b.jpg": code} if code else {})
    if code is not None:
        assert f"Limits.{code.removeprefix('limit_')}" in outcome.text
        assert cpu_seconds_to_refuse(data, code) < 0.5
    else:
        began = time.process_time()
        sound = SMALL if "between-scans" not in name else jpeg_cases.PROGRESSIVE
        np.testing.assert_array_equal(decode_one(data), decode_one(sound))
        assert time.process_time() - began < 0.5


def test_B09_as_many_markers_as_the_limit_allows() -> None:
    count = len(take_apart(SMALL)) + 1
    assert decode_one(SMALL, limits=Limits(markers=count)).shape == (16, 16, 3)
    with pytest.raises(LimitError, match=r"Limits\.markers") as caught:
        decode_one(SMALL, limits=Limits(markers=count - 1))
    assert caught.value.code == "limit_markers"
    # Restart markers are data.
    restarts = Picture(200, 200, restart_interval=1).to_bytes()
    assert decode_one(restarts, limits=Limits(markers=20)).shape == (200, 200, 3)


def test_B10_100_scans_of_64_megapixels_are_allowed() -> None:
    bomb = scan_bomb(100, 8000)
    began = time.process_time()
    assert decode_one(bomb, threads=1, image_size=(50, 50)).shape == (50, 50, 3)
    # 1.1 s on the machine of the figures in docs/jpeg.md.
    assert time.process_time() - began < 10


def test_B10_what_they_take_is_counted(examiner: Examiner) -> None:
    # The own decoder keeps a row of coefficients; libjpeg-turbo, which decodes what lacks a scan, keeps all.
    side = 2048
    whole = scan_bomb(883, side)
    limits = {"scans": 1000, "scan_pixels": 1 << 40}
    outcome = examiner.images({"b.jpg": whole}, growth_bytes=24 << 20, seconds=20, limits=limits, image_size=(32, 32))
    assert outcome.codes == {}
    lacking = examiner.images({"b.jpg": scan_bomb(90, side)}, growth_bytes=64 << 20, seconds=20, image_size=(32, 32))
    assert lacking.codes == {}


def test_B15_profiles_in_parts(examiner: Examiner) -> None:
    check(examiner, jpeg_cases.profiles(), growth_bytes=128 << 20)


ORIENTED = struct.pack("<HHLL", 0x0112, 3, 1, 6)


def tiff(entries: bytes, count: int, following: int = 0) -> bytes:
    return b"II*\0" + struct.pack("<LH", 8, count) + entries + struct.pack("<L", following)


def exif_bombs() -> dict[str, bytes]:
    ifd = struct.pack("<HHLL", 0x8825, 4, 1, 8)
    ratio = struct.pack("<HHLL", 0x011A, 5, 1, 26) + bytes(4)
    return {
        "ifd-past-the-end": b"II*\0" + struct.pack("<L", 0xFFFFFFFE),
        "ifd-in-the-header": b"II*\0" + struct.pack("<L", 0),
        "ifd-at-the-last-byte": b"II*\0" + struct.pack("<L", 8) + b"\1",
        "65535-entries-told": tiff(ORIENTED, 65535),
        "5000-entries-and-none": tiff(struct.pack("<HHLL", 0x010E, 2, 1, 0) * 5000, 5000),
        "5000-orientations": tiff(ORIENTED * 5000, 5000),
        "loop-without": tiff(ifd, 1, 8),
        "gps-recursion": tiff(ifd * 10, 10, 8),
        "zero-denominator": tiff(ratio, 1),
        "count-max": tiff(struct.pack("<HHLL", 0x0112, 3, 0xFFFFFFFF, 6), 1),
    }


def test_B16_exif(examiner: Examiner) -> None:
    files = {name: insert_before(jpeg_cases.PHOTO, DQT, exif(block)) for name, block in exif_bombs().items()}
    clear = {
        "loop": tiff(ORIENTED, 1, 8),
        "gps-recursion-beside": tiff(ORIENTED + struct.pack("<HHLL", 0x8825, 4, 1, 8), 2, 8),
        "zero-denominator-beside": tiff(ORIENTED + struct.pack("<HHLL", 0x011A, 5, 1, 38), 2) + bytes(8),
    }
    turned = {name: insert_before(jpeg_cases.PHOTO, DQT, exif(block)) for name, block in clear.items()}
    outcome = examiner.images(files | turned)
    assert outcome.codes == {}
    assert {outcome.delivered[name][0] for name in files} == {(40, 56, 3)}
    assert {outcome.delivered[name][0] for name in turned} == {(56, 40, 3)}
    # A PNG's and a WebP's may be as long as the file: as many entries as can be told, and each looked at.
    most = tiff(struct.pack("<HHLL", 0x010E, 2, 1, 0) * 65534 + ORIENTED, 65535)
    png, bare = (encode(picture(8, 9), "WEBP", lossless=True, **more) for more in ({"exif": most}, {}))
    assert decode_one(png).shape == (9, 8, 3)
    began = time.process_time()
    for data in [*files.values(), png] * 10:
        decode_one(data, threads=1)
    took = time.process_time() - began
    began = time.process_time()
    for data in [jpeg_cases.PHOTO] * (10 * len(files)) + [bare] * 10:
        decode_one(data, threads=1)
    assert (took - (time.process_time() - began)) / (10 * len(files)) < 0.05


def lacking_a_scan(side: int) -> bytes:
    """A progressive JPEG without its last scan: libjpeg-turbo decodes it, with all its coefficients in memory."""
    parts = take_apart(encode(np.full((side, side, 3), 90, np.uint8), "JPEG", progressive=True, quality=50))
    last = max(number for number, part in enumerate(parts) if part.code == SOS)
    return put_together(parts[:last])


WORKING_SET = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import support
from pixcrawler import load_dataset
from pixcrawler.limits import Limits

def run(path):
    options = {"image_size": 16, "decode_threads": 8, "memory_limit": "32MB", "limits": Limits(pixels=1_000_000)}
    with load_dataset(path, **options) as data:
        return sum(1 for _ in data)

run(sys.argv[2])
Path("/proc/self/clear_refs").write_text("5")
before = support.peak_bytes()
delivered = run(sys.argv[3])
print(json.dumps({"delivered": delivered, "growth": support.peak_bytes() - before}))
"""


def test_B17_500_members_at_the_limit_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Else glibc keeps some MB a thread of what was freed. It never keeps blocks above 32 MiB.
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", str(256 << 10))
    image = lacking_a_scan(1000)
    assert decode_one(image, limits=Limits(pixels=1_000_000)).shape == (1000, 1000, 3)
    one = write_zip(tmp_path / "one.zip", {"a.jpg": SMALL})
    chunk = write_zip(tmp_path / "many.zip", {f"{number:03}.jpg": image for number in range(500)})
    report = json.loads(run_child(WORKING_SET, TESTS, one, chunk))
    assert report["delivered"] == 500
    # Coefficients of two bytes, and the picture; eight at once would be 72 MB.
    working_set = 1_000_000 * 3 * (2 + 1)
    assert report["growth"] <= 32_000_000 + working_set, report


LITTLE_MEMORY = """
import json, resource, sys
from collections import Counter
sys.path.insert(0, sys.argv[1])
import numpy as np
import jpeg_builder, jpeg_cases, support
from PIL import Image
from pixcrawler import PixCrawlerError
from pixcrawler.limits import Limits

Image.MAX_IMAGE_PIXELS = None
large = np.zeros((6000, 6000, 3), np.uint8)
turn = Image.Exif()
turn[0x0112] = 6
cases = [case() for case in jpeg_cases.ALL.values()]
files = {name: entry.data for case in cases for name, entry in case.items() if len(entry.data) < 1 << 20}
parts = jpeg_builder.take_apart(support.encode(large, "JPEG", progressive=True, quality=30))
files |= {
    "large": support.encode(large, "JPEG", quality=30),
    "large-turned": support.encode(large, "JPEG", quality=30, exif=turn),
    "large-progressive": jpeg_builder.put_together(parts),
    "large-lacking-a-scan": jpeg_builder.put_together(parts[:-1]),
    "large-cmyk": support.encode(Image.new("CMYK", (6000, 6000)), "JPEG", quality=30),
    "large-png": support.encode(large, "PNG", compress_level=1),
    "large-grey-png": support.encode(large[:, :, 0], "PNG", compress_level=1),
    "long-png": support.encode(np.zeros((1, 100_000, 3), np.uint8), "PNG"),
    "longer-png": support.encode(np.zeros((1, 1 << 22, 3), np.uint8), "PNG"),
    "large-webp": support.encode(large[:4000], "WEBP", lossless=True, quality=0, method=0),
    "scan-bomb": jpeg_builder.scan_bomb(30, 8192),
    "scan-bomb-of-883": jpeg_builder.scan_bomb(883, 8192),
}
del large, parts
good = support.encode(support.picture(40, 50), "JPEG")
options = [
    {},
    {"image_size": (64, 64)},
    {"image_size": (64, 64), "resize_mode": "crop", "interpolation": "lanczos"},
    {"mode": "RGBA", "keep_truncated": True},
    {"mode": "L", "draft": True, "image_size": (100, 100)},
]
decoders = [support.make_decoder(working_bytes=1 << 40, threads=4, **option) for option in options]
items = {name: support.bare_items([data, good, data, data]) for name, data in files.items()}
expected = [decoder.decode(support.bare_items([good]), max_bytes=1 << 40)[0] for decoder in decoders]
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize:")) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)
codes, wrong = {}, []
for name, item in items.items():
    for number, decoder in enumerate(decoders):
        results = decoder.decode(item, max_bytes=1 << 40)
        neighbour = results.pop(1)
        found = {result.code if isinstance(result, PixCrawlerError) else "" for result in results}
        codes.setdefault(name, []).append(sorted(found))
        results = None
        if isinstance(neighbour, PixCrawlerError):
            if neighbour.code != "limit_memory":
                wrong.append(f"{name}: {neighbour}")
        elif not np.array_equal(neighbour, expected[number]):
            wrong.append(f"{name}: {number}")
        neighbour = None
print(json.dumps({"codes": codes, "wrong": wrong, "good": bool(np.array_equal(support.decode_one(good), expected[0]))}))
"""


def test_B18_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXCRAWLER_JPEG", "native")
    report = json.loads(run_child(LITTLE_MEMORY, TESTS, timeout_s=55))
    assert report["good"]
    assert not report["wrong"]
    codes = report["codes"]
    for name in ("large", "large-turned", "large-lacking-a-scan", "large-cmyk", "large-png", "scan-bomb"):
        assert "limit_memory" in codes[name][0], (name, codes[name])
    # Row by row the own decoder needs no whole picture.
    assert codes["large"][1:3] == codes["large-progressive"][1:3] == [[""]] * 2
    assert codes["large-lacking-a-scan"][1] == ["limit_memory"]
    assert codes["scan-bomb-of-883"] == [["limit_scans"]] * 5
    assert codes["longer-png"] == [["limit_side"]] * 5
    assert codes["long-png"] == [[""]] * 5
    assert not any("internal" in code for of_file in codes.values() for code in of_file)
