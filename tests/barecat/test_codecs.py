"""Values in place of bytes: images as arrays, arrays, objects, and compressed ones."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from pixcrawler import barecat
from pixcrawler.barecat import Barecat, DecodedView
from support import encode, picture

if TYPE_CHECKING:
    from pathlib import Path


def view(**files: bytes) -> DecodedView:
    return DecodedView({name.replace("__", "."): data for name, data in files.items()})


def deep_png(array: np.ndarray[Any, np.dtype[np.uint16]]) -> bytes:
    """A PNG of 16 bits a channel, made by hand: Pillow writes grey ones alone."""
    height, width, channels = array.shape
    color = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color, 0, 0, 0)), (b"IDAT", zlib.compress(rows))]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in [*chunks, (b"IEND", b"")]
    )
    return b"\x89PNG\r\n\x1a\n" + body


def test_jpegs_are_upright_rgb() -> None:
    grey, color = picture(12, 20, channels=1), picture(12, 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    cmyk = encode(Image.fromarray(color).convert("CMYK"), "JPEG")
    store = view(
        grey__jpg=encode(grey, "JPEG"),
        color__JPEG=encode(color, "JPEG"),
        turned__jpg=encode(color, "JPEG", exif=exif),
        cmyk__jpg=cmyk,
    )
    for name, shape in (("grey.jpg", (12, 20, 3)), ("color.JPEG", (12, 20, 3)), ("turned.jpg", (20, 12, 3))):
        image = store[name]
        assert (image.shape, image.dtype) == (shape, np.uint8), name
        assert image.flags.writeable
        assert image.flags.c_contiguous
    assert (store["turned.jpg"] == np.rot90(store["color.JPEG"], -1)).all()
    assert (store["cmyk.jpg"] == np.asarray(Image.open(io.BytesIO(cmyk)).convert("RGB"))).all()


def test_pngs_keep_their_channels_and_depth() -> None:
    color = picture(9, 7)
    alpha = np.dstack([color, color[..., 0]])
    grey = color[..., 1]
    palette = Image.fromarray(color).quantize(16)
    grey_alpha = np.dstack([grey, color[..., 0]])
    cases: list[tuple[bytes, Any]] = [
        (encode(color), color),
        (encode(alpha), alpha),
        (encode(grey), grey),
        (encode(palette), np.asarray(palette.convert("RGB"))),
        (encode(Image.fromarray(grey_alpha, "LA")), np.dstack([grey, grey, grey, color[..., 0]])),
        (encode(Image.fromarray(grey > 100)), np.where(grey > 100, 255, 0).astype(np.uint8)),
    ]
    rng = np.random.default_rng(1)
    for channels in (1, 2, 3, 4):
        deep = rng.integers(0, 65536, (6, 5, channels), np.uint16)
        expected = {1: deep[..., 0], 2: deep[..., [0, 0, 0, -1]]}.get(channels, deep)
        cases.append((deep_png(deep), expected))
    for data, expected in cases:
        image = view(x__png=data)["x.png"]
        assert image.dtype == expected.dtype
        assert image.shape == expected.shape
        assert (image == expected).all()


@pytest.mark.parametrize(
    ("ext", "kind"), [("bmp", "BMP"), ("gif", "GIF"), ("tiff", "TIFF"), ("tif", "TIFF"), ("webp", "WEBP")]
)
def test_other_images(ext: str, kind: str) -> None:
    color = picture(9, 7)
    data = encode(color, kind, **({"lossless": True} if kind == "WEBP" else {}))
    image = DecodedView({f"x.{ext}": data})[f"x.{ext}"]
    assert (image == np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))).all()
    if kind in {"WEBP", "TIFF"}:
        alpha = np.dstack([color, color[..., 0]])
        options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        assert (DecodedView({f"x.{ext}": encode(alpha, kind, **options)})[f"x.{ext}"] == alpha).all()


def test_images_are_written(tmp_path: Path) -> None:
    color = picture(9, 7)
    with Barecat(tmp_path / "x.barecat", readonly=False) as bc:
        store = DecodedView(bc)
        for ext in ("png", "bmp", "tif", "webp"):
            store[f"x.{ext}"] = color
            assert (store[f"x.{ext}"] == color).all(), ext
        store["g.png"] = color[..., 0]
        assert (store["g.png"] == color[..., 0]).all()
        store["x.jpg"] = np.dstack([color, color[..., 0]])
        expected = encode(color, "JPEG", quality=95)
        assert bc["x.jpg"] == expected
        deep = color.astype(np.uint16) * 257 - 3
        for value in (deep, deep[..., 0], np.dstack([deep, deep[..., 0]])):
            store.pop("deep.png", None)
            store["deep.png"] = value
            assert store["deep.png"].dtype == np.uint16
            assert (store["deep.png"] == value).all()
        assert (np.asarray(Image.open(io.BytesIO(bc["deep.png"]))) == value >> 8).all()
        for wrong in (np.zeros((2, 2, 5), np.uint8), np.zeros((2, 2), np.float64), np.zeros(4, np.uint8), b"x"):
            with pytest.raises(ValueError, match="expected an array"):
                store["wrong.jpg"] = wrong
        assert "wrong.jpg" not in store
        # Everything else is the archive's.
        assert len(store) == 7
        assert sorted(store) == sorted(bc)
        assert store.isfile("x.png")
        assert store.index is bc.index
        del store["x.png"]
        assert "x.png" not in bc


def test_a_broken_image_is_the_projects_error_with_its_path(data_dir: Path) -> None:
    from pixcrawler.exceptions import ImageDecodeError, PixCrawlerError

    whole = encode(picture(30, 30), "JPEG")
    for data in (whole[:200], b"", b"no image", whole[:-40]):
        with pytest.raises(PixCrawlerError) as failed:
            view(a__jpg=data)["a.jpg"]
        assert failed.value.member == "a.jpg"
    with pytest.raises(ImageDecodeError):
        view(x__png=deep_png(np.zeros((3, 3, 3), np.uint16))[:60])["x.png"]
    with pytest.raises(PixCrawlerError):
        view(x__png=b"\x89PNG\r\n\x1a\n")["x.png"]


def test_arrays_and_objects() -> None:
    store = DecodedView({})
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    store["a.npy"] = array
    assert (store["a.npy"] == array).all()
    store["b.npz"] = {"x": array, "y": array + 1}
    assert {name: one.tolist() for name, one in store["b.npz"].items()} == {
        "x": array.tolist(),
        "y": (array + 1).tolist(),
    }
    value = {"label": "cat", "box": [1, 2.5, None]}
    for name in (
        "c.json",
        "c.pkl",
        "c.PICKLE",
        "c.json.gz",
        "c.json.xz",
        "c.json.bz2",
        "c.json.lzma",
        "c.json.gzip.bz2",
    ):
        store[name] = value
        assert store[name] == value, name
    assert json.loads(store.store["c.json"]) == value
    store["d.npy.bz2"] = array
    assert (store["d.npy.bz2"] == array).all()
    objects = io.BytesIO()
    np.save(objects, np.array([{}], dtype=object), allow_pickle=True)
    store.store["evil.npy"] = objects.getvalue()
    with pytest.raises(ValueError, match="allow_pickle"):
        store["evil.npy"]
    with pytest.raises(ValueError, match="Object arrays"):
        store["e.npy"] = np.array([{}], dtype=object)


def test_codecs_are_registered_and_forgotten() -> None:
    store = DecodedView({"x.xyz": b"1", "x": b"2", "a.gz": b"3"})
    for name in ("x.xyz", "x", "a.gz"):
        with pytest.raises(ValueError, match="No codec registered for"):
            store[name]
        with pytest.raises(ValueError, match="No codec registered for"):
            store[name] = b""
    store.register_codec([".xyz", ".ABC"], str.encode, bytes.decode)
    assert store["x.xyz"] == "1"
    store["y.abc"] = "text"
    assert store["y.ABC".lower()] == "text"
    store.register_codec([".rev"], lambda data: data[::-1], lambda data: data[::-1], nonfinal=True)
    store["z.xyz.rev"] = "text"
    assert store.store["z.xyz.rev"] == b"txet"
    assert store["z.xyz.rev"] == "text"
    assert ".jpg" in store.codecs
    # Those of one view are not another's.
    assert ".xyz" not in DecodedView({}).codecs
    store.clear_codecs()
    with pytest.raises(ValueError, match="No codec"):
        store["x.xyz"]
    with pytest.raises(KeyError):
        DecodedView({})["nothing.jpg"]
    assert barecat.DecodedView is DecodedView
