"""Pixels against Pillow 13, byte for byte: full decodes, every interpolation, resize modes, colour modes."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from pixcrawler import load_dataset
from support import bare_items, decode_one, encode, make_decoder, member_name, picture

if TYPE_CHECKING:
    from pathlib import Path

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def stretch(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    return image.resize((size[1], size[0]), resample)


def crop(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    """torchvision's Resize(shorter side to cover ``size``) then CenterCrop(size), with its roundings."""
    height, width = size
    if image.width * height <= image.height * width:
        scaled = width, int(image.height * width / image.width)
    else:
        scaled = int(image.width * height / image.height), height
    large = image.resize(scaled, resample)
    left, top = round((scaled[0] - width) / 2.0), round((scaled[1] - height) / 2.0)
    return large.crop((left, top, left + width, top + height))


def pad(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    return ImageOps.pad(image, (size[1], size[0]), resample, color=0)


MODES = {"stretch": stretch, "crop": crop, "pad": pad}


@pytest.fixture(scope="module")
def photos(photos_zip: Path) -> list[tuple[str, Image.Image]]:
    """Name and Pillow's pixels of every photograph, in the zip's order."""
    with zipfile.ZipFile(photos_zip) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        return [(name, Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names]


def test_the_oracle_is_the_one_that_the_pixels_are_promised_for() -> None:
    assert PIL.__version__.split(".")[0] == "13"


def test_photographs_at_their_own_size(photos: list[tuple[str, Image.Image]], photos_zip: Path) -> None:
    count = 0
    for (name, expected), (image, label) in zip(photos, load_dataset(photos_zip, label_fn=member_name), strict=True):
        assert label == name
        np.testing.assert_array_equal(image, np.asarray(expected), err_msg=name)
        count += 1
    assert count == 500


@pytest.mark.parametrize(
    ("mode", "size", "step"),
    [
        ("stretch", (224, 224), 1),
        ("stretch", (384, 384), 5),
        ("crop", (224, 224), 3),
        ("crop", (160, 320), 5),
        ("pad", (224, 224), 3),
        ("pad", (320, 160), 5),
    ],
)
def test_photographs_resized(
    photos: list[tuple[str, Image.Image]], photos_zip: Path, mode: Any, size: tuple[int, int], step: int
) -> None:
    batches = load_dataset(photos_zip, resize_mode=mode).iter_batches(64, image_size=size)
    images = (image for batch, _ in batches for image in batch)
    for position, ((name, full), image) in enumerate(zip(photos, images, strict=True)):
        if position % step == 0:
            expected = MODES[mode](full, size, Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(image, np.asarray(expected), err_msg=name)


@pytest.mark.parametrize("interpolation", ["nearest", "bicubic", "lanczos"])
def test_photographs_with_other_filters(
    photos: list[tuple[str, Image.Image]], photos_zip: Path, interpolation: Any
) -> None:
    dataset = load_dataset(photos_zip, image_size=(200, 260), interpolation=interpolation)
    for number in range(0, 500, 10):
        name, full = photos[number]
        expected = stretch(full, (200, 260), FILTERS[interpolation])
        np.testing.assert_array_equal(dataset[number][0], np.asarray(expected), err_msg=name)


sides = st.integers(1, 70) | st.integers(1, 400)


@given(
    height=sides,
    width=sides,
    size=st.tuples(sides, sides),
    interpolation=st.sampled_from(sorted(FILTERS)),
    resize_mode=st.sampled_from(sorted(MODES)),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 1000),
)
def test_random_sizes(
    height: int, width: int, size: tuple[int, int], interpolation: str, resize_mode: str, channels: int, seed: int
) -> None:
    pixels = picture(height, width, seed, channels)
    expected = MODES[resize_mode](Image.fromarray(pixels), size, FILTERS[interpolation])
    mode = "L" if channels == 1 else "RGB"
    image = decode_one(
        encode(pixels, compress_level=0),
        mode=mode,
        image_size=size,
        interpolation=interpolation,
        resize_mode=resize_mode,
    )
    assert image.shape == (*size, channels)
    np.testing.assert_array_equal(image[:, :, 0] if channels == 1 else image, np.asarray(expected))


@given(height=sides, width=sides, size=st.tuples(sides, sides), seed=st.integers(0, 1000))
def test_rgba_is_resized_as_pillow_does_with_premultiplied_alpha(
    height: int, width: int, size: tuple[int, int], seed: int
) -> None:
    pixels = picture(height, width, seed, 4)
    expected = stretch(Image.fromarray(pixels), size, Image.Resampling.BILINEAR)
    image = decode_one(encode(pixels, compress_level=0), mode="RGBA", image_size=size)
    np.testing.assert_array_equal(image, np.asarray(expected))


SAMPLES: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
    "jpeg grey": (Image.fromarray(picture(33, 41, channels=1)), "JPEG", {}),
    "jpeg 4:4:4": (Image.fromarray(picture(33, 41)), "JPEG", {"subsampling": 0}),
    "jpeg 4:2:2": (Image.fromarray(picture(33, 41)), "JPEG", {"subsampling": 1}),
    "jpeg 4:2:0": (Image.fromarray(picture(33, 41)), "JPEG", {"subsampling": 2}),
    "jpeg progressive": (Image.fromarray(picture(33, 41)), "JPEG", {"progressive": True}),
    "jpeg restarts": (Image.fromarray(picture(33, 41)), "JPEG", {"restart_marker_blocks": 2}),
    "jpeg rgb": (Image.fromarray(picture(33, 41)), "JPEG", {"keep_rgb": True}),
    "jpeg cmyk": (Image.fromarray(picture(33, 41, channels=4), "CMYK"), "JPEG", {}),
    "png grey": (Image.fromarray(picture(33, 41, channels=1)), "PNG", {}),
    "png bilevel": (Image.fromarray(picture(33, 41, channels=1)).convert("1"), "PNG", {}),
    "png grey alpha": (Image.fromarray(picture(33, 41, channels=4)).convert("LA"), "PNG", {}),
    "png rgb": (Image.fromarray(picture(33, 41)), "PNG", {}),
    "png rgba": (Image.fromarray(picture(33, 41, channels=4)), "PNG", {}),
    "png palette": (Image.fromarray(picture(33, 41)).quantize(200), "PNG", {}),
    "png palette of 4": (Image.fromarray(picture(33, 41)).quantize(4), "PNG", {"bits": 2}),
    "png palette transparent": (Image.fromarray(picture(33, 41)).quantize(16), "PNG", {"transparency": 3}),
    "png grey transparent": (Image.fromarray(picture(33, 41, channels=1)), "PNG", {"transparency": 90}),
    "png rgb transparent": (Image.fromarray(picture(33, 41)), "PNG", {"transparency": (127, 127, 127)}),
    "webp lossy": (Image.fromarray(picture(33, 41)), "WEBP", {"quality": 70}),
    "webp lossy alpha": (Image.fromarray(picture(33, 41, channels=4)), "WEBP", {"quality": 70}),
    "webp lossless": (Image.fromarray(picture(33, 41)), "WEBP", {"lossless": True}),
    "webp lossless alpha": (
        Image.fromarray(picture(33, 41, channels=4)),
        "WEBP",
        {"lossless": True, "exact": True},
    ),
    "webp animated": (
        Image.fromarray(picture(33, 41)),
        "WEBP",
        {"save_all": True, "append_images": [Image.fromarray(picture(33, 41, 9))], "duration": 50},
    ),
    "webp animated alpha": (
        Image.fromarray(picture(33, 41, channels=4)),
        "WEBP",
        {"save_all": True, "append_images": [Image.fromarray(picture(33, 41, 9, 4))], "lossless": True},
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_kinds_of_images(name: str) -> None:
    image, kind, options = SAMPLES[name]
    data = encode(image, kind, **options)
    read = Image.open(io.BytesIO(data))
    rgb = read.convert("RGB")
    np.testing.assert_array_equal(decode_one(data), np.asarray(rgb))
    # The documented rule for grey: that of the RGB pixels.
    np.testing.assert_array_equal(decode_one(data, mode="L")[:, :, 0], np.asarray(rgb.convert("L")))
    np.testing.assert_array_equal(decode_one(data, mode="RGBA"), np.asarray(read.convert("RGBA")))
    resized = np.asarray(rgb.resize((19, 23), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(decode_one(data, image_size=(23, 19)), resized)


def test_16_bit_grey_keeps_its_high_byte() -> None:
    values = np.arange(0, 65536, 31, dtype=np.uint16)[: 40 * 50].reshape(40, 50)
    data = encode(Image.fromarray(values))
    image = decode_one(data)
    np.testing.assert_array_equal(image, np.repeat((values >> 8).astype(np.uint8)[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(decode_one(data, mode="L")[:, :, 0], (values >> 8).astype(np.uint8))


class TestDraft:
    """``draft=True``: JPEGs decoded at 1/2, 1/4 or 1/8 where that still covers the size."""

    data = encode(Image.fromarray(picture(400, 600)).resize((640, 480)), "JPEG", quality=90)

    @pytest.mark.parametrize("size", [(480, 640), (241, 100), (100, 321), (600, 900)])
    def test_nothing_changes_where_half_the_size_would_not_cover(self, size: tuple[int, int]) -> None:
        full, draft = (decode_one(self.data, image_size=size, draft=draft) for draft in (False, True))
        np.testing.assert_array_equal(draft, full)

    @pytest.mark.parametrize(
        ("size", "scale"), [((240, 320), 2), ((120, 200), 2), ((120, 160), 4), ((60, 80), 8), ((9, 9), 8)]
    )
    def test_a_fraction_that_covers_the_size_is_decoded(self, size: tuple[int, int], scale: int) -> None:
        reduced = Image.open(io.BytesIO(self.data))
        reduced.draft("RGB", (640 // scale, 480 // scale))
        assert reduced.size == (640 // scale, 480 // scale)
        expected = reduced.convert("RGB").resize((size[1], size[0]), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(decode_one(self.data, image_size=size, draft=True), np.asarray(expected))
        assert not np.array_equal(decode_one(self.data, image_size=size), np.asarray(expected))

    def test_it_needs_a_size_and_a_jpeg(self) -> None:
        np.testing.assert_array_equal(decode_one(self.data, draft=True), decode_one(self.data))
        png = encode(picture(64, 64))
        expected = decode_one(png, image_size=(8, 8))
        np.testing.assert_array_equal(decode_one(png, image_size=(8, 8), draft=True), expected)


def test_probe_tells_the_size_of_what_would_be_decoded() -> None:
    turned = encode(picture(20, 30), "JPEG", exif=exif_of(6))
    files = [encode(picture(7, 9)), turned, encode(picture(5, 4), "WEBP"), b"no image"]
    upright = make_decoder().probe(bare_items(files))
    assert upright[:3] == [(7, 9), (30, 20), (5, 4)]
    assert getattr(upright[3], "code", None) == "not_an_image"
    assert make_decoder(apply_exif=False).probe(bare_items(files))[1] == (20, 30)


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_the_same_pixels_whatever_stood_in_the_slot_before() -> None:
    files = [encode(image, kind, **options) for image, kind, options in SAMPLES.values()]
    outs = []
    for fill in (0, 255):
        out = np.full((len(files), 33, 41, 3), fill, np.uint8)
        assert make_decoder().decode_into(bare_items(files), out) == [None] * len(files)
        outs.append(out)
    np.testing.assert_array_equal(outs[0], outs[1])
