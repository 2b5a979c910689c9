"""B11 to B14: PNGs that claim to be huge, or grow huge."""

from __future__ import annotations

import contextlib
import struct
import time
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from oracle_child import digest
from pixcrawler import LimitError
from pixcrawler.limits import Limits
from png_builder import (
    GREY,
    IEND,
    INDEXED,
    RGB,
    chunk,
    idats,
    ihdr,
    palette,
    picture_of,
    png,
    random_samples,
    scanlines,
)
from support import bare_items, decode_one, make_decoder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from oracle import Examiner

MIB = 1 << 20
SAMPLES = random_samples(7, 9, 8, RGB)
GOOD = picture_of(SAMPLES)
RAW = scanlines(SAMPLES, 8)
PIXELS = tuple(digest(decode_one(GOOD))[0]), digest(decode_one(GOOD))[1]


def zeros(mebibytes: int, head: bytes = b"") -> bytes:
    """A zlib stream of some bytes and then many zeros, made piece by piece."""
    deflater = zlib.compressobj(9)
    pieces = [deflater.compress(head)]
    pieces += [deflater.compress(bytes(MIB)) for _ in range(mebibytes)]
    return b"".join([*pieces, deflater.flush()])


def seconds_of(data: bytes) -> float:
    """Processor time of one decode."""
    began = time.thread_time()
    with contextlib.suppress(LimitError):
        decode_one(data)
    return time.thread_time() - began


def test_B11_half_a_megabyte_of_4_gigapixels(examiner: Examiner) -> None:
    # A row is a filter byte and 8,192 bytes of indices.
    data = png(ihdr(65536, 65536, 1, INDEXED), palette(2), chunk(b"IDAT", zeros(8193 * 65536 // MIB)), IEND)
    assert 400_000 < len(data) < 600_000
    outcome = examiner.images({"b.png": data}, growth_bytes=8 * MIB)
    assert outcome.codes == {"b.png": "limit_pixels"}
    assert "65536 x 65536 is 4294967296 pixels" in outcome.text
    assert "Limits.pixels" in outcome.text
    assert seconds_of(data) < 0.2
    (probed,) = make_decoder().probe(bare_items([data]))
    assert getattr(probed, "code", None) == "limit_pixels"


TOP = (1 << 31) - 1
SIZES = {
    "one column": (1, TOP, False, "limit_pixels"),
    "one row": (TOP, 1, False, "limit_pixels"),
    "both": (TOP, TOP, False, "limit_pixels"),
    "no column": (0, 5, False, "invalid_size"),
    "no row": (5, 0, False, "invalid_size"),
    "nothing": (0, 0, False, "invalid_size"),
    "interlaced": (1 << 24, 1 << 24, True, "limit_pixels"),
    "wraps 32 bits to 0": (1 << 16, 1 << 16, False, "limit_pixels"),
    "wraps 64 bits": (TOP, TOP, True, "limit_pixels"),
    "over the format's own limit": (1 << 31, 1, False, "limit_pixels"),
    "all bits": ((1 << 32) - 1, (1 << 32) - 1, False, "limit_pixels"),
}


@pytest.mark.parametrize("color_type", [GREY, RGB, INDEXED])
def test_B12_sizes(examiner: Examiner, color_type: int) -> None:
    files = {
        name: png(
            ihdr(width, height, 8, color_type, interlaced=interlaced), palette(256), chunk(b"IDAT", zeros(1)), IEND
        )
        for name, (width, height, interlaced, _) in SIZES.items()
    }
    outcome = examiner.images(files, growth_bytes=8 * MIB)
    assert outcome.codes == {name: code for name, (*_, code) in SIZES.items()}


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1, TOP), (TOP, 1), (TOP, TOP), (1 << 24, 1 << 24)])
def test_B12_without_a_limit_of_pixels_nothing_is_allocated_either(
    examiner: Examiner, width: int, height: int, interlaced: bool
) -> None:
    data = png(ihdr(width, height, 8, RGB, interlaced=interlaced), *idats(RAW), IEND)
    limits = dict.fromkeys(("pixels", "side"), (1 << 63) - 1)
    outcome = examiner.images({"b.png": data}, growth_bytes=8 * MIB, limits=limits)
    assert outcome.codes == {"b.png": "limit_pixels" if width == height == TOP else "truncated_image"}
    assert "cannot hold a picture" in outcome.text or width == height == TOP


def test_B12_an_array_beyond_the_memory_is_refused(examiner: Examiner) -> None:
    # The stream could hold it: 12 GiB are asked for, and not had.
    data = png(ihdr(65536, 65536, 1, INDEXED), palette(2), chunk(b"IDAT", zeros(8193 * 65536 // MIB)), IEND)
    outcome = examiner.images({"b.png": data}, growth_bytes=8 * MIB, limits={"pixels": 1 << 33})
    assert outcome.codes == {"b.png": "limit_memory"}


def test_B12_files_that_image_png_once_overflowed_on(examiner: Examiner) -> None:
    # Its bug files x_issue#230: passes of an interlaced picture so wide that their row lengths overflow.
    files = {
        f"{width} x {height}, {depth} bits": png(
            ihdr(width, height, depth, GREY, interlaced=True), chunk(b"IDAT", zlib.compress(bytes(1000))), IEND
        )
        for width, height, depth in [(1 << 30, 1, 16), (1 << 27, 1, 16), (99_000_000, 1, 16), (1, 99_000_000, 1)]
    }
    outcome = examiner.images(files, growth_bytes=300 * MIB, seconds=10)
    assert set(outcome.codes) == set(files)
    assert set(outcome.codes.values()) <= {"limit_pixels", "limit_side", "corrupt", "truncated_image"}


@pytest.mark.parametrize("cut", ["one chunk", "many chunks"])
def test_B13_what_inflates_beyond_the_last_row_is_not_inflated(examiner: Examiner, cut: str) -> None:
    stream = zeros(1024, RAW)
    size = len(stream) if cut == "one chunk" else 8192
    pieces = [chunk(b"IDAT", stream[at : at + size]) for at in range(0, len(stream), size)]
    data = png(ihdr(9, 7), *pieces, IEND)
    outcome = examiner.images({"b.png": data}, growth_bytes=8 * MIB)
    assert outcome.delivered == {"b.png": PIXELS}
    # Inflating a gibibyte takes about half a second; skipping a mebibyte does not.
    assert seconds_of(data) < 0.1


def bombs() -> dict[str, bytes]:
    """Ancillary chunks that are small and inflate to a gibibyte, or are very many."""
    bomb = zeros(1024)
    text = {
        b"iCCP": b"icc\0\0" + bomb,
        b"zTXt": b"Comment\0\0" + bomb,
        b"iTXt": b"Comment\0\1\0\0\0" + bomb,
        b"eXIf": bomb,
    }
    files = {name.decode(): picture_of(SAMPLES, before=[chunk(name, body)]) for name, body in text.items()}
    files["exif as text"] = picture_of(SAMPLES, before=[chunk(b"zTXt", b"Raw profile type exif\0\0" + bomb)])
    files["behind the pixels"] = png(ihdr(9, 7), *idats(RAW), *(chunk(name, body) for name, body in text.items()), IEND)
    files["100,000 tEXt"] = picture_of(SAMPLES, before=[chunk(b"tEXt", b"a\0b")] * 100_000)
    files["100,000 tEXt behind"] = png(ihdr(9, 7), *idats(RAW), *[chunk(b"tEXt", b"a\0b")] * 100_000, IEND)
    files["100,000 empty"] = picture_of(SAMPLES, before=[chunk(b"zTXt")] * 100_000)
    return files


def test_B14_ancillary_data_is_never_inflated(examiner: Examiner) -> None:
    files = bombs()
    outcome = examiner.images(files, growth_bytes=16 * MIB)
    assert outcome.delivered == dict.fromkeys(files, PIXELS)
    for data in files.values():
        assert seconds_of(data) < 0.2


def test_B14_a_chunk_that_claims_two_gigabytes_ends_the_file(examiner: Examiner) -> None:
    # Nothing behind it can be found, not the end chunk either: a file cut short is refused even where its pixels are
    # there.
    files = {
        f"{name.decode()} {where}": png(ihdr(9, 7), *chunks)
        for name in (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf")
        for where, chunks in {
            "before": (chunk(name, b"?", length=TOP), *idats(RAW), IEND),
            "behind": (*idats(RAW), chunk(name, b"?", length=TOP)),
        }.items()
    }
    outcome = examiner.images(files, growth_bytes=16 * MIB)
    assert outcome.codes == dict.fromkeys(files, "truncated_image")


class TestChunks:
    """The limit of the chunks that make a picture."""

    @staticmethod
    def of(sizes: Iterable[int]) -> bytes:
        return png(ihdr(9, 7), *idats(RAW, sizes), IEND)

    def test_B14_chunks_of_the_picture_are_limited(self, examiner: Examiner) -> None:
        limit = Limits().png_chunks
        # IHDR, IEND and the last IDAT beside the empty ones.
        allowed, refused = self.of([0] * (limit - 3)), self.of([0] * (limit - 2))
        outcome = examiner.images({"allowed": allowed, "refused": refused})
        assert outcome.delivered == {"allowed": PIXELS}
        assert outcome.codes == {"refused": "limit_png_chunks"}
        assert "10000" in outcome.text
        assert "Limits.png_chunks" in outcome.text
        assert seconds_of(self.of([0] * 1_000_000)) < 0.5

    def test_B14_the_limit_is_the_users(self) -> None:
        data = self.of([1] * 9)
        np.testing.assert_array_equal(decode_one(data, limits=Limits(png_chunks=12)), SAMPLES)
        with pytest.raises(LimitError, match=r"Limits\.png_chunks"):
            decode_one(data, limits=Limits(png_chunks=11))

    def test_B14_skipped_chunks_do_not_count(self) -> None:
        strange = struct.pack(">I", 1)
        data = picture_of(SAMPLES, before=[chunk(b"gAMA", strange), chunk(b"tEXt", b"a\0b")] * 50)
        np.testing.assert_array_equal(decode_one(data, limits=Limits(png_chunks=3)), SAMPLES)
