"""What the benchmarks run on: photographs, chunks made of them, and their pixels as Pillow reads them."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from workers import BenchError

import pixcrawler

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Photos:
    """A zip of photographs.

    Attributes:
        path: The zip; members are stored, in the order of its directory.
        name: What tables call it.
        num_images: Members.
        size_bytes: Of the zip.
    """

    path: Path
    name: str
    num_images: int
    size_bytes: int

    @classmethod
    def at(cls, path: Path, name: str) -> Photos:
        """Those of an existing zip."""
        return cls(path, name, len(member_names(path)), path.stat().st_size)

    @property
    def description(self) -> str:
        """Name, count and size."""
        return f"{self.name} ({self.num_images} JPEGs, {self.size_bytes / 1e6:.1f} MB)"


@dataclass(frozen=True)
class Setting:
    """What a run of the benchmarks is given.

    Attributes:
        photos: The chunk; most benchmarks use it alone.
        large: Large photographs, if there are any.
        work: A folder for what is made on the way.
        rounds: How often contestants take turns, if it was asked for.
        fast: Whether this is a smoke test, whose figures mean nothing.
    """

    photos: Photos
    large: Photos | None
    work: Path
    rounds: int | None
    fast: bool

    def rounds_or(self, default: int) -> int:
        """How often contestants take turns."""
        return self.rounds or (1 if self.fast else default)

    @property
    def all_photos(self) -> list[Photos]:
        """The chunk and the large photographs."""
        return [self.photos] if self.large is None else [self.photos, self.large]

    @property
    def description(self) -> str:
        """Which photographs these are."""
        return ", ".join(photos.description for photos in self.all_photos)


def make_setting(work: Path, data: Path | None, rounds: int | None, *, fast: bool) -> Setting:
    """Choose the photographs: the test data's, else, and for a smoke test, those that come with the package."""
    folder = data or Path(os.environ.get("PIXCRAWLER_TEST_DATA") or ROOT.parent / "shared" / "data")
    chunk, large = folder / "photos-500.zip", folder / "photos-large.zip"
    if data is not None and not chunk.is_file():
        raise BenchError(f"no photos-500.zip in {data}")
    if fast:
        return Setting(_demo_photos(work, repeats=1), None, work, rounds, fast)
    if not chunk.is_file():
        return Setting(_demo_photos(work, repeats=21), None, work, rounds, fast)
    own_large = Photos.at(large, large.name) if large.is_file() else None
    return Setting(Photos.at(chunk, chunk.name), own_large, work, rounds, fast)


def _demo_photos(work: Path, *, repeats: int) -> Photos:
    folder = Path(pixcrawler.__file__).parent / "demo" / "photos"
    files = sorted(folder.glob("*/*.jpg"))
    if not files:
        raise BenchError(f"no photographs in {folder}")
    path = work / "demo-photos.zip"
    write_chunk(path, [file.read_bytes() for file in files] * repeats)
    name = f"the package's own {len(files)} photographs"
    return Photos.at(path, name if repeats == 1 else f"{name}, {repeats} times")


def member_names(path: Path) -> list[str]:
    """The image members of a zip, in order."""
    with zipfile.ZipFile(path) as archive:
        return [info.filename for info in archive.infolist() if not info.is_dir() and info.filename != "metadata.jsonl"]


def read_members(path: Path) -> list[bytes]:
    """The image members' bytes, in order."""
    with zipfile.ZipFile(path) as archive:
        return [archive.read(name) for name in member_names(path)]


def write_chunk(path: Path, payloads: Iterable[bytes]) -> None:
    """Write a chunk of stored members, in ten label folders by turns."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, payload in enumerate(payloads):
            archive.writestr(f"label{number % 10}/{number:06d}.jpg", payload)


def write_payloads(path: Path, payloads: Iterable[bytes]) -> None:
    """Write files one after the other, each behind its length: what the C loop reads."""
    with path.open("wb") as file:
        for payload in payloads:
            file.write(struct.pack("<I", len(payload)))
            file.write(payload)


def make_chunk(photos: Photos, path: Path, size_bytes: int) -> Photos:
    """A chunk of about that size: photographs repeated in turn under names of their own."""
    payloads = read_members(photos.path)
    chosen: list[bytes] = []
    total = 0
    while total < size_bytes:
        payload = payloads[len(chosen) % len(payloads)]
        chosen.append(payload)
        total += len(payload)
    write_chunk(path, chosen)
    return Photos.at(path, path.name)


def make_thumbnails(photos: Photos, path: Path, side: int, count: int) -> Photos:
    """A chunk of small square JPEGs made of the photographs."""
    from PIL import Image

    payloads = []
    for payload in read_members(photos.path)[:count]:
        file = io.BytesIO()
        Image.open(io.BytesIO(payload)).convert("RGB").resize((side, side)).save(file, "JPEG", quality=85)
        payloads.append(file.getvalue())
    write_chunk(path, (payloads[number % len(payloads)] for number in range(count)))
    return Photos.at(path, path.name)


def pillow_pixels(payload: bytes, size: int | None, *, orient: bool = True) -> NDArray[np.uint8]:
    """An image as Pillow reads it: RGB, turned as its EXIF block says, resized to a square by antialiased BILINEAR."""
    from PIL import Image, ImageOps

    opened: Image.Image = Image.open(io.BytesIO(payload))
    image = (ImageOps.exif_transpose(opened) if orient else opened).convert("RGB")
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def check_file(file: Path, photos: Photos, size: int | None, *, orient: bool = True) -> float:
    """Compare a file of all pixels, image after image, with Pillow's.

    Returns:
        The mean absolute difference in levels; 0.0 only if all are equal.

    Raises:
        BenchError: The file has another length.
    """
    total, count = 0.0, 0
    with file.open("rb") as pixels:
        for payload in read_members(photos.path):
            expected = pillow_pixels(payload, size, orient=orient).reshape(-1)
            found = np.frombuffer(pixels.read(expected.nbytes), np.uint8)
            if found.size != expected.size:
                raise BenchError(f"{file.name}: pixels are missing at its end")
            if not np.array_equal(found, expected):
                total += float(np.abs(found.astype(np.int16) - expected).sum())
            count += expected.size
        if pixels.read(1):
            raise BenchError(f"{file.name}: more pixels than the images have")
    return total / count


def expected_crc(photos: Photos, size: int | None, times: int) -> int:
    """CRC-32 of all pixels, image after image, of a chunk that comes several times, as Pillow reads them."""
    crcs = 0
    images: Sequence[NDArray[np.uint8]] = [pillow_pixels(payload, size) for payload in read_members(photos.path)]
    for _ in range(times):
        for image in images:
            crcs = zlib.crc32(image.tobytes(), crcs)
    return crcs


def batch_of(photos: Photos, start: int, stop: int, size: int) -> NDArray[np.uint8]:
    """Some images of a chunk as one batch, as Pillow reads them."""
    return np.stack([pillow_pixels(payload, size) for payload in read_members(photos.path)[start:stop]])
