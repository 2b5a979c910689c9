"""Helpers of several test files: chunks made in memory, whole corpora decoded at once, code run in a child process."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import textwrap
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

import pixcrawler
from pixcrawler import _native
from pixcrawler._native import Directory
from pixcrawler.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

# What decoding under any fault may take, so that a hang is a failure and a loaded machine is not.
CHILD_TIMEOUT_S = 50


def encode(pixels: NDArray[np.uint8] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """An image file as Pillow writes it."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def picture(height: int, width: int, seed: int = 0, channels: int = 3) -> NDArray[np.uint8]:
    """Pixels with structure at every scale and noise: what a filter with a wrong weight would show on."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    base = 127 + 80 * np.sin(rows / 7 + seed)[..., None] + 40 * np.cos(columns / 5)[..., None]
    noise = rng.integers(-60, 60, (height, width, channels))
    pixels = np.clip(base + noise, 0, 255).astype(np.uint8)
    return pixels[:, :, 0] if channels == 1 else pixels


def numbered(count: int, *, height: int = 6, width: int = 5, labels: int = 3) -> dict[str, bytes]:
    """PNG members ``label/0007.png`` whose every pixel is (number % 256, number // 256, 99), in order."""
    members = {}
    for number in range(count):
        pixels = np.full((height, width, 3), (number % 256, number // 256, 99), np.uint8)
        members[f"label{number % labels}/{number:04d}.png"] = encode(pixels, compress_level=1)
    return members


def number_of(image: NDArray[np.uint8]) -> int:
    """Which of :func:`numbered` an image is; all its pixels must say the same."""
    assert (image == image[0, 0]).all()
    assert image[0, 0, 2] == 99
    return int(image[0, 0, 0]) + 256 * int(image[0, 0, 1])


def write_zip(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """A chunk on the disk."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def member_name(member: str, _label: Any, _metadata: dict[str, Any]) -> str:
    """A ``label_fn`` that tells which member an image is."""
    return member


def decode_files(
    path: Path, files: Mapping[str, bytes], **options: Any
) -> tuple[dict[str, NDArray[np.uint8]], dict[str, pixcrawler.Failure]]:
    """All files as one chunk through the public API: by name, the arrays, and the failures of those without one.

    Asserts that each file is either delivered or reported, exactly once.
    """
    chunk = write_zip(path / "files.zip", files)
    images = {}
    with pixcrawler.load_dataset(chunk, on_error="skip", label_fn=member_name, **options) as dataset:
        for image, name in catching_warning(dataset):
            assert name not in images
            images[name] = image
        failures = {failure.member or "": failure for failure in dataset.failures}
        assert len(failures) == len(dataset.failures)
    assert images.keys().isdisjoint(failures)
    assert images.keys() | failures.keys() == files.keys()
    return images, failures


def catching_warning(items: Iterable[Any]) -> list[Any]:
    """All items of a pass; the warning that samples were left out or kept is expected."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*were (left out|kept).*")
        return list(items)


def make_decoder(**options: Any) -> _native.Decoder:
    """A native decoder; every option has the default of ``load_dataset``."""
    defaults: dict[str, Any] = {
        "mode": "RGB",
        "image_size": None,
        "resize_mode": "stretch",
        "interpolation": "bilinear",
        "apply_exif": True,
        "draft": False,
        "keep_truncated": False,
        "limits": Limits(),
        "threads": 2,
        "working_bytes": 64 << 20,
    }
    return _native.Decoder(**{**defaults, **options})


def bare_items(files: Sequence[bytes]) -> list[_native.Item]:
    """Image files as the native decoder takes them, each in a buffer and directory of its own."""
    return [(data, 0, _native.Directory.bare([f"{at}"], [len(data)]), 0) for at, data in enumerate(files)]


def decode_one(data: bytes, **options: Any) -> NDArray[np.uint8]:
    """One image through the native decoder; raises its error."""
    (result,) = make_decoder(**options).decode(bare_items([data]), max_bytes=1 << 30)
    if isinstance(result, pixcrawler.PixCrawlerError):
        raise result
    if isinstance(result, _native.Kept):
        assert result.image is not None
        return result.image
    return result


def open_directory(data: bytes, limits: Limits | None = None) -> Directory:
    """A zip's directory as a source reads it: from its last 64 KiB."""
    limits = limits or Limits()
    location = Directory.locate(data[-65536:], len(data), limits)
    return Directory(data[location.start : location.stop], location, len(data), limits)


def read_all(data: bytes) -> dict[str, bytes]:
    """Every file of a zip by name, each from bytes that hold no more than its extent."""
    directory = open_directory(data)
    members = {}
    for index in range(len(directory)):
        name = directory.name(index)
        if not name.endswith("/"):
            start, stop = directory.extent(index)
            members[name] = directory.read_member(index, data[start:stop], start)
    return members


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def repair_png(data: bytes) -> bytes:
    """A PNG with the right CRC on every chunk: most fuzzed ones would be refused for that alone."""
    out, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + length]
        if at + 12 + length > len(data):
            break
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return bytes(out + data[at:])


def run_child(code: str, *arguments: object, timeout_s: float = CHILD_TIMEOUT_S, expect: int = 0) -> str:
    """Run Python code in a process of its own; returns its stdout.

    Asserts its exit status: a signal is a negative one. Whatever the child wrote to stderr is in the message.
    """
    environment = {**os.environ, "PYTHONFAULTHANDLER": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env=environment,
    )
    assert process.returncode == expect, f"exit status {process.returncode}\n{process.stdout}\n{process.stderr}"
    assert "panicked" not in process.stderr, process.stderr
    return process.stdout


def checksums(dataset: pixcrawler.Dataset, batch_size: int = 16) -> list[tuple[int, Any]]:
    """One number and the label of every image, in order, through batches of 32 x 32: to compare between processes."""
    pairs = []
    for images, labels in dataset.iter_batches(batch_size, image_size=32):
        pairs.extend((zlib.crc32(image.tobytes()), label) for image, label in zip(images, labels, strict=True))
    return pairs


def peak_bytes() -> int:
    """The most resident memory that this process has had."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def pillow_pixels(data: bytes, mode: str = "RGB") -> NDArray[np.uint8]:
    """Pillow's pixels (height, width, channels) of an image file; 16-bit grey by its high byte, L as of the RGB."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(data))
        image.load()
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
        if mode == "L":
            image = image.convert("RGB")
        pixels = np.asarray(image.convert(mode))
    return pixels[:, :, None] if mode == "L" else pixels


def assert_pixels(data: bytes, message: str = "") -> None:
    """Assert that an image file has Pillow's pixels in every mode."""
    for mode in ("RGB", "L", "RGBA"):
        expected = pillow_pixels(data, mode)
        np.testing.assert_array_equal(decode_one(data, mode=mode), expected, err_msg=f"{message} {mode}")
