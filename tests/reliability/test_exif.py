"""X: EXIF orientation and metadata."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from jpeg_builder import APP0, APP1, DQT, exif, insert_before, segment
from jpeg_oracle import digest
from support import decode_one, encode, picture

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from oracle import Examiner

# Uneven sides, and no symmetry that would hide a wrong turn.
PIXELS = picture(21, 34)
UPRIGHT = encode(PIXELS, "JPEG")
ORIENTATION, SHORT, LONG, BYTE, SIGNED, RATIONAL, ASCII = 0x0112, 3, 4, 1, 8, 5, 2


def corpus(data_dir: Path) -> dict[str, bytes]:
    folder = data_dir / "corpus/exif"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.jpg"))}


def oriented(data: bytes) -> NDArray[np.uint8]:
    """Pillow's pixels, turned upright by Pillow."""
    image = Image.open(io.BytesIO(data))
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def raw(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def entry(tag: int, kind: int, count: int, value: int, order: str) -> bytes:
    packed = struct.pack(order + "H", value) + b"\0\0" if kind in {SHORT, SIGNED} else struct.pack(order + "L", value)
    return struct.pack(order + "HHL", tag, kind, count) + packed


def tiff(*entries: tuple[int, int, int, int], order: str = "<", following: bytes = b"\0\0\0\0") -> bytes:
    """A TIFF block of one IFD (TIFF 6.0, section 2)."""
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(order + "HLH", 42, 8, len(entries))
    return head + b"".join(entry(*fields, order) for fields in entries) + following


def with_exif(block: bytes) -> bytes:
    return insert_before(UPRIGHT, APP0, exif(block))


def test_X01_orientations_of_the_corpus(examiner: Examiner, data_dir: Path) -> None:
    files = corpus(data_dir)
    assert len(files) == 13
    turned, as_coded = examiner.images(files), examiner.images(files, apply_exif=False)
    assert turned.codes == as_coded.codes == {}
    for name, data in files.items():
        assert turned.delivered[name] == tuple_of(oriented(data)), name
        assert as_coded.delivered[name] == tuple_of(raw(data)), name
    images = {name: decode_one(data).astype(int) for name, data in files.items()}
    for name, image in images.items():
        first = images[f"{name.split('_')[0]}_1.jpg"]
        assert image.shape == first.shape
        # The same photograph, compressed once more.
        assert np.abs(image - first).mean() < 6


def tuple_of(pixels: NDArray[np.uint8]) -> tuple[tuple[int, ...], str]:
    shape, hashed = digest(pixels)
    return tuple(shape), hashed


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_X01_each_orientation(orientation: int, kind: str) -> None:
    block = Image.Exif()
    block[ORIENTATION] = orientation
    data = encode(PIXELS, kind, exif=block)
    upright = oriented(data)
    np.testing.assert_array_equal(decode_one(data), upright)
    np.testing.assert_array_equal(decode_one(data, apply_exif=False), raw(data))
    resized = Image.fromarray(upright).resize((11, 17), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(decode_one(data, image_size=(17, 11)), np.asarray(resized))


@pytest.mark.parametrize("order", ["<", ">"])
def test_X02_both_byte_orders(order: str) -> None:
    for orientation in range(1, 9):
        data = with_exif(tiff((ORIENTATION, SHORT, 1, orientation), order=order))
        np.testing.assert_array_equal(decode_one(data), oriented(data))


ODD = {
    "0": tiff((ORIENTATION, SHORT, 1, 0)),
    "9": tiff((ORIENTATION, SHORT, 1, 9)),
    "255": tiff((ORIENTATION, SHORT, 1, 255)),
    "65535": tiff((ORIENTATION, SHORT, 1, 65535)),
    "0x0600": tiff((ORIENTATION, SHORT, 1, 0x0600)),
    "a-long": tiff((ORIENTATION, LONG, 1, 6)),
    "a-byte": tiff((ORIENTATION, BYTE, 1, 6)),
    "signed": tiff((ORIENTATION, SIGNED, 1, 6)),
    "text": tiff((ORIENTATION, ASCII, 2, 0x36)),
    "a-rational": tiff((ORIENTATION, RATIONAL, 1, 8)),
    "type-0": tiff((ORIENTATION, 0, 1, 6)),
    "type-65535": tiff((ORIENTATION, 65535, 1, 6)),
    "count-0": tiff((ORIENTATION, SHORT, 0, 6)),
    "count-2": tiff((ORIENTATION, SHORT, 2, 6)),
    "count-max": tiff((ORIENTATION, SHORT, 0xFFFFFFFF, 6)),
    "twice": tiff((ORIENTATION, SHORT, 1, 6), (ORIENTATION, SHORT, 1, 3)),
    "twice-the-same": tiff((ORIENTATION, SHORT, 1, 6), (ORIENTATION, SHORT, 1, 6)),
    # IFD1 is that of the thumbnail.
    "ifd1-alone": tiff(following=struct.pack("<L", 14)) + tiff((ORIENTATION, SHORT, 1, 6))[8:],
    "no-magic": tiff((ORIENTATION, SHORT, 1, 6)).replace(b"*\0", b"+\0"),
    "no-order": b"XX" + tiff((ORIENTATION, SHORT, 1, 6))[2:],
    "other-order": b"MM" + tiff((ORIENTATION, SHORT, 1, 6))[2:],
    "fewer-entries-than-told": tiff((ORIENTATION, SHORT, 1, 6)).replace(b"\1\0\x12\1", b"\2\0\x12\1"),
    "no-entries": tiff(),
    "empty": b"",
}


def test_X02_what_is_not_clear_counts_as_upright(examiner: Examiner) -> None:
    outcome = examiner.images({name: with_exif(block) for name, block in ODD.items()})
    assert outcome.codes == {}
    assert set(outcome.delivered.values()) == {tuple_of(raw(UPRIGHT))}


def test_X02_exif_cut_at_each_byte(examiner: Examiner) -> None:
    whole = tiff((ORIENTATION, SHORT, 1, 6))
    files = {f"{length:03}": with_exif(whole[:length]) for length in range(len(whole))}
    # Cut without its length told: the segment takes in what follows, or the file ends in it.
    sound = with_exif(whole)
    at = sound.index(b"Exif")
    outcome = examiner.images(files)
    assert set(outcome.delivered.values()) == {tuple_of(raw(UPRIGHT))}
    ends = {f"{length:03}": sound[:length] for length in range(3, at + 40)}
    outcome = examiner.images(ends)
    assert not outcome.delivered
    assert set(outcome.codes.values()) <= {"corrupt", "truncated_image"}


def test_X02_what_is_clear_is_followed_though_the_rest_is_broken(examiner: Examiner) -> None:
    loop = tiff((ORIENTATION, SHORT, 1, 6), following=struct.pack("<L", 8))
    outcome = examiner.images(
        {
            "ifd-loop": with_exif(loop),
            "sub-ifd-past-the-end": with_exif(tiff((ORIENTATION, SHORT, 1, 6), (0x8769, LONG, 1, 1 << 30))),
            "text-past-the-end": with_exif(tiff((0x010E, ASCII, 1 << 30, 1 << 30), (ORIENTATION, SHORT, 1, 6))),
            "unsorted": with_exif(tiff((0x8769, LONG, 1, 8), (ORIENTATION, SHORT, 1, 6))),
        }
    )
    turned = np.asarray(Image.fromarray(raw(UPRIGHT)).transpose(Image.Transpose.ROTATE_270))
    assert set(outcome.delivered.values()) == {tuple_of(turned)}


def xmp(orientation: int) -> bytes:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"/>'
        "</rdf:RDF></x:xmpmeta>"
    )
    return segment(APP1, b"http://ns.adobe.com/xap/1.0/\0" + packet.encode())


def test_X03_xmp_is_not_read() -> None:
    six, three = exif(tiff((ORIENTATION, SHORT, 1, 6))), exif(tiff((ORIENTATION, SHORT, 1, 3)))
    np.testing.assert_array_equal(decode_one(insert_before(UPRIGHT, APP0, xmp(6))), raw(UPRIGHT))
    expected = decode_one(insert_before(UPRIGHT, APP0, six))
    assert expected.shape == (34, 21, 3)
    for parts in ((six, xmp(3)), (xmp(3), six), (six, three), (segment(APP1, b"other"), six)):
        np.testing.assert_array_equal(decode_one(insert_before(UPRIGHT, DQT, *parts)), expected)
    # Behind the picture's data nothing is looked for.
    np.testing.assert_array_equal(decode_one(UPRIGHT[:-2] + six + UPRIGHT[-2:]), raw(UPRIGHT))


def test_X03_exif_of_png_and_webp_is_that_of_jpeg() -> None:
    for kind in ("PNG", "WEBP"):
        for block in (*ODD.values(), tiff((ORIENTATION, SHORT, 1, 6))):
            data = encode(PIXELS, kind, exif=block or b"\0", **({"lossless": True} if kind == "WEBP" else {}))
            shape = decode_one(data).shape
            assert shape == ((34, 21, 3) if block == tiff((ORIENTATION, SHORT, 1, 6)) else (21, 34, 3))


@pytest.mark.parametrize("orientation", [5, 7])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (16, 16), (33, 18)])
def test_X04_mirrored_and_turned(orientation: int, size: tuple[int, int]) -> None:
    for mode, options in (("RGB", {}), ("L", {"mode": "L"}), ("RGBA", {"mode": "RGBA"})):
        data = insert_before(encode(picture(*size), "JPEG"), APP0, exif(tiff((ORIENTATION, SHORT, 1, orientation))))
        expected = np.asarray(Image.fromarray(oriented(data)).convert(mode))
        np.testing.assert_array_equal(decode_one(data, **options), expected.reshape(*expected.shape[:2], -1))


def test_X05_photographs_of_cameras_and_pillows_files_of_metadata(examiner: Examiner, data_dir: Path) -> None:
    # The 88 files of ianare/exif-samples are not among the corpora; these are those that hold metadata.
    files = corpus(data_dir)
    folder = data_dir / "corpus/pillow"
    files |= {path.name: path.read_bytes() for path in sorted(folder.glob("*.jpg"))}
    assert len(files) > 40
    # What is refused is so for its picture's data or the bytes between its markers, with metadata read or not.
    turned, as_coded = (examiner.images(files, apply_exif=apply_exif) for apply_exif in (True, False))
    assert turned.codes == as_coded.codes
    assert set(turned.codes) == {
        "hopper_bad_exif.jpg",
        "jpeg_ff00_header.jpg",
        "junk_jpeg_header.jpg",
        "photoshop-200dpi-broken.jpg",
        "truncated_app14.jpg",
        "ultrahdr.jpg",
    }
