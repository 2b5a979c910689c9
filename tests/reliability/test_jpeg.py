"""J: JPEGs that are sound, and those whose markers are not."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import jpeg_cases
from jpeg_builder import SOF0, SOF1, Segment, edit
from jpeg_oracle import check, pillow_pixels
from support import decode_files, decode_one, encode, picture

if TYPE_CHECKING:
    from pathlib import Path

    from oracle import Examiner

# libjpeg only warns of these: part of the picture is lost, and grey or smeared pixels stand in its place.
DAMAGED = {"extraneous-data.jpg", "mjpeg.jpg", "partial_progressive.jpg", "progressive-missing-dc.jpg"}
# No lossless process is decoded: libjpeg-turbo's is not safe to scale.
LOSSLESS = {f"jpeg_lossless_sel{number}.jpg" for number in range(1, 8)} | {
    "MR4.jpg",
    "XA1.jpg",
    "jpeg_lossless_sel1-8bit.jpg",
    "lossless16bit.jpg",
}


def corpus(data_dir: Path, name: str) -> dict[str, bytes]:
    """JPEG files below a folder of the corpora, by name."""
    folder = data_dir / "corpus" / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    paths = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in {".jpg", ".jpeg", ".mpo"})
    return {path.name: path.read_bytes() for path in paths}


@pytest.mark.parametrize(("name", "at_least"), [("jpeg/reftest", 38), ("jpeg/valid", 19), ("pillow", 30)])
def test_J01_reference_files(data_dir: Path, tmp_path: Path, name: str, at_least: int) -> None:
    files = corpus(data_dir, name)
    images, failures = decode_files(tmp_path, files, apply_exif=False)
    refused = DAMAGED | LOSSLESS | {"incomplete_image.jpg", "ultrahdr.jpg"} | WITH_JUNK
    compared = 0
    for file, data in files.items():
        if file in refused:
            assert file in failures
            continue
        expected = pillow_pixels(data)
        if expected is None:
            # Pillow misses the end marker of one.
            assert file in failures or file == "truncated_jpeg.jpg"
            continue
        assert file in images, failures[file].reason
        np.testing.assert_array_equal(images[file], expected, err_msg=file)
        compared += 1
    assert compared >= at_least


# libjpeg warns of bytes between the markers of these.
WITH_JUNK = {
    "hopper_bad_exif.jpg",
    "jpeg_ff00_header.jpg",
    "junk_jpeg_header.jpg",
    "photoshop-200dpi-broken.jpg",
    "truncated_app14.jpg",
}


@pytest.mark.parametrize("quality", [1, 50, 95, 100])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}], ids=str)
def test_J01_baseline_extended_and_progressive(quality: int, options: dict[str, bool]) -> None:
    for subsampling in (0, 1, 2):
        data = encode(picture(75, 93, quality), "JPEG", quality=quality, subsampling=subsampling, **options)
        extended = edit(data, lambda part: [Segment(SOF1, part.payload) if part.code == SOF0 else part])
        for file in (data, extended):
            np.testing.assert_array_equal(decode_one(file), pillow_pixels(file))


def test_J02_sampling_factors(examiner: Examiner) -> None:
    check(examiner, jpeg_cases.sampling())


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_J03_colours(examiner: Examiner, mode: str) -> None:
    check(examiner, jpeg_cases.colours(), mode=mode)


def test_J04_adobe_markers(examiner: Examiner) -> None:
    check(examiner, jpeg_cases.adobe_markers())


def test_J05_restart_intervals(examiner: Examiner) -> None:
    check(examiner, jpeg_cases.restarts())


def test_J08_processes(examiner: Examiner) -> None:
    inputs = jpeg_cases.processes()
    outcome = check(examiner, inputs)
    for failure in outcome.failures:
        number = re.fullmatch(r"sof(\d+)", str(failure.member))
        assert f"SOF{number[1] if number else ''}" in failure.reason or "type 0xc8" in failure.reason, failure
    # libjpeg-turbo scales no lossless process, but writes as if it did not scale: refused whatever the size.
    lossless = {name: entry for name, entry in inputs.items() if name in {"sof3", "sof7", "sof11", "sof15"}}
    check(examiner, lossless, image_size=(4, 5), draft=True, compare=False)


def test_J08_lossless_reference_files(data_dir: Path, examiner: Examiner) -> None:
    files = {name: data for name, data in corpus(data_dir, "jpeg/reftest").items() if name in LOSSLESS}
    assert len(files) == len(LOSSLESS)
    outcome = examiner.images(files)
    assert set(outcome.codes.values()) == {"unsupported_jpeg"}
    assert all("SOF3 (lossless)" in failure.reason for failure in outcome.failures)


def test_J09_line_counts_behind_the_scan(examiner: Examiner) -> None:
    check(examiner, jpeg_cases.line_counts())


def test_J10_structure(examiner: Examiner) -> None:
    check(examiner, jpeg_cases.structure())


def test_J11_frames_of_mjpeg_without_tables(examiner: Examiner, data_dir: Path) -> None:
    inputs = jpeg_cases.without_tables()
    check(examiner, inputs)
    # The standard tables are those that Pillow wrote.
    np.testing.assert_array_equal(decode_one(inputs["mjpeg"].data), decode_one(jpeg_cases.PHOTO))
    # In this one bytes are left over before a restart marker besides, of which libjpeg warns.
    outcome = examiner.images({"mjpeg.jpg": corpus(data_dir, "jpeg/reftest")["mjpeg.jpg"]})
    assert outcome.codes == {"mjpeg.jpg": "corrupt"}


def test_J12_scans_that_are_not_interleaved(examiner: Examiner) -> None:
    check(examiner, jpeg_cases.scans())


def test_J16_sides(examiner: Examiner) -> None:
    check(examiner, jpeg_cases.sides())


CROPPED = (24, 20)


def cropped(image: Image.Image) -> Image.Image:
    """torchvision's Resize(shorter side to cover) then CenterCrop, with its roundings."""
    height, width = CROPPED
    if image.width * height <= image.height * width:
        scaled = width, int(image.height * width / image.width)
    else:
        scaled = int(image.width * height / image.height), height
    large = image.resize(scaled, Image.Resampling.BILINEAR)
    left, top = round((scaled[0] - width) / 2.0), round((scaled[1] - height) / 2.0)
    return large.crop((left, top, left + width, top + height))


@pytest.mark.parametrize("case", jpeg_cases.ALL)
def test_J17_cropped(examiner: Examiner, case: str) -> None:
    # A picture 65,500 times as long as wide would be enlarged to sides that no picture has.
    inputs = {name: entry for name, entry in jpeg_cases.ALL[case]().items() if not re.search(r"\d{5}", name)}
    check(examiner, inputs, change=cropped, image_size=CROPPED, resize_mode="crop")


@pytest.mark.parametrize("denominator", [2, 4, 8])
@pytest.mark.parametrize("case", jpeg_cases.ALL)
def test_J17_scaled(examiner: Examiner, case: str, denominator: int) -> None:
    by_size: dict[tuple[int, int], jpeg_cases.Inputs] = {}
    for name, entry in jpeg_cases.ALL[case]().items():
        expected = pillow_pixels(entry.like or entry.data)
        height, width = (37, 53) if expected is None else expected.shape[:2]
        # The scaled size, rounded up, is what the reduced decoding has to cover exactly.
        size = -(-height // denominator), -(-width // denominator)
        by_size.setdefault(size, {})[name] = entry
    for size, inputs in by_size.items():
        check(examiner, inputs, denominator=denominator, image_size=size, draft=True)


def test_J17_wide_and_narrow_pictures_are_cropped() -> None:
    for height, width in ((65500, 1), (1, 65500)):
        data = jpeg_cases.Picture(height, width).to_bytes()
        image = decode_one(data, image_size=(8, 8), resize_mode="crop")
        expected = Image.open(io.BytesIO(data)).convert("RGB")
        side = 65500 * 8
        middle = expected.resize((8, 8), Image.Resampling.BILINEAR, box=_middle(expected, side))
        assert image.shape == (8, 8, 3)
        assert np.abs(image.astype(int) - np.asarray(middle).astype(int)).max() <= 1


def _middle(image: Image.Image, side: int) -> tuple[float, float, float, float]:
    centre = side / 2 / 8
    half = 0.5
    if image.width == 1:
        return (0, centre - half, 1, centre + half)
    return (centre - half, 0, centre + half, 1)
