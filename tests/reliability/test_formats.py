"""GIF, BMP and TIFF: Pillow's pixels, hostile files of all three, and formats that are named but not decoded."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import warnings
import zlib
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from PIL import Image, ImageOps

from image_builders import (
    DEFLATE,
    JPEG,
    LZW,
    PACK_BITS,
    RAW,
    bmp,
    control,
    gif,
    gif_frame,
    lzw,
    packed_rows,
    sub_blocks,
    tiff,
)
from pixcrawler import PixCrawlerError, UnsupportedImageError
from pixcrawler.limits import Limits
from support import assert_pixels, decode_one, encode, picture, pillow_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from oracle import Examiner

MIB = 1 << 20
RNG = np.random.default_rng(17)
COLORS = RNG.integers(0, 256, (256, 3), dtype=np.uint8)


def in_mode(mode: str) -> Image.Image:
    """The same picture in each of Pillow's modes."""
    image = Image.fromarray(picture(37, 45))
    if mode == "P":
        return image.quantize(61)
    if mode == "I;16":
        return Image.fromarray((picture(37, 45, channels=1).astype(np.uint16) << 8) | 0xA5)
    if mode in {"RGBA", "LA"}:
        return Image.fromarray(picture(37, 45, channels=4)).convert(mode)
    if mode == "CMYK":
        return Image.fromarray(picture(37, 45, channels=4), "CMYK")
    return image.convert(mode)


MODES = ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "LA", "YCbCr")
COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "jpeg")


def written() -> dict[str, bytes]:
    """What Pillow writes of each mode in each format."""
    files = {}
    for mode in MODES:
        image = in_mode(mode)
        for kind in ("GIF", "BMP"):
            # A mode that the format does not have.
            with contextlib.suppress(OSError, ValueError):
                files[f"{kind} {mode}"] = encode(image, kind)
        for compression in COMPRESSIONS:
            if compression != "jpeg" or mode not in {"1", "P", "I;16"}:
                files[f"TIFF {mode} {compression}"] = encode(image, "TIFF", compression=compression)
    return files


WRITTEN = written()
# TIFFs that Pillow writes and that are refused.
REFUSED = {f"TIFF {mode} jpeg" for mode in ("RGBA", "CMYK", "LA")} | {
    f"TIFF YCbCr {compression}" for compression in COMPRESSIONS if compression != "jpeg"
}


@pytest.mark.parametrize("name", [name for name in WRITTEN if name not in REFUSED])
def test_what_pillow_writes(name: str) -> None:
    assert_pixels(WRITTEN[name])


def test_all_of_it_is_delivered_or_named(examiner: Examiner) -> None:
    outcome = examiner.images(WRITTEN, growth_bytes=16 * MIB)
    assert outcome.codes == dict.fromkeys(sorted(REFUSED & set(WRITTEN), key=list(WRITTEN).index), "unsupported_format")
    assert len(outcome.delivered) >= 50


class TestGif:
    indices = RNG.integers(0, 16, (23, 31), dtype=np.uint8)

    @pytest.mark.parametrize("bits", range(2, 9))
    @pytest.mark.parametrize("interlaced", [False, True])
    def test_bits_and_interlacing(self, bits: int, interlaced: bool) -> None:
        indices = RNG.integers(0, 1 << bits, (23, 31), dtype=np.uint8)
        frame = gif_frame(indices, bits=bits, interlaced=interlaced)
        data = gif(31, 23, frame, colors=COLORS[: 1 << bits])
        np.testing.assert_array_equal(decode_one(data), COLORS[indices])
        assert_pixels(data)

    @pytest.mark.parametrize("height", range(1, 10))
    def test_interlaced_pictures_of_few_rows(self, height: int) -> None:
        indices = RNG.integers(0, 16, (height, 3), dtype=np.uint8)
        data = gif(3, height, gif_frame(indices, bits=4, interlaced=True), colors=COLORS[:16])
        np.testing.assert_array_equal(decode_one(data), COLORS[indices])

    @pytest.mark.parametrize("transparent", [None, 0, 3, 15, 200])
    @pytest.mark.parametrize(
        ("screen", "place"),
        [((31, 23), (0, 0)), ((40, 30), (5, 4)), ((20, 20), (0, 0)), ((31, 23), (7, 9)), ((0, 0), (2, 0))],
        ids=["whole", "smaller", "larger", "overhanging", "no screen"],
    )
    @pytest.mark.parametrize("interlaced", [False, True])
    def test_frames_on_the_canvas(
        self, screen: tuple[int, int], place: tuple[int, int], transparent: int | None, interlaced: bool
    ) -> None:
        frame = gif_frame(self.indices, left=place[0], top=place[1], bits=4, interlaced=interlaced)
        blocks = (frame,) if transparent is None else (control(transparent), frame)
        assert_pixels(gif(*screen, *blocks, colors=COLORS[:16], background=9))

    def test_colour_tables(self) -> None:
        greys = np.repeat(np.arange(16, dtype=np.uint8)[:, None], 3, axis=1)
        for name, data in {
            "local": gif(31, 23, gif_frame(self.indices, bits=4, colors=COLORS[:16])),
            "both": gif(31, 23, gif_frame(self.indices, bits=4, colors=COLORS[:16]), colors=COLORS[100:116]),
            "none": gif(31, 23, gif_frame(self.indices, bits=4)),
            "greys": gif(31, 23, gif_frame(self.indices, bits=4), colors=greys),
            "too short": gif(31, 23, gif_frame(self.indices, bits=4), colors=COLORS[:8]),
            "greys, transparent": gif(31, 23, control(7), gif_frame(self.indices, bits=4)),
        }.items():
            assert_pixels(data, name)
        # Pillow takes a local table of plain greys for none, and shows the global one's colours.
        data = gif(31, 23, gif_frame(self.indices, bits=4, colors=greys), colors=COLORS[:16])
        np.testing.assert_array_equal(decode_one(data), greys[self.indices])

    def test_blocks_before_the_picture(self) -> None:
        frame = gif_frame(self.indices, bits=4)
        comment = b"!\xfe" + sub_blocks(b"x" * 700)
        for name, blocks in {
            "comment": [comment],
            "application": [b"!\xff" + sub_blocks(b"NETSCAPE2.0")[:-1] + sub_blocks(b"\1\0\0")],
            "text": [b"!\x01" + sub_blocks(b"text")],
            "unknown": [b"!\x42" + sub_blocks(bytes(300))],
            "two controls": [control(3), control(5)],
            "a control that says nothing behind one that does": [control(3), control(None)],
            "junk": [b"\0\0\x99"],
        }.items():
            assert_pixels(gif(31, 23, *blocks, frame, colors=COLORS[:16]), name)

    def test_an_animation_gives_its_first_frame(self) -> None:
        frames = [Image.fromarray(picture(37, 45, seed)) for seed in range(4)]
        for disposal in range(4):
            data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=40, disposal=disposal)
            assert_pixels(data)
            # What comes behind the first frame is not read.
            second = data.index(b"!\xf9", data.index(b"!\xf9") + 1)
            np.testing.assert_array_equal(decode_one(data[: second + 20]), decode_one(data))

    def test_what_is_broken_is_refused(self, examiner: Examiner) -> None:
        colors = COLORS[:16]
        frame = gif_frame(self.indices, bits=4)
        start = len(gif(31, 23, colors=colors)) - 1
        # Screen, descriptor and code size are sound, and then the pixels are not.
        head = gif(31, 23, colors=colors)[:-1] + frame[:11]
        codes = lzw(self.indices.ravel().tolist(), 4)
        files = {
            "no picture": gif(31, 23, colors=colors),
            "nothing": gif(31, 23)[:13],
            "no width": gif(0, 5, gif_frame(np.zeros((5, 0), np.uint8)), colors=colors),
            "no height": gif(5, 0, gif_frame(np.zeros((0, 5), np.uint8)), colors=colors),
            "codes of 0 bits": gif(31, 23, frame[:10] + b"\0" + frame[11:], colors=colors),
            "codes of 12 bits": gif(31, 23, frame[:10] + b"\x0c" + frame[11:], colors=colors),
            "no pixels": head + b"\0;",
            "half of the pixels": head + sub_blocks(codes[: len(codes) // 2]) + b";",
            "an end code in the middle": head + sub_blocks(lzw(self.indices.ravel()[:99].tolist(), 4)) + b";",
            "codes that are not known yet": head + sub_blocks(b"\xf0" * len(codes)) + b";",
            "cut in the table": gif(31, 23, frame, colors=colors)[: start - 5],
            "cut in the pixels": gif(31, 23, frame, colors=colors)[:-40],
        }
        outcome = examiner.images(files, growth_bytes=8 * MIB)
        assert outcome.codes.keys() == files.keys()
        assert set(outcome.codes.values()) == {"corrupt", "truncated_image", "invalid_size"}
        assert outcome.codes["no width"] == outcome.codes["no height"] == "invalid_size"
        assert outcome.codes["cut in the pixels"] == "truncated_image"


class TestBmp:
    @pytest.mark.parametrize("bits", [1, 4, 8])
    @pytest.mark.parametrize("header", [12, 40, 52, 56, 64, 108, 124])
    @pytest.mark.parametrize("width", [1, 2, 7, 8, 31, 33])
    def test_palettes(self, bits: int, header: int, width: int) -> None:
        indices = RNG.integers(0, 1 << bits, (9, width), dtype=np.uint8)
        colors = COLORS[: 1 << bits]
        data = bmp(width, 9, bits, packed_rows(indices, bits, 4), palette=colors, header=header)
        np.testing.assert_array_equal(decode_one(data), colors[indices[::-1]])
        assert_pixels(data)

    @pytest.mark.parametrize("bits", [1, 4, 8, 16, 24, 32])
    @pytest.mark.parametrize("is_top_down", [False, True])
    @pytest.mark.parametrize("padding", [True, False])
    def test_rows(self, bits: int, is_top_down: bool, padding: bool) -> None:
        values = RNG.integers(0, 1 << min(bits, 16), (11, 13 * max(bits // 8, 1) // (2 if bits == 16 else 1)))
        rows = packed_rows(values, min(bits, 8) if bits != 16 else 16, 4)
        length = len(rows) // 11 * 10 + -(-13 * bits // 8)
        colors = COLORS[: 1 << bits] if bits <= 8 else None
        data = bmp(13, -11 if is_top_down else 11, bits, rows if padding else rows[:length], palette=colors)
        assert decode_one(data).shape == (11, 13, 3)
        assert_pixels(data)

    @pytest.mark.parametrize(
        ("bits", "masks"),
        [
            (16, (0xF800, 0x7E0, 0x1F)),
            (16, (0x7C00, 0x3E0, 0x1F)),
            (24, (0xFF0000, 0xFF00, 0xFF)),
            (32, (0xFF0000, 0xFF00, 0xFF, 0x0)),
            (32, (0xFF000000, 0xFF0000, 0xFF00, 0x0)),
            (32, (0xFF000000, 0xFF00, 0xFF, 0x0)),
            (32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
            (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
            (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
            (32, (0xFF000000, 0xFF00, 0xFF, 0xFF0000)),
            (32, (0, 0, 0, 0)),
        ],
    )
    @pytest.mark.parametrize("header", [40, 52, 56, 108, 124])
    def test_bit_fields(self, bits: int, masks: tuple[int, ...], header: int) -> None:
        if header < 56:
            if len(masks) == 4 and masks[3]:
                masks = (0xFF0000, 0xFF00, 0xFF)
            masks = masks[:3]
        data = RNG.bytes(11 * (-(-13 * bits // 8) + 3 & ~3))
        assert_pixels(bmp(13, 11, bits, data, compression=3, masks=masks, header=header))

    @pytest.mark.parametrize("bits", [4, 8])
    @pytest.mark.parametrize("is_top_down", [False, True])
    @pytest.mark.parametrize("offset", [0, 1], ids=["even", "odd"])
    def test_run_lengths(self, bits: int, is_top_down: bool, offset: int) -> None:
        width, height = 13, 9
        rng = np.random.default_rng(bits)
        colors = COLORS[: 1 << bits]
        stream = bytearray()
        for row in range(height):
            left = width
            while left:
                count = int(rng.integers(1, min(left, 7) + 1))
                if count >= 3 and rng.integers(2):
                    values = rng.bytes(count if bits == 8 else (count + 1) // 2)
                    stream += bytes([0, count]) + values
                    if (len(stream) + 14 + 40 + 4 * len(colors) + offset) % 2:
                        stream += b"\0"
                else:
                    stream += bytes([count, int(rng.integers(0, 256))])
                left -= count
            if row == 3:
                stream += b"\0\2\5\1"  # a step to the right and a row up
                stream += b"\0\0"
            else:
                stream += b"\0\0"
        stream += b"\0\1"
        data = bmp(
            width,
            -height if is_top_down else height,
            bits,
            bytes(offset) + bytes(stream),
            compression=1 if bits == 8 else 2,
            palette=colors,
            offset=14 + 40 + 4 * len(colors) + offset,
        )
        assert_pixels(data)

    def test_odd_headers(self) -> None:
        indices = RNG.integers(0, 16, (9, 14), dtype=np.uint8)
        rows = packed_rows(indices, 8, 4)
        for name, data in {
            "few colours": bmp(14, 9, 8, rows, palette=COLORS[:16]),
            "fewer than are used": bmp(14, 9, 8, rows, palette=COLORS[:10]),
            "no offset": bmp(14, 9, 8, rows, palette=COLORS[:16], offset=0),
            "an offset that forgets the palette": bmp(14, 9, 8, rows, palette=COLORS[:16], offset=54),
            "a gap": bmp(14, 9, 8, bytes(50) + rows, palette=COLORS[:16], offset=54 + 64 + 50),
            "greys": bmp(14, 9, 8, rows, palette=np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)),
            "more behind": bmp(14, 9, 8, rows, palette=COLORS[:16]) + b"more",
        }.items():
            assert_pixels(data, name)

    def test_what_is_broken_is_refused(self, examiner: Examiner) -> None:
        rows = packed_rows(RNG.integers(0, 16, (9, 14), dtype=np.uint8), 8, 4)
        good = bmp(14, 9, 8, rows, palette=COLORS[:16])
        files = {
            "no width": (bmp(0, 9, 8, rows), "invalid_size"),
            "no height": (bmp(14, 0, 8, rows), "invalid_size"),
            "negative width": (bmp(0, 9, 8, rows).replace(bytes(4) + b"\t", b"\xf2\xff\xff\xff\t"), "limit_pixels"),
            "2 bits": (bmp(14, 9, 2, rows), "unsupported_format"),
            "64 bits": (bmp(14, 9, 64, rows), "unsupported_format"),
            "a jpeg inside": (bmp(14, 9, 0, rows, compression=4), "unsupported_format"),
            "a png inside": (bmp(14, 9, 0, rows, compression=5), "unsupported_format"),
            "strange bit fields": (bmp(14, 9, 32, rows * 9, compression=3, masks=(7, 56, 448)), "unsupported_format"),
            "a header of 41 bytes": (good[:14] + b"\x29" + good[15:], "unsupported_format"),
            "a million colours": (bmp(14, 9, 8, rows, colors=1_000_000), "unsupported_format"),
            "cut by a byte": (good[:-3], "truncated_image"),
            "cut in the header": (good[:30], "truncated_image"),
            "pixels past the end": (good[:10] + b"\xff\xff\xff\x7f" + good[14:], "truncated_image"),
            "runs that end early": (
                bmp(14, 9, 8, b"\5\1\0\1", compression=1, palette=COLORS),
                "corrupt",
            ),
            "runs that are cut": (bmp(14, 9, 8, b"\5\1", compression=1, palette=COLORS), "truncated_image"),
        }
        outcome = examiner.images({name: data for name, (data, _) in files.items()}, growth_bytes=8 * MIB)
        assert outcome.codes == {name: code for name, (_, code) in files.items()}


# Bits, photometric interpretation, samples, extra samples.
LAYOUTS = [
    *((bits, photometric, 1, ()) for bits in (1, 2, 4, 8) for photometric in (0, 1, 3)),
    (16, 1, 1, ()),
    (8, 1, 2, (2,)),
    *((bits, 2, 3, ()) for bits in (8, 16)),
    *((bits, 2, 4, extra) for bits in (8, 16) for extra in ((), (0,), (2,))),
    *((8, 2, 4, extra) for extra in ((1,), (999,))),
    *((8, 2, 5, (first, 0)) for first in (0, 1, 2)),
    *((8, 2, 6, (first, 0, 0)) for first in (0, 1, 2)),
    *((bits, 5, 4, ()) for bits in (8, 16)),
    (8, 5, 5, (0,)),
    (8, 5, 6, (0, 0)),
]


def samples_of(bits: int, channels: int, height: int = 37, width: int = 45) -> NDArray[np.integer]:
    """Noise beside a plain part, so that compression has something to do."""
    dtype = np.uint16 if bits == 16 else np.uint8
    samples = np.random.default_rng(bits).integers(0, 1 << bits, (height, width, channels), dtype=dtype)
    samples[: height // 2, : width // 2] = samples[0, 0]
    return samples


def palette_of(bits: int, photometric: int) -> dict[int, tuple[int, list[int]]]:
    """The colour map, where there is one."""
    values = np.random.default_rng(3).integers(0, 65536, 3 << bits) if photometric == 3 else []
    return {320: (3, [int(value) for value in values])} if photometric == 3 else {}


class TestTiff:
    @pytest.mark.parametrize("compression", [RAW, LZW, DEFLATE, 32946, PACK_BITS])
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize(("bits", "photometric", "channels", "extra"), LAYOUTS)
    def test_layouts(
        self, compression: int, order: str, bits: int, photometric: int, channels: int, extra: tuple[int, ...]
    ) -> None:
        samples = samples_of(bits, channels)
        more = palette_of(bits, photometric)
        for cut in ({}, {"rows": 5}, {"tile": (16, 32)}):
            data = tiff(samples, bits, photometric, compression=compression, order=order, extra=extra, more=more, **cut)
            assert_pixels(data, str(cut))

    @pytest.mark.parametrize("compression", [LZW, DEFLATE])
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize(("bits", "channels"), [(8, 1), (16, 1), (8, 3), (16, 3)])
    def test_the_predictor(self, compression: int, order: str, bits: int, channels: int) -> None:
        samples = samples_of(bits, channels)
        for cut in ({}, {"rows": 7}, {"tile": (32, 16)}):
            photometric = 1 if channels == 1 else 2
            data = tiff(samples, bits, photometric, compression=compression, order=order, predictor=2, **cut)
            high = (samples >> (bits - 8)).astype(np.uint8)
            np.testing.assert_array_equal(decode_one(data), np.broadcast_to(high, (37, 45, 3)))
            assert_pixels(data, str(cut))

    @pytest.mark.parametrize("compression", [RAW, LZW, DEFLATE, PACK_BITS])
    @pytest.mark.parametrize(("photometric", "channels", "extra"), [(2, 3, ()), (2, 4, (2,)), (5, 4, ())])
    def test_planes(self, compression: int, photometric: int, channels: int, extra: tuple[int, ...]) -> None:
        for cut in ({}, {"rows": 5}, {"tile": (16, 32)}):
            samples = samples_of(8, channels)
            predictors = (1, 2) if compression in {LZW, DEFLATE} else (1,)
            for predictor in predictors:
                assert_pixels(
                    tiff(
                        samples,
                        8,
                        photometric,
                        compression=compression,
                        planar=True,
                        predictor=predictor,
                        extra=extra,
                        **cut,
                    ),
                    str(cut),
                )

    @pytest.mark.parametrize("mode", ["L", "RGB", "YCbCr"])
    @pytest.mark.parametrize("quality", [30, 75, 95])
    def test_jpeg_strips(self, mode: str, quality: int) -> None:
        for height, width in ((37, 45), (8, 8), (200, 300), (1, 1)):
            image = Image.fromarray(picture(height, width)).convert(mode)
            assert_pixels(encode(image, "TIFF", compression="jpeg", quality=quality))
            # Several strips share the tables.
            assert_pixels(encode(image, "TIFF", compression="jpeg", quality=quality, strip_size=4096))

    @pytest.mark.parametrize("orientation", range(10))
    @pytest.mark.parametrize("compression", [RAW, DEFLATE])
    def test_orientations(self, orientation: int, compression: int) -> None:
        samples = samples_of(8, 3)
        data = tiff(samples, compression=compression, more={274: (3, [orientation])})
        # Pillow itself turns a TIFF as it loads it.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        np.testing.assert_array_equal(decode_one(data), expected)
        turned = ImageOps.exif_transpose(with_orientation(Image.fromarray(samples), orientation))
        np.testing.assert_array_equal(decode_one(data), np.asarray(turned))
        np.testing.assert_array_equal(decode_one(data, apply_exif=False), samples)

    def test_the_first_of_several_pictures(self) -> None:
        frames = [Image.fromarray(picture(21, 33, seed)) for seed in range(3)]
        assert_pixels(encode(frames[0], "TIFF", save_all=True, append_images=frames[1:]))

    def test_tags_that_may_lack(self) -> None:
        grey, rgb = samples_of(8, 1), samples_of(8, 3)
        for name, data in {
            "no rows per strip": tiff(rgb, without=[278]),
            "rows per strip without end": tiff(rgb, more={278: (4, [(1 << 32) - 1])}),
            "no planar configuration": tiff(rgb, without=[284]),
            "no compression": tiff(rgb, without=[259]),
            "no photometric interpretation": tiff(grey, 8, 1, without=[262]),
            "one size for all samples": tiff(rgb, more={258: (3, [8])}),
            "lengths that are wrong, of raw strips": tiff(rgb, rows=5, more={279: (4, [1] * 8)}),
            "no samples per pixel": tiff(grey, 8, 1, without=[277]),
            "sizes as long": tiff(rgb, more={257: (4, [37])}),
            "unknown tags": tiff(rgb, more={65000: (1, [1, 2, 3, 4, 5]), 700: (1, [0] * 50)}),
        }.items():
            assert_pixels(data, name)

    UNSUPPORTED: ClassVar[dict[str, tuple[bytes, str]]] = {
        "bigtiff": (b"II+\0\x08\0\0\0" + bytes(40), "BigTIFF"),
        "fax": (tiff(samples_of(1, 1), 1, 1, more={259: (3, [4])}), "fax compression 4"),
        "old jpeg": (tiff(samples_of(8, 3), more={259: (3, [6])}), "old JPEG"),
        "zstd": (tiff(samples_of(8, 3), more={259: (3, [50000])}), "compression 50000"),
        "floats": (tiff(samples_of(8, 3), more={339: (3, [3])}), "no whole numbers"),
        "signed": (tiff(samples_of(8, 3), more={339: (3, [2, 2, 2])}), "no whole numbers"),
        "lowest bit first": (tiff(samples_of(8, 3), more={266: (3, [2])}), "lowest bit first"),
        "float predictor": (tiff(samples_of(8, 3), compression=LZW, more={317: (3, [3])}), "predictor 3"),
        "predictor of 4 bits": (tiff(samples_of(4, 1), 4, 1, compression=LZW, more={317: (3, [2])}), "predictor 2"),
        "CIELAB": (tiff(samples_of(8, 3), 8, 8), "photometric interpretation 8"),
        "YCbCr": (tiff(samples_of(8, 3), 8, 6), "YCbCr that is not compressed as JPEG"),
        "different sizes": (tiff(samples_of(8, 3), more={258: (3, [8, 8, 4])}), "different sizes"),
        "12 bits": (tiff(samples_of(8, 1), 8, 1, more={258: (3, [12])}), "1 samples of 12 bits"),
        "white is zero of 16 bits": (tiff(samples_of(16, 1), 16, 0), "photometric interpretation 0"),
        "planes of 16 bits": (tiff(samples_of(16, 3), 16, planar=True), "3 planes of 16 bits"),
        "multiplied grey": (tiff(samples_of(8, 2), 8, 1, extra=(1,)), "extra samples [1]"),
        "7 samples": (tiff(samples_of(8, 7), extra=(0, 0, 0, 0)), "7 samples"),
        "cmyk as jpeg": (WRITTEN["TIFF CMYK jpeg"], "JPEG compression of other than"),
    }

    def test_what_is_not_decoded_says_what_it_was(self, examiner: Examiner) -> None:
        files = {name: data for name, (data, _) in self.UNSUPPORTED.items()}
        outcome = examiner.images(files, growth_bytes=8 * MIB)
        assert outcome.codes == dict.fromkeys(files, "unsupported_format")
        reasons = {failure.member: failure.reason for failure in outcome.failures}
        for name, (_, said) in self.UNSUPPORTED.items():
            assert said in reasons[name], reasons[name]
            assert "TIFF" in reasons[name]

    def test_what_is_broken_is_refused(self, examiner: Examiner) -> None:
        rgb = samples_of(8, 3)
        good = tiff(rgb, compression=DEFLATE, rows=5)
        files = {
            "no directory": (b"II*\0" + bytes(4), "truncated_image"),
            "directory past the end": (b"II*\0\xff\xff\xff\x7f", "truncated_image"),
            "65,535 entries": (b"II*\0\x08\0\0\0\xff\xff" + bytes(100), "truncated_image"),
            "no width": (tiff(rgb, without=[256]), "corrupt"),
            "width 0": (tiff(rgb, more={256: (4, [0])}), "invalid_size"),
            "width as a fraction": (tiff(rgb, more={256: (1, [])}), "corrupt"),
            "no strips": (tiff(rgb, without=[273]), "corrupt"),
            "too few strips": (tiff(rgb, rows=5, more={273: (4, [8])}), "corrupt"),
            "too many strips": (tiff(rgb, rows=5, more={278: (4, [37])}), "corrupt"),
            "strips of no row": (tiff(rgb, more={278: (4, [0])}), "corrupt"),
            "tiles of no pixel": (tiff(rgb, tile=(16, 16), more={322: (3, [0])}), "corrupt"),
            "tiles of 17": (tiff(rgb, tile=(16, 16), more={322: (3, [17])}), "corrupt"),
            "strips past the end": (tiff(rgb, more={273: (4, [1 << 31])}), "truncated_image"),
            "strips that share their bytes": (
                tiff(rgb, compression=DEFLATE, rows=5, more={279: (4, [len(good)] * 8)}),
                "corrupt",
            ),
            "half of a strip": (tiff(rgb, compression=DEFLATE, more={279: (4, [900])}), "truncated_image"),
            "no zlib": (tiff(rgb, more={259: (3, [DEFLATE])}), "corrupt"),
            "no lzw": (tiff(rgb, more={259: (3, [LZW])}), "corrupt"),
            "no colour map": (tiff(samples_of(8, 1), 8, 3), "corrupt"),
            "a short colour map": (tiff(samples_of(8, 1), 8, 3, more={320: (3, [1] * 767)}), "corrupt"),
            "no jpeg": (tiff(rgb, 8, 6, more={259: (3, [JPEG])}), "corrupt"),
        }
        outcome = examiner.images({name: data for name, (data, _) in files.items()}, growth_bytes=8 * MIB)
        assert outcome.codes == {name: code for name, (_, code) in files.items()}


def with_orientation(image: Image.Image, orientation: int) -> Image.Image:
    """A picture that says how it is to be turned."""
    image.getexif()[0x0112] = orientation
    return image


class TestSizes:
    """Sizes that are only declared."""

    GIANTS: ClassVar[dict[str, bytes]] = {
        "gif screen": gif(65535, 65535, gif_frame(np.zeros((2, 2), np.uint8)), colors=COLORS),
        "gif frame": gif(1, 1, gif_frame(np.zeros((2, 2), np.uint8), left=65535, top=65535), colors=COLORS),
        "bmp": bmp(1 << 30, 1 << 30, 24, bytes(100)),
        "bmp top-down": bmp(1 << 30, -(1 << 23), 24, bytes(100)),
        "bmp core": bmp(65535, 65535, 1, bytes(100), header=12),
        "bmp runs": bmp(1 << 30, 1 << 30, 8, b"\0\2\xff\xff" * 100, compression=1, palette=COLORS),
        "tiff": tiff(samples_of(8, 3), more={256: (4, [(1 << 32) - 1]), 257: (4, [(1 << 32) - 1])}),
        "tiff tile": tiff(samples_of(8, 3), tile=(16, 16), more={322: (4, [1 << 31]), 323: (4, [1 << 31])}),
    }

    def test_more_pixels_than_the_limit(self, examiner: Examiner) -> None:
        outcome = examiner.images(self.GIANTS, growth_bytes=8 * MIB)
        assert outcome.codes == dict.fromkeys(self.GIANTS, "limit_pixels")
        assert "Limits.pixels" in outcome.text

    def test_fewer_bytes_than_the_pixels_take(self, examiner: Examiner) -> None:
        # Within the limit of pixels, but no file of these sizes holds them: nothing is allocated for them.
        indices = np.zeros((2, 2), np.uint8)
        side = {256: (4, [9999]), 257: (4, [9999]), 278: (4, [9999])}
        frame = gif_frame(indices)
        files = {
            "gif": gif(9999, 9999, frame[:5] + struct.pack("<HH", 9999, 9999) + frame[9:], colors=COLORS),
            "bmp": bmp(9999, 9999, 24, bytes(1000)),
            "tiff raw": tiff(samples_of(8, 3), more=side),
            "tiff lzw": tiff(samples_of(8, 3), compression=LZW, more=side),
            "tiff deflate": tiff(samples_of(8, 3), compression=DEFLATE, more=side),
            "tiff packbits": tiff(samples_of(8, 3), compression=PACK_BITS, more=side),
        }
        outcome = examiner.images(files, growth_bytes=8 * MIB)
        assert outcome.codes == dict.fromkeys(files, "truncated_image")

    def test_no_limit_of_pixels(self, examiner: Examiner) -> None:
        outcome = examiner.images(self.GIANTS, growth_bytes=8 * MIB, limits={"pixels": (1 << 63) - 1})
        assert outcome.codes.keys() == self.GIANTS.keys()
        assert set(outcome.codes.values()) <= {"limit_pixels", "limit_memory", "truncated_image", "corrupt"}

    def test_a_million_strips(self, examiner: Examiner) -> None:
        side = {256: (4, [1]), 257: (4, [1_000_000]), 278: (4, [1])}
        data = tiff(samples_of(8, 3), more={**side, 273: (4, [8] * 1_000_000), 279: (4, [3] * 1_000_000)})
        outcome = examiner.images({"strips": data}, growth_bytes=16 * MIB, limits={"side": 1 << 20})
        assert outcome.codes == {"strips": "unsupported_format"}
        assert "1000000 strips" in outcome.text

    def test_strips_that_inflate_to_more_than_their_pixels(self, examiner: Examiner) -> None:
        raw = zlib.compress(bytes(256 * MIB), 9)
        samples = np.zeros((37, 45, 3), np.uint8)
        small = bytearray(tiff(samples, compression=DEFLATE))
        place = len(small)
        data = tiff(samples, compression=DEFLATE, more={273: (4, [place + 1000]), 279: (4, [len(raw)])})
        data = data.ljust(place + 1000, b"\0") + raw
        outcome = examiner.images({"bomb": data}, growth_bytes=8 * MIB)
        assert list(outcome.delivered) == ["bomb"]
        began = time.thread_time()
        np.testing.assert_array_equal(decode_one(data), samples)
        assert time.thread_time() - began < 0.1


def samples_to_break() -> dict[str, bytes]:
    """One good file of each kind that is decoded in a way of its own."""
    rgb = samples_of(8, 3, 21, 33)
    indices = RNG.integers(0, 16, (21, 33), dtype=np.uint8)
    runs = b"".join(bytes([33, row]) + b"\0\0" for row in range(21)) + b"\0\1"
    return {
        "gif": encode(Image.fromarray(picture(21, 33)), "GIF"),
        "gif interlaced": gif(
            40, 30, control(2), gif_frame(indices, left=3, top=4, bits=4, interlaced=True), colors=COLORS[:16]
        ),
        "bmp": bmp(33, 21, 8, packed_rows(indices, 8, 4), palette=COLORS[:16]),
        "bmp rgb": encode(picture(21, 33), "BMP"),
        "bmp runs": bmp(33, 21, 8, runs, compression=1, palette=COLORS),
        "bmp fields": bmp(
            9, 9, 32, RNG.bytes(9 * 36), compression=3, masks=(255, 255 << 8, 255 << 16, 255 << 24), header=124
        ),
        "tiff": tiff(rgb, rows=4),
        "tiff lzw": tiff(rgb, compression=LZW, predictor=2, rows=4),
        "tiff deflate": tiff(rgb, compression=DEFLATE, tile=(16, 16), order=">"),
        "tiff packbits": tiff(samples_of(1, 1, 21, 33), 1, 0, compression=PACK_BITS),
        "tiff planes": tiff(rgb, compression=DEFLATE, planar=True),
        "tiff palette": tiff(samples_of(4, 1, 21, 33), 4, 3, compression=LZW, more=palette_of(4, 3)),
        "tiff jpeg": encode(picture(21, 33), "TIFF", compression="jpeg"),
    }


TO_BREAK = samples_to_break()


@pytest.mark.parametrize("name", TO_BREAK)
class TestBroken:
    """Files damaged at random places; what is delivered is nobody's business, but that nothing else happens."""

    def test_cut_at_every_twentieth(self, examiner: Examiner, name: str) -> None:
        data = TO_BREAK[name]
        assert_pixels(data)
        files = {f"{part}": data[: len(data) * part // 20] for part in range(20)}
        outcome = examiner.images(files, growth_bytes=16 * MIB, seconds=20)
        # The directory of a TIFF, or what a GIF or BMP needs, may stand before the cut.
        assert set(outcome.codes.values()) <= {"truncated_image", "corrupt", "not_an_image", "unsupported_format"}
        assert len(outcome.codes) >= 18

    def test_what_pillow_opens_too_has_its_pixels(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300_000)
        rng = np.random.default_rng(len(name) + 1)
        compared = 0
        for _ in range(200):
            data = bytearray(TO_BREAK[name])
            data[int(rng.integers(0, len(data)))] ^= 1 << int(rng.integers(8))
            try:
                expected = pillow_pixels(bytes(data))
            except Exception:  # noqa: BLE001 - Pillow fails in many ways
                continue
            with contextlib.suppress(PixCrawlerError):
                pixels = decode_one(bytes(data), limits=Limits(pixels=300_000))
                np.testing.assert_array_equal(pixels, expected)
                compared += 1
        assert compared >= 5

    def test_one_byte_changed(self, examiner: Examiner, name: str) -> None:
        rng = np.random.default_rng(len(name))
        files = {}
        for number in range(300):
            data = bytearray(TO_BREAK[name])
            # Most of the structure is at the ends.
            place = int(rng.integers(0, len(data)) if number % 3 else rng.integers(-min(200, len(data)), 100))
            data[place] ^= int(rng.integers(1, 256))
            files[f"{number}"] = bytes(data)
        outcome = examiner.images(files, growth_bytes=96 * MIB, seconds=30, limits={"pixels": 1_000_000}, mode="RGBA")
        assert len(outcome.delivered) + len(outcome.codes) == 300
        assert outcome.delivered
        assert outcome.codes
        assert "internal" not in outcome.codes.values()


UNDECODED: dict[str, tuple[bytes, str]] = {
    "avif": (encode(picture(16, 16), "AVIF"), "avif"),
    "heic": (b"\0\0\0\x18ftypheic" + bytes(40), "heic"),
    "jpeg xl": (b"\xff\x0a" + bytes(40), "jxl"),
    "jpeg 2000": (encode(picture(16, 16), "JPEG2000"), "jpeg2000"),
    "photoshop": (b"8BPS\0\1" + bytes(40), "psd"),
    "icon": (encode(picture(16, 16), "ICO"), "ico"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg"),
}


def test_formats_that_are_not_decoded_are_named(examiner: Examiner) -> None:
    files = {name: data for name, (data, _) in UNDECODED.items()}
    outcome = examiner.images(files)
    assert outcome.codes == dict.fromkeys(files, "unsupported_format")
    for name, (data, said) in UNDECODED.items():
        expected = f"expected JPEG, PNG, WebP, GIF, BMP or TIFF, got {said}"
        with pytest.raises(UnsupportedImageError, match=expected):
            decode_one(data)
        assert any(expected in failure.reason for failure in outcome.failures), name


def test_every_kind_in_one_batch_with_a_size() -> None:
    pixels: Any = Image.fromarray(picture(40, 50)).quantize(16).convert("RGB")
    for kind in ("PNG", "WEBP", "GIF", "BMP", "TIFF"):
        data = encode(pixels, kind, **({"lossless": True} if kind == "WEBP" else {}))
        expected = pixels.resize((19, 23), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(decode_one(data, image_size=(23, 19)), np.asarray(expected), err_msg=kind)


def test_errors_are_of_one_family() -> None:
    for data in (b"GIF89a", b"BM" + bytes(20), b"II*\0", b"MM\0*", b"GIF87a" + bytes(7)):
        with pytest.raises(PixCrawlerError):
            decode_one(data)
