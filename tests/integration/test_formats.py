"""Corpora of image files through the public API: what Pillow opens has Pillow's pixels, all else is a typed error."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from pixcrawler import ImageDecodeError, LimitError, UnsupportedImageError, load_dataset
from pixcrawler.limits import Limits
from support import decode_files, decode_one, encode, picture, write_zip

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES = {".apng", ".jpeg", ".jpg", ".mpo", ".png", ".webp"}


def files_of(folder: Path) -> dict[str, bytes]:
    """Image files below a folder, by name."""
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    paths = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def pillow_pixels(data: bytes, *, upright: bool = False) -> NDArray[np.uint8] | None:
    """Pillow's RGB, or None where Pillow refuses; 16-bit grey by its high byte."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
            image.load()
            if upright:
                image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):
                image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError):
        return None


def check_all(tmp_path: Path, files: dict[str, bytes], refused: Iterable[str] = (), *, at_least: int) -> None:
    """Every file that Pillow opens is delivered with its pixels, but for those ``refused`` on purpose: they fail."""
    images, failures = decode_files(tmp_path, files, apply_exif=False)
    wrong, compared = [], 0
    for name, data in files.items():
        expected = pillow_pixels(data)
        if name in refused:
            if name not in failures:
                wrong.append(f"{name}: delivered, but is to be refused")
        elif expected is not None:
            compared += 1
            if name in failures:
                wrong.append(f"{name}: {failures[name].reason}")
            elif not np.array_equal(images[name], expected):
                wrong.append(f"{name}: pixels differ")
    assert not wrong, "\n".join(wrong)
    assert compared >= at_least


# Refused on purpose: their scan data is damaged, or the file was cut; Pillow opens those files, and fails as it loads.
DAMAGED_OF_PILLOW = {
    "broken.png",
    "broken_data_stream.png",
    "truncated_end_chunk.png",
    "truncated_image.png",
    "ultrahdr.jpg",
}
# Refused on purpose: libjpeg warns of bytes between the markers, which it skips; what it warns of is a failure.
JUNK_IN_HEADER = {
    "hopper_bad_exif.jpg",
    "jpeg_ff00_header.jpg",
    "junk_jpeg_header.jpg",
    "photoshop-200dpi-broken.jpg",
    "truncated_app14.jpg",
}


def test_files_of_pillows_own_tests(data_dir: Path, tmp_path: Path) -> None:
    files = files_of(data_dir / "corpus/pillow")
    apart = {name for name in files if name in JUNK_IN_HEADER or name.startswith("apng/")}
    files = {name: data for name, data in files.items() if name not in apart}
    check_all(tmp_path, files, DAMAGED_OF_PILLOW, at_least=420)


FOREIGN = {
    "avif.jpg": (encode(picture(5, 6), "AVIF"), "unsupported_format", "avif"),
    "photoshop.jpg": (b"8BPS\0\1" + bytes(20), "unsupported_format", "psd"),
    "icon.png": (encode(picture(16, 16), "ICO"), "unsupported_format", "ico"),
    "jpeg2000.jpg": (encode(picture(5, 6), "JPEG2000"), "unsupported_format", "jpeg2000"),
    "empty.jpg": (b"", "not_an_image", "0 bytes"),
    "page.jpg": (b"<!DOCTYPE html><html><body>not found</body></html>", "not_an_image", ""),
    "text.png": (b"just some words that are no picture at all\n", "not_an_image", ""),
    "archive.jpg": (b"PK\x03\x04" + bytes(40), "not_an_image", ""),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_image_that_can_be_decoded_is_named(name: str, tmp_path: Path) -> None:
    data, code, said = FOREIGN[name]
    dataset = load_dataset(write_zip(tmp_path / "c.zip", {name: data}))
    with pytest.raises(UnsupportedImageError) as caught:
        list(dataset)
    error = caught.value
    assert (error.code, error.chunk_id, error.member) == (code, "c.zip", name)
    assert said in error.detail.lower(), error.detail


@pytest.mark.parametrize("junk", [encode(picture(30, 30), "JPEG"), bytes(100_000), b"PK\x05\x06" + bytes(18)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_follows_the_image_is_ignored(kind: str, junk: bytes) -> None:
    data = encode(picture(12, 13), kind)
    np.testing.assert_array_equal(decode_one(data + junk), decode_one(data))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_pngs_and_webps_are_refused_at_every_length(kind: str) -> None:
    data = encode(picture(12, 11), kind)
    for length in range(len(data) - 1):
        with pytest.raises(ImageDecodeError) as caught:
            decode_one(data[:length])
        assert caught.value.code in {"truncated_image", "corrupt", "not_an_image"}, length


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_limit_of_pixels_is_the_users(kind: str, tmp_path: Path) -> None:
    chunk = write_zip(tmp_path / "c.zip", {"a": encode(picture(30, 40), kind)})
    assert load_dataset(chunk, limits=Limits(pixels=1200))[0][0].shape == (30, 40, 3)
    with pytest.raises(LimitError, match=r"Limits\.pixels"):
        load_dataset(chunk, limits=Limits(pixels=1199))[0]
