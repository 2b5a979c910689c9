"""Corpora of image files through the public API: what Pillow opens has Pillow's pixels, all else is a typed error."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageOps

from pixcrawler import ImageDecodeError, UnsupportedImageError, load_dataset
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


# libjpeg only warns of these: part of the picture is lost, and grey or smeared pixels stand in its place. Such an image
# is refused rather than trained on unseen.
DAMAGED_JPEGS = {"extraneous-data.jpg", "mjpeg.jpg", "partial_progressive.jpg", "progressive-missing-dc.jpg"}
# No lossless process is decoded: libjpeg-turbo's is not safe to scale.
LOSSLESS_JPEGS = {f"jpeg_lossless_sel{number}.jpg" for number in range(1, 8)} | {
    "MR4.jpg",
    "XA1.jpg",
    "jpeg_lossless_sel1-8bit.jpg",
    "lossless16bit.jpg",
}


def test_reference_jpegs(data_dir: Path, tmp_path: Path) -> None:
    files = files_of(data_dir / "corpus/jpeg/reftest")
    refused = {name for name in files if name.rsplit("/", 1)[-1] in DAMAGED_JPEGS | LOSSLESS_JPEGS}
    assert len(refused) == len(DAMAGED_JPEGS | LOSSLESS_JPEGS)
    check_all(tmp_path, files, refused, at_least=80)


def test_odd_but_valid_jpegs(data_dir: Path, tmp_path: Path) -> None:
    files = files_of(data_dir / "corpus/jpeg/valid")
    check_all(tmp_path, files, {"incomplete_image.jpg"}, at_least=19)


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


def test_junk_between_the_markers_of_a_jpegs_header_is_refused(data_dir: Path) -> None:
    files = files_of(data_dir / "corpus/pillow")
    for name in JUNK_IN_HEADER:
        with pytest.raises(ImageDecodeError, match="extraneous bytes") as caught:
            decode_one(files[name])
        assert caught.value.code == "corrupt"


def test_exif_corpus(data_dir: Path, tmp_path: Path) -> None:
    files = files_of(data_dir / "corpus/exif")
    assert len(files) == 13
    for apply_exif in (True, False):
        images, failures = decode_files(tmp_path, files, apply_exif=apply_exif)
        assert not failures
        for name, data in files.items():
            expected = pillow_pixels(data, upright=apply_exif)
            assert expected is not None
            np.testing.assert_array_equal(images[name], expected, err_msg=f"{name}, apply_exif={apply_exif}")
    shapes = {decode_one(data).shape for name, data in files.items() if name.startswith("Landscape")}
    assert len(shapes) == 1


FOREIGN = {
    "gif.jpg": (encode(picture(5, 6), "GIF"), "unsupported_format", "gif"),
    "bmp.jpg": (encode(picture(5, 6), "BMP"), "unsupported_format", "bmp"),
    "tiff.jpg": (encode(picture(5, 6), "TIFF"), "unsupported_format", "tiff"),
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


def test_formats_are_recognised_by_content_never_by_name(tmp_path: Path) -> None:
    pixels = picture(9, 8)
    files = {
        "a.png": encode(pixels, "JPEG"),
        "b.jpg": encode(pixels),
        "c": encode(pixels, "WEBP"),
        "d.txt": encode(pixels),
    }
    images, failures = decode_files(tmp_path, files)
    assert not failures
    for name, data in files.items():
        np.testing.assert_array_equal(images[name], pillow_pixels(data))


@pytest.mark.parametrize("junk", [encode(picture(30, 30), "JPEG"), bytes(100_000), b"PK\x05\x06" + bytes(18)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_follows_the_image_is_ignored(kind: str, junk: bytes) -> None:
    data = encode(picture(12, 13), kind)
    np.testing.assert_array_equal(decode_one(data + junk), decode_one(data))


class TestTruncated:
    data = encode(picture(64, 64), "JPEG", quality=90)

    @pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
    def test_a_cut_jpeg_is_refused_by_default(self, share: float) -> None:
        with pytest.raises(ImageDecodeError) as caught:
            decode_one(self.data[: int(len(self.data) * share)])
        assert caught.value.code == "truncated_image"

    def test_the_end_marker_alone_is_not_missed(self) -> None:
        np.testing.assert_array_equal(decode_one(self.data[:-2]), decode_one(self.data))

    def test_a_cut_jpeg_is_kept_where_that_is_asked_for(self, tmp_path: Path) -> None:
        cut = self.data[: len(self.data) // 2]
        chunk = write_zip(tmp_path / "c.zip", {"cut.jpg": cut})
        image, _ = load_dataset(chunk, on_truncated="keep")[0]
        whole = decode_one(self.data)
        assert image.shape == whole.shape
        np.testing.assert_array_equal(image[:8], whole[:8])
        assert not np.array_equal(image[48:], whole[48:])

    @pytest.mark.parametrize("kind", ["PNG", "WEBP"])
    def test_other_formats_are_refused_at_every_length(self, kind: str) -> None:
        data = encode(picture(12, 11), kind)
        for length in range(len(data) - 1):
            with pytest.raises(ImageDecodeError) as caught:
                decode_one(data[:length])
            assert caught.value.code in {"truncated_image", "corrupt", "not_an_image"}, length
