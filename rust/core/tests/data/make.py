"""Writes the images beside this file and golden.txt: what Pillow makes of each, as CRC-32 of its RGB pixels.

Run with Pillow 13: python make.py
"""

from __future__ import annotations

import zlib
from pathlib import Path

from PIL import Image, ImageOps

here = Path(__file__).parent


def gradient(mode: str, width: int, height: int) -> Image.Image:
    """A picture whose every channel differs from pixel to pixel."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    data = bytes((x * 7 + y * 13 + band * 50) % 256 for y in range(height) for x in range(width) for band in range(bands))
    return Image.frombytes(mode, (width, height), data)


exif = Image.Exif()
exif[0x0112] = 6
gradient("RGB", 33, 17).save(here / "baseline.jpg", quality=80)
gradient("RGB", 33, 17).save(here / "progressive.jpg", quality=80, progressive=True)
gradient("RGB", 33, 17).save(here / "sideways.jpg", quality=80, exif=exif)
gradient("L", 20, 9).save(here / "grey.jpg", quality=80)
gradient("CMYK", 24, 16).save(here / "cmyk.jpg", quality=80)
gradient("RGB", 21, 10).save(here / "rgb.png")
gradient("RGBA", 21, 10).save(here / "alpha.png")
gradient("LA", 21, 10).save(here / "grey-alpha.png")
gradient("RGB", 21, 10).quantize(13).save(here / "palette.png")
gradient("RGB", 24, 14).save(here / "lossy.webp", quality=75)
gradient("RGBA", 24, 14).save(here / "lossless.webp", lossless=True)
frames = [gradient("RGB", 24, 14), Image.new("RGB", (24, 14), "red")]
frames[0].save(here / "animated.webp", save_all=True, append_images=frames[1:], lossless=True)

rows = []
for path in sorted(here.glob("*.*")):
    if path.suffix in {".jpg", ".png", ".webp"}:
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        rows.append(f"{path.name} {image.width} {image.height} {zlib.crc32(image.tobytes()):08x}\n")
(here / "golden.txt").write_text("".join(rows))
