"""PNG files chunk by chunk, right or wrong in one place (PNG third edition, clauses 5, 7, 8 and 11)."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, INDEXED, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, INDEXED: 1, GREY_ALPHA: 2, RGBA: 4}
# Colour type -> the bit depths that it has (PNG 11.2.1).
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), INDEXED: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
# The first column and row of each pass of Adam7 and the steps to the next ones (PNG 8.2).
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(name: bytes, data: bytes = b"", *, crc: int | None = None, length: int | None = None) -> bytes:
    """A chunk with its right CRC and length, or with wrong ones."""
    right = zlib.crc32(name + data)
    return (
        struct.pack(">I", len(data) if length is None else length)
        + name
        + data
        + struct.pack(">I", right if crc is None else crc)
    )


def ihdr(width: int, height: int, depth: int = 8, color_type: int = RGB, *, interlaced: bool = False) -> bytes:
    """The header chunk."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, interlaced))


IEND = chunk(b"IEND")


def png(*chunks: bytes) -> bytes:
    """Signature and chunks, without an end chunk of its own."""
    return SIGNATURE + b"".join(chunks)


def scanlines(samples: NDArray[np.integer], depth: int, *, filter_type: int = 0) -> bytes:
    """Rows (height, width, channels) packed and each behind its filter byte; the bytes are those of filter 0."""
    height, width, channels = samples.shape
    flat = samples.reshape(height, width * channels)
    if depth == 16:
        packed = flat.astype(">u2").view(np.uint8).reshape(height, -1)
    elif depth == 8:
        packed = flat.astype(np.uint8)
    else:
        bits = (flat[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1
        packed = np.packbits(bits.reshape(height, -1).astype(np.uint8), axis=1)
    return b"".join(bytes([filter_type]) + row.tobytes() for row in packed)


def interlaced(samples: NDArray[np.integer], depth: int) -> bytes:
    """The scanlines of the seven passes of Adam7, of those that have pixels."""
    passes = (samples[top::down, left::right] for left, top, right, down in ADAM7)
    return b"".join(scanlines(part, depth) for part in passes if part.size)


def idats(raw: bytes, sizes: Iterable[int] = (), *, level: int = 6) -> list[bytes]:
    """Filtered rows as IDAT chunks: of the given sizes first, the rest in one more."""
    stream = zlib.compress(raw, level)
    chunks = []
    for size in sizes:
        chunks.append(chunk(b"IDAT", stream[:size]))
        stream = stream[size:]
    return [*chunks, chunk(b"IDAT", stream)] if stream else chunks


def picture_of(
    samples: NDArray[np.integer],
    depth: int = 8,
    color_type: int = RGB,
    *,
    before: Iterable[bytes] = (),
    is_interlaced: bool = False,
) -> bytes:
    """A whole file: samples (height, width, channels), with chunks between its header and its pixels."""
    height, width, channels = samples.shape
    assert channels == CHANNELS[color_type]
    raw = interlaced(samples, depth) if is_interlaced else scanlines(samples, depth)
    return png(ihdr(width, height, depth, color_type, interlaced=is_interlaced), *before, *idats(raw), IEND)


def random_samples(height: int, width: int, depth: int, color_type: int, seed: int = 0) -> NDArray[np.uint16]:
    """Samples over the whole range of the depth."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 1 << depth, (height, width, CHANNELS[color_type]), dtype=np.uint16)


def palette(entries: int, seed: int = 0) -> bytes:
    """A PLTE chunk of random colours."""
    return chunk(b"PLTE", np.random.default_rng(seed).integers(0, 256, entries * 3, dtype=np.uint8).tobytes())
