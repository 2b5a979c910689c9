"""P: PNG. Pillow is the oracle of pixels; where it has no rule, the specification or libpng is."""

from __future__ import annotations

import io
import struct
import time
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from oracle_child import digest
from pixcrawler import ImageDecodeError
from png_builder import (
    CHANNELS,
    DEPTHS,
    GREY,
    GREY_ALPHA,
    IEND,
    INDEXED,
    RGB,
    RGBA,
    chunk,
    idats,
    ihdr,
    palette,
    picture_of,
    png,
    random_samples,
    scanlines,
)
from support import assert_pixels, decode_one, encode, picture, pillow_pixels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from oracle import Examiner, Outcome

KINDS = [(color_type, depth) for color_type, depths in DEPTHS.items() for depth in depths]
SAMPLES = random_samples(7, 9, 8, RGB)
GOOD = picture_of(SAMPLES)
HEADER = ihdr(9, 7)
RAW = scanlines(SAMPLES, 8)
ROW = 1 + 9 * 3
STREAM = zlib.compress(RAW)


def plte(color_type: int, depth: int) -> list[bytes]:
    """What colour type 3 needs."""
    return [palette(1 << depth)] if color_type == INDEXED else []


def folder_of(data_dir: Path, name: str) -> Path:
    folder = data_dir / "corpus" / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


def read_folder(folder: Path, pattern: str = "**/*.png") -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.glob(pattern))}


def told(pixels: NDArray[np.uint8]) -> tuple[tuple[int, ...], str]:
    """Pixels as an outcome tells them."""
    shape, hashed = digest(pixels)
    return tuple(shape), hashed


def check_delivered(outcome: Outcome, files: dict[str, bytes], *, unopened: int = 0) -> None:
    """All files were delivered, with Pillow's pixels; Pillow refuses some of them."""
    assert not outcome.failures, outcome.failures
    refused = 0
    for name, data in files.items():
        try:
            expected = told(pillow_pixels(data))
        except (OSError, SyntaxError):
            refused += 1
            continue
        assert outcome.delivered[name] == expected, name
    assert refused == unopened


def check_refused(outcome: Outcome, files: dict[str, bytes], codes: set[str]) -> None:
    """All files were refused, each with one of the codes."""
    assert outcome.codes.keys() == files.keys()
    unexpected = {name: code for name, code in outcome.codes.items() if code not in codes}
    assert not unexpected, unexpected


class TestSuite:
    """The corpus ``png/suite``: PngSuite, and files of bugs in decoders."""

    def test_P01_all_valid_files_of_pngsuite(self, examiner: Examiner, data_dir: Path) -> None:
        files = read_folder(folder_of(data_dir, "png/suite/pngsuite"))
        files = {name: data for name, data in files.items() if not name.startswith("x")}
        assert len(files) == 161
        check_delivered(examiner.images(files, growth_bytes=32 << 20), files)

    def test_P01_the_checksums_that_the_suite_comes_with(self, data_dir: Path) -> None:
        suite = folder_of(data_dir, "png/suite")
        compared = 0
        for line in (suite / "results.txt").read_text(encoding="utf-8").splitlines():
            name, _, checksum = line.rpartition(": ")
            path = suite / name.removeprefix("tests/")
            if not path.is_file() or path.name.startswith("x") or path.name == "invalid_palette_index.png":
                continue
            data = path.read_bytes()
            depth, color_type = data[24], data[25]
            if depth == 16:  # the checksum is that of 16-bit samples
                continue
            pixels = decode_one(data, mode="RGBA", apply_exif=False)
            has_alpha = color_type in {GREY_ALPHA, RGBA} or b"tRNS" in data
            channels = [0] if color_type in {GREY, GREY_ALPHA} else [0, 1, 2]
            expanded = pixels[:, :, [*channels, 3] if has_alpha else channels]
            assert zlib.crc32(expanded.tobytes()) == int(checksum), name
            compared += 1
        assert compared >= 120

    def test_P01_files_of_bugs_in_decoders(self, examiner: Examiner, data_dir: Path) -> None:
        files = read_folder(folder_of(data_dir, "png/suite"))
        refused = {"x_", "invalid_palette_index"}
        files = {
            name: data
            for name, data in files.items()
            if not name.startswith("pngsuite/") and not any(part in name for part in refused)
        }
        assert len(files) >= 16
        check_delivered(examiner.images(files, growth_bytes=64 << 20, apply_exif=False), files, unopened=2)

    def test_P02_interlaced_files_of_pngsuite_are_the_same_pictures(self, data_dir: Path) -> None:
        files = read_folder(folder_of(data_dir, "png/suite/pngsuite"), "s*.png")
        interlaced = [name for name in files if name[3] == "i"]
        assert len(interlaced) == 18
        for name in interlaced:
            plain = decode_one(files[f"{name[:3]}n{name[4:]}"])
            np.testing.assert_array_equal(decode_one(files[name]), plain, err_msg=name)

    def test_P06_the_broken_files_of_pngsuite(self, examiner: Examiner, data_dir: Path) -> None:
        # Pillow opens xcsn0g01, whose IDAT has a wrong CRC, and some of the others; none is whole.
        files = read_folder(folder_of(data_dir, "png/suite/pngsuite"), "x*.png")
        assert len(files) == 14
        check_refused(examiner.images(files), files, {"corrupt", "truncated_image", "not_an_image", "invalid_size"})

    def test_P07_broken_files_of_other_decoders_bugs(self, examiner: Examiner, data_dir: Path) -> None:
        files = read_folder(folder_of(data_dir, "png/suite/bugfixes"))
        files = {name: data for name, data in files.items() if name.startswith(("x_", "invalid_palette"))}
        assert len(files) == 9
        check_refused(examiner.images(files), files, {"corrupt", "truncated_image", "invalid_size", "limit_pixels"})

    def test_P11_animations_give_their_default_image(self, examiner: Examiner, data_dir: Path) -> None:
        files = read_folder(folder_of(data_dir, "pillow/apng"))
        assert len(files) >= 50
        # No IDAT: Pillow refuses it, too.
        without = {"no image.png": files.pop("syntax_num_frames_zero.png")}
        check_delivered(examiner.images(files, growth_bytes=32 << 20), files, unopened=1)
        check_refused(examiner.images(without), without, {"corrupt"})


@pytest.mark.parametrize(("color_type", "depth"), KINDS)
def test_P01_every_depth_of_every_colour_type(color_type: int, depth: int) -> None:
    for seed, (height, width) in enumerate([(1, 1), (5, 3), (8, 17), (33, 40)]):
        samples = random_samples(height, width, depth, color_type, seed)
        assert_pixels(picture_of(samples, depth, color_type, before=plte(color_type, depth)))


@pytest.mark.parametrize(("color_type", "depth"), KINDS)
def test_P02_interlaced_equals_plain_at_sizes_of_1_to_9_and_32_to_40(color_type: int, depth: int) -> None:
    for side in [*range(1, 10), *range(32, 41)]:
        for height, width in ((side, side), (side, 10 - side % 9)):
            samples = random_samples(height, width, depth, color_type, side)
            plain, interlaced = (
                decode_one(
                    picture_of(samples, depth, color_type, before=plte(color_type, depth), is_interlaced=is_interlaced),
                    mode="RGBA",
                )
                for is_interlaced in (False, True)
            )
            np.testing.assert_array_equal(interlaced, plain, err_msg=f"{height} x {width}")


class TestTransparency:
    """P03."""

    @pytest.mark.parametrize("depth", DEPTHS[INDEXED])
    @pytest.mark.parametrize("entries", ["none", "one", "half", "all", "more"])
    def test_P03_palette(self, depth: int, entries: str) -> None:
        colors = 1 << depth
        count = {"none": 0, "one": 1, "half": colors // 2, "all": colors, "more": colors + 7}[entries]
        alpha = chunk(b"tRNS", bytes((37 * index + 5) % 256 for index in range(count)))
        samples = random_samples(9, 13, depth, INDEXED)
        data = picture_of(samples, depth, INDEXED, before=[palette(colors), alpha])
        # Where tRNS has more entries than the palette, those that fit count, as with Pillow (libpng drops them all);
        # more than 256, which no palette has, are dropped.
        opaque = decode_one(picture_of(samples, depth, INDEXED, before=[palette(colors)]), mode="RGBA")
        expected = opaque.copy()
        known = np.full(colors, 255, np.uint8)
        if count <= 256:
            known[: min(count, colors)] = [(37 * index + 5) % 256 for index in range(min(count, colors))]
        expected[:, :, 3] = known[samples[:, :, 0]]
        np.testing.assert_array_equal(decode_one(data, mode="RGBA"), expected)
        np.testing.assert_array_equal(decode_one(data), opaque[:, :, :3])
        if entries != "none" and count <= 256:
            assert_pixels(data)

    @pytest.mark.parametrize(("color_type", "depth"), [kind for kind in KINDS if kind[0] in {GREY, RGB}])
    def test_P03_one_colour(self, color_type: int, depth: int) -> None:
        samples = random_samples(9, 13, depth, color_type)
        # As libpng: all bits of the samples are compared, so that at 16 bits a neighbour of equal high bytes stays.
        samples[2, 3] = samples[5, 5] = samples[0, 0]
        samples[4, 4] = samples[0, 0] ^ 1
        data = picture_of(samples, depth, color_type, before=[chunk(b"tRNS", samples[0, 0].astype(">u2").tobytes())])
        pixels = decode_one(data, mode="RGBA")
        is_clear = (samples == samples[0, 0]).all(axis=2)
        np.testing.assert_array_equal(pixels[:, :, 3], np.where(is_clear, 0, 255))
        np.testing.assert_array_equal(pixels[:, :, :3], pillow_pixels(data))
        if depth in {1, 8}:  # Pillow compares with the value as stored, which is right at these depths alone
            assert_pixels(data)

    @pytest.mark.parametrize(
        ("color_type", "alpha"),
        [(GREY, b"\0"), (RGB, b"\0\0\0"), (GREY_ALPHA, b"\0\0"), (RGBA, b"\0\0\0\0\0\0"), (INDEXED, b"")],
        ids=["grey short", "rgb short", "grey alpha", "rgba", "palette empty"],
    )
    def test_P03_nonsense_is_ignored(self, color_type: int, alpha: bytes) -> None:
        samples = random_samples(5, 6, 8, color_type)
        plain = picture_of(samples, 8, color_type, before=plte(color_type, 8))
        strange = picture_of(samples, 8, color_type, before=[*plte(color_type, 8), chunk(b"tRNS", alpha)])
        np.testing.assert_array_equal(decode_one(strange, mode="RGBA"), decode_one(plain, mode="RGBA"))


@pytest.mark.parametrize("color_type", [GREY, RGB, GREY_ALPHA, RGBA])
def test_P04_of_16_bits_the_high_byte_is_taken(color_type: int) -> None:
    samples = random_samples(64, 64, 16, color_type, 4)
    samples[0, :, 0] = np.arange(64) * 1040  # every high byte, and low bytes that would be rounded up
    data = picture_of(samples, 16, color_type)
    high = (samples >> 8).astype(np.uint8)
    pixels = decode_one(data, mode="RGBA")
    if color_type in {RGB, RGBA}:
        np.testing.assert_array_equal(pixels[:, :, : CHANNELS[color_type]], high)
    else:
        np.testing.assert_array_equal(pixels[:, :, :3], np.repeat(high[:, :, :1], 3, axis=2))
    if color_type in {GREY_ALPHA, RGBA}:
        np.testing.assert_array_equal(pixels[:, :, 3], high[:, :, -1])
    assert_pixels(data)


ANCILLARY = {
    "gAMA": chunk(b"gAMA", struct.pack(">I", 45455)),
    "gAMA zero": chunk(b"gAMA", bytes(4)),
    "gAMA short": chunk(b"gAMA", b"\0"),
    "cHRM": chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
    "cHRM zero": chunk(b"cHRM", bytes(32)),
    "sRGB": chunk(b"sRGB", b"\0"),
    "sRGB intent": chunk(b"sRGB", b"\xff"),
    "iCCP no profile": chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"no profile")),
    "iCCP no zlib": chunk(b"iCCP", b"icc\0\0junk"),
    "iCCP no name": chunk(b"iCCP", b""),
    "cICP": chunk(b"cICP", bytes([9, 16, 0, 1])),
    "cICP nonsense": chunk(b"cICP", bytes([255] * 4)),
    "pHYs sBIT": chunk(b"pHYs", bytes(9)) + chunk(b"sBIT", bytes([9, 9, 9])),
    "bKGD hIST": chunk(b"bKGD", bytes(6)) + chunk(b"hIST", b"\1"),
    "tIME": chunk(b"tIME", b"\xff" * 7),
    "unknown": chunk(b"prVt", b"private"),
    "reserved bit": chunk(b"prvt", b"private"),
}


def test_P05_colour_spaces_change_no_pixel_and_bad_ones_fail_none(examiner: Examiner) -> None:
    files = {name: png(HEADER, extra, *idats(RAW), IEND) for name, extra in ANCILLARY.items()}
    files["all of them, behind the pixels too"] = png(
        HEADER, *ANCILLARY.values(), *idats(RAW), *ANCILLARY.values(), IEND
    )
    outcome = examiner.images(files)
    assert not outcome.failures, outcome.failures
    assert set(outcome.delivered.values()) == {told(decode_one(GOOD))}


INDICES = random_samples(7, 9, 2, INDEXED)
INDEXED_ROWS = idats(scanlines(INDICES, 2))
INDEXED_HEADER = ihdr(9, 7, 2, INDEXED)

BROKEN_STRUCTURE = {
    "no IHDR": png(*idats(RAW), IEND),
    "no IHDR but palette": png(palette(4), *idats(RAW), IEND),
    "IHDR twice": png(HEADER, HEADER, *idats(RAW), IEND),
    "IHDR after the pixels": png(HEADER, *idats(RAW), HEADER, IEND),
    "IHDR not first": png(chunk(b"tEXt", b"a\0b"), HEADER, *idats(RAW), IEND),
    "IHDR of 12 bytes": png(chunk(b"IHDR", HEADER[8:20]), *idats(RAW), IEND),
    "IHDR of 14 bytes": png(chunk(b"IHDR", HEADER[8:21] + b"\0"), *idats(RAW), IEND),
    "depth 3": png(ihdr(9, 7, 3), *idats(RAW), IEND),
    "depth 0": png(ihdr(9, 7, 0), *idats(RAW), IEND),
    "rgb of depth 4": png(ihdr(9, 7, 4), *idats(RAW), IEND),
    "colour type 1": png(ihdr(9, 7, 8, 1), *idats(RAW), IEND),
    "colour type 255": png(ihdr(9, 7, 8, 255), *idats(RAW), IEND),
    "compression 1": png(chunk(b"IHDR", HEADER[8:18] + b"\1\0\0"), *idats(RAW), IEND),
    "filter 1": png(chunk(b"IHDR", HEADER[8:19] + b"\1\0"), *idats(RAW), IEND),
    "interlace 2": png(chunk(b"IHDR", HEADER[8:20] + b"\2"), *idats(RAW), IEND),
    "PLTE missing": png(INDEXED_HEADER, *INDEXED_ROWS, IEND),
    "PLTE behind the pixels": png(INDEXED_HEADER, *INDEXED_ROWS, palette(4), IEND),
    "PLTE empty": png(INDEXED_HEADER, chunk(b"PLTE"), *INDEXED_ROWS, IEND),
    "PLTE of 257": png(INDEXED_HEADER, palette(257), *INDEXED_ROWS, IEND),
    "PLTE of 10 bytes": png(INDEXED_HEADER, chunk(b"PLTE", bytes(10)), *INDEXED_ROWS, IEND),
    "PLTE twice": png(INDEXED_HEADER, palette(4), palette(4), *INDEXED_ROWS, IEND),
    "palette index out of range": png(INDEXED_HEADER, palette(3), *INDEXED_ROWS, IEND),
    "palette index out of range, 8 bits": picture_of(
        np.full((3, 3, 1), 200, np.uint8), 8, INDEXED, before=[palette(200)]
    ),
    "IDAT missing": png(HEADER, IEND),
    "IDAT interrupted": png(HEADER, *idats(RAW, [20])[:1], chunk(b"tEXt", b"a\0b"), *idats(RAW, [20])[1:], IEND),
    "IDAT again": png(HEADER, *idats(RAW), chunk(b"tEXt", b"a\0b"), *idats(RAW), IEND),
    "IDAT after one empty": png(HEADER, chunk(b"IDAT"), chunk(b"tEXt", b"a\0b"), *idats(RAW), IEND),
    "IEND missing": png(HEADER, *idats(RAW)),
    "IEND of 1 byte": png(HEADER, *idats(RAW), chunk(b"IEND", b"\0")),
    "unknown critical chunk": png(HEADER, chunk(b"PRVT", b"?"), *idats(RAW), IEND),
    "unknown critical chunk behind the pixels": png(HEADER, *idats(RAW), chunk(b"PRVT"), IEND),
    "IHDR with a small letter": png(HEADER.replace(b"IHDR", b"iHDR"), *idats(RAW), IEND),
    "PLTE with a small letter": png(INDEXED_HEADER, palette(4).replace(b"PLTE", b"PLtE"), *INDEXED_ROWS, IEND),
    "IDAT with a small letter": png(HEADER, chunk(b"iDAT", STREAM), IEND),
    "name of no letters": png(HEADER, chunk(b"\0\1\2\3", b"?"), *idats(RAW), IEND),
}


def test_P07_broken_structure_is_refused(examiner: Examiner) -> None:
    outcome = examiner.images(BROKEN_STRUCTURE, growth_bytes=16 << 20)
    check_refused(outcome, BROKEN_STRUCTURE, {"corrupt", "truncated_image"})
    assert {name for name, code in outcome.codes.items() if code == "truncated_image"} == {"IEND missing"}
    for said in ("the palette has 3 colours", "expected IHDR of 13 bytes first, got", "critical chunk PRVT"):
        assert said in outcome.text


class TestChecksums:
    """P08."""

    @pytest.mark.parametrize("name", [b"IHDR", b"PLTE", b"IDAT", b"IEND"], ids=bytes.decode)
    def test_P08_of_a_critical_chunk(self, name: bytes) -> None:
        data = bytearray(png(INDEXED_HEADER, palette(4), *INDEXED_ROWS, IEND))
        assert decode_one(bytes(data)).shape == (7, 9, 3)
        at = data.index(name)
        length = int.from_bytes(data[at - 4 : at], "big")
        data[at + 4 + length] ^= 1
        with pytest.raises(ImageDecodeError, match=r"(?i)crc") as caught:
            decode_one(bytes(data))
        assert caught.value.code == "corrupt"

    def test_P08_of_an_ancillary_chunk(self) -> None:
        wrong = [chunk(b"tEXt", b"a\0b", crc=1), chunk(b"gAMA", bytes(4), crc=2), chunk(b"iCCP", b"x\0\0y", crc=3)]
        np.testing.assert_array_equal(decode_one(picture_of(SAMPLES, before=wrong)), decode_one(GOOD))

    def test_P08_what_cannot_be_trusted_is_not_used(self) -> None:
        clear = chunk(b"tRNS", SAMPLES[0, 0].astype(">u2").tobytes(), crc=1)
        turned = chunk(b"eXIf", exif_block(6), crc=1)
        plain = decode_one(GOOD, mode="RGBA")
        np.testing.assert_array_equal(decode_one(picture_of(SAMPLES, before=[clear, turned]), mode="RGBA"), plain)


def zlib_stream(raw: bytes, *, header: bytes | None = None, adler: int | None = None) -> bytes:
    """A zlib stream with another header or checksum."""
    stream = zlib.compress(raw)
    tail = stream[-4:] if adler is None else struct.pack(">I", adler)
    return (stream[:2] if header is None else header) + stream[2:-4] + tail


# RFC 1950, 2.2: method 8, a window of at most 32 KiB, no preset dictionary, both bytes a multiple of 31.
BROKEN_STREAMS = {
    "method 7": zlib_stream(RAW, header=b"\x77\x13"),
    "window of 64 KiB": zlib_stream(RAW, header=b"\x88\x1c"),
    "preset dictionary": zlib_stream(RAW, header=b"\x78\xbb"),
    "header check": zlib_stream(RAW, header=b"\x78\x9d"),
    "no zlib at all": RAW,
    "empty": b"",
    "header alone": STREAM[:2],
    "adler": zlib_stream(RAW, adler=zlib.adler32(RAW) ^ 1),
    "reserved block": b"\x78\x9c\x07" + STREAM[3:],
    "short by a row": zlib.compress(RAW[:-ROW]),
    "short by a byte": zlib.compress(RAW[:-1]),
    "cut": STREAM[: len(STREAM) // 2],
    **{f"filter {kind}": zlib.compress(scanlines(SAMPLES, 8, filter_type=kind)) for kind in (5, 6, 127, 255)},
    "filter 5 in the last row": zlib.compress(RAW[:-ROW] + b"\5" + RAW[1 - ROW :]),
}


def test_P09_broken_streams_are_refused(examiner: Examiner) -> None:
    files = {name: png(HEADER, chunk(b"IDAT", stream), IEND) for name, stream in BROKEN_STREAMS.items()}
    outcome = examiner.images(files, growth_bytes=16 << 20)
    check_refused(outcome, files, {"corrupt", "truncated_image"})


@pytest.mark.parametrize("size", [1, 100, 4_000, 300_000])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_P09_a_wrong_adler_is_found_with_the_last_pixels(size: int, level: int) -> None:
    rng = np.random.default_rng(size)
    samples = rng.integers(0, 40, (size // 100 + 1, min(size, 100), 3), dtype=np.uint8)
    height, width, _ = samples.shape
    stream = zlib.compress(scanlines(samples, 8), level)
    wrong = stream[:-1] + bytes([stream[-1] ^ 1])

    def cut_at(position: int, stream: bytes) -> bytes:
        pieces = (chunk(b"IDAT", piece) for piece in (stream[:position], stream[position:]))
        return png(ihdr(width, height), *pieces, IEND)

    for position in (len(stream), len(stream) - 6, len(stream) // 2, 0):
        np.testing.assert_array_equal(decode_one(cut_at(position, stream)), samples)
        with pytest.raises(ImageDecodeError) as caught:
            decode_one(cut_at(position, wrong))
        assert caught.value.code == "corrupt"
    # In a chunk of its own it is not read, as nothing is behind the last pixel; the chunk's CRC holds for it.
    np.testing.assert_array_equal(decode_one(cut_at(len(stream) - 4, wrong)), samples)


@pytest.mark.parametrize("length", [100, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
def test_P10_chunks_that_claim_to_run_past_the_end(examiner: Examiner, length: int) -> None:
    files = {
        f"{name.decode()} {where}": png(*chunks)
        for name in (b"IDAT", b"PLTE", b"tRNS", b"eXIf", b"tEXt", b"zTXt", b"fdAT", b"IEND", b"PRVT")
        for where, chunks in (
            ("before", (HEADER, chunk(name, b"?", length=length), *idats(RAW), IEND)),
            ("behind", (HEADER, *idats(RAW), chunk(name, b"?", length=length))),
        )
    }
    # A chunk of a hundred bytes in front of the pixels swallows some of them; the next one then begins amid them.
    check_refused(examiner.images(files, growth_bytes=8 << 20), files, {"corrupt", "truncated_image"})
    for data in files.values():
        began = time.thread_time()
        with pytest.raises(ImageDecodeError):
            decode_one(data)
        assert time.thread_time() - began < 0.1


def test_P11_nonsense_in_an_animation_costs_nothing(examiner: Examiner) -> None:
    actl = chunk(b"acTL", struct.pack(">II", 2, 0))
    frame = struct.pack(">IIIIIHHBB", 0, 9, 7, 0, 0, 1, 10, 0, 0)
    strange = {
        "no frames": [chunk(b"acTL", bytes(8))],
        "acTL short": [chunk(b"acTL", b"\0")],
        "acTL twice": [actl, actl],
        "frame outside": [actl, chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 99, 99, 50, 50, 1, 10, 0, 0))],
        "frame of 2^32": [actl, chunk(b"fcTL", b"\xff" * 26)],
        "fcTL short": [actl, chunk(b"fcTL", b"\0")],
        "fdAT first": [actl, chunk(b"fcTL", frame), chunk(b"fdAT", b"\0\0\0\1" + STREAM)],
        "fdAT short": [actl, chunk(b"fdAT", b"\0")],
        "wrong CRC": [chunk(b"acTL", bytes(8), crc=1), chunk(b"fcTL", frame, crc=2)],
    }
    files = {name: png(HEADER, *chunks, *idats(RAW), *chunks, IEND) for name, chunks in strange.items()}
    outcome = examiner.images(files)
    assert not outcome.failures, outcome.failures
    assert set(outcome.delivered.values()) == {told(decode_one(GOOD))}


def test_P12_apples_cgbi_is_named(examiner: Examiner) -> None:
    # As Xcode writes it: a chunk before IHDR, raw deflate, BGR with alpha multiplied in.
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = png(
        chunk(b"CgBI", b"\x50\0\x20\x06"), ihdr(9, 7), chunk(b"IDAT", deflate.compress(RAW) + deflate.flush()), IEND
    )
    outcome = examiner.images({"icon.png": data})
    assert outcome.codes == {"icon.png": "unsupported_format"}
    assert "CgBI" in outcome.text


def exif_block(orientation: int, order: str = "<") -> bytes:
    """A TIFF block with one entry: the orientation."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    return head + struct.pack(order + "HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)


class TestOrientation:
    """P13: the policy is that of JPEG."""

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("place", ["before", "behind"])
    def test_P13_exif(self, orientation: int, order: str, place: str) -> None:
        block = chunk(b"eXIf", exif_block(orientation, order))
        chunks = (block, *idats(RAW)) if place == "before" else (*idats(RAW), block)
        data = png(HEADER, *chunks, IEND)
        raw = Image.open(io.BytesIO(data))
        np.testing.assert_array_equal(decode_one(data), np.asarray(ImageOps.exif_transpose(raw)))
        np.testing.assert_array_equal(decode_one(data, apply_exif=False), SAMPLES)

    @pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
    def test_P13_nonsense_is_upright(self, orientation: int) -> None:
        data = picture_of(SAMPLES, before=[chunk(b"eXIf", exif_block(orientation))])
        np.testing.assert_array_equal(decode_one(data), SAMPLES)

    def test_P13_cut_anywhere_it_is_upright(self) -> None:
        block = exif_block(6)
        assert decode_one(picture_of(SAMPLES, before=[chunk(b"eXIf", block)])).shape == (9, 7, 3)
        for length in range(len(block) - 6):
            data = picture_of(SAMPLES, before=[chunk(b"eXIf", block[:length])])
            np.testing.assert_array_equal(decode_one(data), SAMPLES, err_msg=f"{length} bytes")


TRAILERS = {
    "zip": b"PK\x03\x04" + bytes(60) + b"PK\x05\x06" + bytes(18),
    "html": b"<script>alert(1)</script>",
    "another png": GOOD,
    "zeros": bytes(1 << 20),
    "a broken chunk": chunk(b"IDAT", b"?", length=1 << 31),
}


def test_P14_what_follows_the_image_is_ignored(examiner: Examiner) -> None:
    files = {name: GOOD + trailer for name, trailer in TRAILERS.items()}
    outcome = examiner.images(files)
    assert not outcome.failures, outcome.failures
    assert set(outcome.delivered.values()) == {told(decode_one(GOOD))}


@pytest.mark.parametrize(("color_type", "depth"), KINDS)
def test_P15_the_same_picture_however_its_stream_is_cut(color_type: int, depth: int) -> None:
    samples = random_samples(19, 23, depth, color_type)
    raw = scanlines(samples, depth)
    head = [ihdr(23, 19, depth, color_type), *plte(color_type, depth)]
    empty = chunk(b"IDAT")
    cut = [100_000], [1] * 4_000, [0, 1] * 2_000, [2, 0, 0, 3] * 1_000, [7, 11, 13] * 100
    ways: list[list[bytes]] = [idats(raw, sizes) for sizes in cut]
    ways.append([empty, *idats(raw), empty, empty])
    expected = decode_one(png(*head, *ways[0], IEND), mode="RGBA")
    for way in ways[1:]:
        np.testing.assert_array_equal(decode_one(png(*head, *way, IEND), mode="RGBA"), expected)


def test_P15_filters_are_undone_across_chunks() -> None:
    # What an encoder writes: all filters, cut in odd places.
    data = encode(picture(60, 50), compress_level=9)
    at = data.index(b"IDAT")
    stream = data[at + 4 : at + 4 + int.from_bytes(data[at - 4 : at], "big")]
    for sizes in ([1] * 5000, [4096], [len(stream) - 1], [0, len(stream) // 2, 0]):
        pieces: list[Any] = []
        rest = stream
        for size in sizes:
            pieces.append(chunk(b"IDAT", rest[:size]))
            rest = rest[size:]
        pieces.append(chunk(b"IDAT", rest))
        np.testing.assert_array_equal(decode_one(png(ihdr(50, 60), *pieces, IEND)), picture(60, 50))
