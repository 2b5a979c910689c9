# ruff: noqa: INP001 - a script, not a package
"""Writes golden.txt beside this file: CRC-32s of Pillow's resizes, which golden.rs compares with ours.

Run it with Pillow 13.0.0; older versions order the two passes in another way. Each line is
``width height out_width out_height channels filter crc``.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from PIL import Image, __version__

SIZES = [
    ((1, 1), (7, 5)), ((7, 5), (1, 1)), ((1, 300), (20, 20)), ((300, 1), (20, 20)), ((40, 30), (40, 17)),
    ((40, 30), (23, 30)), ((50, 50), (50, 50)), ((100, 75), (45, 45)), ((75, 100), (45, 45)), ((64, 96), (32, 32)),
    ((97, 61), (224, 224)), ((500, 375), (64, 64)), ((30, 400), (60, 100)), ((333, 20), (9, 40)), ((60, 90), (90, 60)),
    ((130, 131), (129, 130)), ((640, 480), (10, 300)), ((12, 200), (11, 3)),
    # About the limit where the height is resized first.
    ((100, 200), (60, 119)), ((100, 200), (60, 120)), ((100, 200), (60, 121)), ((100, 200), (65, 125)),
    ((50, 90), (60, 89)), ((50, 90), (60, 91)), ((50, 90), (55, 60)),
    # Windows of a thousand samples and more.
    ((3001, 2), (5, 2)), ((2, 2999), (2, 7)),
]  # fmt: skip
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def pixels(length: int) -> bytes:
    """The source's bytes: the top byte of a multiplicative hash, every fifth pushed to black or white."""
    values = ((i * 2654435761 & 0xFFFFFFFF) >> 24 for i in range(length))
    return bytes((255 if v & 128 else 0) if i % 5 == 0 else v for i, v in enumerate(values))


def main() -> None:
    """Computes every case and writes the table."""
    if __version__ != "13.0.0":
        message = f"the table is Pillow 13.0.0's, this is {__version__}"
        raise SystemExit(message)
    lines = []
    for size, out in SIZES:
        for channels, mode in MODES.items():
            image = Image.frombytes(mode, size, pixels(size[0] * size[1] * channels))
            for name, method in FILTERS.items():
                crc = zlib.crc32(image.resize(out, method).tobytes())
                lines.append(f"{size[0]} {size[1]} {out[0]} {out[1]} {channels} {name} {crc:08x}\n")
    Path(__file__).with_name("golden.txt").write_text("".join(lines), encoding="ascii")


if __name__ == "__main__":
    main()
