"""Small images, made."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


def image_bytes(kind: str = "JPEG", size: tuple[int, int] = (16, 12), seed: int = 0) -> bytes:
    """A small image of (width, height)."""
    stream = io.BytesIO()
    Image.new("RGB", size, (seed % 256, 100, 200)).save(stream, kind)
    return stream.getvalue()


def make_images(folder: Path, count: int = 5, labels: tuple[str, ...] = ("cat", "dog")) -> Path:
    """A folder of small JPEGs, spread over folders by label."""
    for index in range(count):
        path = folder / labels[index % len(labels)] / f"{index:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes(seed=index))
    return folder
