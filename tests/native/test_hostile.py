"""Hostile streams, sizes and scans: refused with a typed error, before they cost memory or time."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from pixcrawler import ImageDecodeError, LimitError, load_dataset
from pixcrawler.limits import Limits
from support import (
    bare_items,
    decode_one,
    encode,
    make_decoder,
    picture,
    repair_png,
    run_child,
    write_zip,
)

TESTS = Path(__file__).resolve().parent.parent


def huge_header(height: int, width: int) -> bytes:
    """A small JPEG whose header says another size."""
    data = bytearray(encode(picture(16, 16), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def huge_png(width: int, height: int) -> bytes:
    data = bytearray(encode(picture(2, 2)))
    data[16:24] = struct.pack(">II", width, height)
    return repair_png(bytes(data))


def scan_bomb(scans: int, side: int = 2048) -> bytes:
    """A progressive JPEG with legal scans that cost time and change nothing: a DC scan, then many AC scans."""

    def segment(marker: int, body: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body

    blocks = (side // 8) ** 2
    # Tables with few codes: DC difference 0; AC end-of-block runs of 2^14 blocks and more, followed by 14 bits.
    tables = segment(0xC4, bytes([0x00, 1, *[0] * 15, 0])) + segment(0xC4, bytes([0x10, 1, *[0] * 15, 0xE0]))
    dc = segment(0xDA, bytes([1, 1, 0x00, 0, 0, 0])) + bytes(blocks // 8 + 1)
    runs = -(-blocks // (1 << 14))
    ac_bits = ("0" + "0" * 14) * runs
    ac_bits += "1" * (-len(ac_bits) % 8)
    ac_data = int(ac_bits, 2).to_bytes(len(ac_bits) // 8, "big")
    out = b"\xff\xd8" + segment(0xDB, bytes([0, *[1] * 64]))
    out += segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + bytes([1, 0x11, 0])) + tables + dc
    for number in range(scans):
        coefficient = number % 63 + 1
        out += segment(0xDA, bytes([1, 1, 0x00, coefficient, coefficient, 0x0D if number < 63 else 0xDC])) + ac_data
    return out + b"\xff\xd9"


class TestLimitsOfImages:
    @pytest.mark.parametrize(
        "data",
        [
            huge_header(65500, 65500),
            huge_header(65535, 65535),
        ],
        ids=["jpeg 65500", "jpeg 65535"],
    )
    def test_pixels_are_limited_before_any_memory_is_taken(self, data: bytes) -> None:
        began = time.perf_counter()
        with pytest.raises(LimitError, match=r"Limits\.pixels") as caught:
            decode_one(data)
        assert caught.value.code == "limit_pixels"
        assert "100000000" in caught.value.detail.replace(",", "").replace("_", "")
        assert time.perf_counter() - began < 0.5
        (probed,) = make_decoder().probe(bare_items([data]))
        assert getattr(probed, "code", None) == "limit_pixels"

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
    def test_the_limit_is_the_users(self, kind: str, tmp_path: Path) -> None:
        chunk = write_zip(tmp_path / "c.zip", {"a": encode(picture(30, 40), kind)})
        assert load_dataset(chunk, limits=Limits(pixels=1200))[0][0].shape == (30, 40, 3)
        with pytest.raises(LimitError, match=r"Limits\.pixels"):
            load_dataset(chunk, limits=Limits(pixels=1199))[0]

    def test_scans_are_limited(self) -> None:
        assert decode_one(scan_bomb(10)).shape == (2048, 2048, 3)
        for data in (scan_bomb(883), scan_bomb(883)[:-40], scan_bomb(50_000, side=16)):
            began = time.perf_counter()
            with pytest.raises(LimitError, match=r"Limits\.scans") as caught:
                decode_one(data)
            assert caught.value.code == "limit_scans"
            assert time.perf_counter() - began < 0.5

    def test_scans_times_pixels_are_limited(self) -> None:
        data = scan_bomb(10)
        with pytest.raises(LimitError, match=r"Limits\.scan_pixels"):
            decode_one(data, limits=Limits(scan_pixels=10 * 2048 * 2048))
        assert decode_one(data, limits=Limits(scan_pixels=11 * 2048 * 2048)).shape == (2048, 2048, 3)

    def test_invalid_sizes(self) -> None:
        for data in (huge_header(0, 16), huge_header(16, 0)):
            with pytest.raises(ImageDecodeError):
                decode_one(data)


def test_hostile_headers_take_no_memory() -> None:
    code = """
    import resource, sys
    sys.path.insert(0, sys.argv[1]); sys.path.insert(0, sys.argv[1] + "/native")
    import support, test_hostile as hostile
    from pixcrawler import PixCrawlerError
    support.decode_one(support.encode(support.picture(64, 64), "JPEG"))
    files = [hostile.huge_header(65500, 65500), hostile.huge_png(65536, 65536), hostile.scan_bomb(883, 4096)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in files * 20:
        try:
            support.decode_one(data)
        except PixCrawlerError:
            continue
        raise SystemExit("not refused")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    assert int(run_child(code, TESTS)) < 8 * 1024
