"""GIF, BMP and TIFF files field by field, right or wrong in one place."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray


def lzw(values: Iterable[int], bits: int, *, is_tiff: bool = False) -> bytes:
    """LZW as GIF has it (codes from ``bits`` + 1 on, low bits first), or as TIFF (from 9 on, high bits first)."""
    clear, end = 1 << bits, (1 << bits) + 1
    codes: list[tuple[int, int]] = []
    width = bits + 1
    table: dict[tuple[int, ...], int] = {}

    def reset() -> None:
        nonlocal table, width
        codes.append((clear, width))
        table = {(value,): value for value in range(clear)}
        width = bits + 1

    reset()
    prefix: tuple[int, ...] = ()
    for value in values:
        if (longer := (*prefix, value)) in table:
            prefix = longer
            continue
        codes.append((table[prefix], width))
        table[longer] = len(table) + 2
        # TIFF widens its codes one entry sooner.
        if len(table) + 2 + is_tiff > 1 << width:
            width += 1
        if len(table) + 2 >= 4094:
            codes.append((clear, width))
            table = {(value,): value for value in range(clear)}
            width = bits + 1
        prefix = (value,)
    if prefix:
        codes.append((table[prefix], width))
        if len(table) + 3 + is_tiff > 1 << width and width < 12:
            width += 1
    codes.append((end, width))
    if is_tiff:
        text = "".join(f"{code:0{size}b}" for code, size in codes)
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")
    text = "".join(f"{code:0{size}b}" for code, size in reversed(codes))
    return int(text, 2).to_bytes((len(text) + 7) // 8, "little")


# GIF89a.


def sub_blocks(data: bytes, size: int = 255) -> bytes:
    """Data in sub-blocks, and the empty one that ends them."""
    parts = (data[at : at + size] for at in range(0, len(data), size))
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def colour_table(colors: NDArray[np.uint8] | None) -> tuple[int, bytes]:
    """The flags of a colour table of 2, 4 ... 256 colours, and its bytes."""
    if colors is None:
        return 0, b""
    size = len(colors).bit_length() - 2
    assert len(colors) == 2 << size
    return 0x80 | size, colors.tobytes()


def control(transparent: int | None, flags: int = 0) -> bytes:
    """A graphic control extension."""
    is_transparent = transparent is not None
    return b"!\xf9\4" + struct.pack("<BHB", flags | is_transparent, 7, transparent or 0) + b"\0"


def gif_frame(
    indices: NDArray[np.uint8],
    *,
    left: int = 0,
    top: int = 0,
    bits: int = 8,
    colors: NDArray[np.uint8] | None = None,
    interlaced: bool = False,
) -> bytes:
    """An image descriptor, its colour table and its pixels."""
    height, width = indices.shape
    flags, table = colour_table(colors)
    if interlaced:
        order = [*range(0, height, 8), *range(4, height, 8), *range(2, height, 4), *range(1, height, 2)]
        indices = indices[order]
    head = b"," + struct.pack("<HHHHB", left, top, width, height, flags | 0x40 * interlaced) + table
    return head + bytes([bits]) + sub_blocks(lzw(indices.ravel().tolist(), bits))


def gif(width: int, height: int, *blocks: bytes, colors: NDArray[np.uint8] | None = None, background: int = 0) -> bytes:
    """A whole file: screen, global colour table, blocks and the end mark."""
    flags, table = colour_table(colors)
    return b"GIF89a" + struct.pack("<HHBBB", width, height, flags, background, 0) + table + b"".join(blocks) + b";"


# Windows bitmaps.


def bmp(
    width: int,
    height: int,
    bits: int,
    data: bytes,
    *,
    compression: int = 0,
    palette: NDArray[np.uint8] | None = None,
    masks: Sequence[int] = (),
    header: int = 40,
    colors: int | None = None,
    offset: int | None = None,
) -> bytes:
    """A bitmap of packed rows; ``height`` below zero for top-down ones."""
    if header == 12:
        fields = struct.pack("<HHHH", width, height, 1, bits)
        table = b"" if palette is None else palette[:, ::-1].tobytes()
    else:
        count = (0 if palette is None else len(palette)) if colors is None else colors
        fields = struct.pack("<IiHHIIiiII", width, height, 1, bits, compression, len(data), 2835, 2835, count, 0)
        table = b"" if palette is None else np.pad(palette[:, ::-1], ((0, 0), (0, 1))).tobytes()
        packed = struct.pack(f"<{len(masks)}I", *masks)
        if header == 40:
            table = packed + table
        else:
            fields = (fields + packed).ljust(header - 4, b"\0")
    start = 14 + header + len(table) if offset is None else offset
    body = struct.pack("<I", header) + fields + table + data
    return b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, start) + body


def packed_rows(samples: NDArray[np.integer], bits: int, align: int = 1) -> bytes:
    """Rows (height, values) of 1 to 16 bits (little-endian), each padded to ``align`` bytes."""
    height = len(samples)
    if bits == 16:
        rows = samples.astype("<u2").view(np.uint8).reshape(height, -1)
    elif bits == 8:
        rows = samples.astype(np.uint8)
    else:
        each = (samples[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
        rows = np.packbits(each.reshape(height, -1).astype(np.uint8), axis=1)
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % align))).tobytes()


# TIFF 6.0.

RAW, LZW, JPEG, DEFLATE, PACK_BITS = 1, 5, 7, 8, 32773


def pack_bits(data: bytes) -> bytes:
    """Section 9: literal runs and repeated bytes."""
    out, at = bytearray(), 0
    while at < len(data):
        run = 1
        while run < 128 and data[at : at + 1] == data[at + run : at + run + 1]:
            run += 1
        if run > 1:
            out += bytes([257 - run, data[at]])
            at += run
        else:
            part = data[at : at + 7]
            out += bytes([len(part) - 1]) + part
            at += len(part)
    return bytes(out)


COMPRESSORS: dict[int, Callable[[bytes], bytes]] = {
    RAW: bytes,
    LZW: lambda data: lzw(data, 8, is_tiff=True),
    DEFLATE: zlib.compress,
    32946: zlib.compress,
    PACK_BITS: pack_bits,
}


def differences(samples: NDArray[np.integer]) -> NDArray[np.integer]:
    """Section 14: each sample less the one before it in its row (height, width, channels)."""
    out = samples.copy()
    out[:, 1:] -= samples[:, :-1]
    return out


def tiff(
    samples: NDArray[np.integer],
    bits: int = 8,
    photometric: int = 2,
    *,
    compression: int = RAW,
    predictor: int = 1,
    order: str = "<",
    rows: int | None = None,
    tile: tuple[int, int] | None = None,
    planar: bool = False,
    extra: Sequence[int] = (),
    more: Mapping[int, tuple[int, Sequence[int]]] | None = None,
    without: Iterable[int] = (),
) -> bytes:
    """A file of one directory: samples (height, width, channels) in strips of ``rows`` or tiles of (height, width).

    ``more`` sets tags to (type, values), over what would be written; ``without`` leaves some out.
    """
    height, width, channels = samples.shape
    planes = [samples[:, :, at : at + 1] for at in range(channels)] if planar else [samples]
    high, wide = tile or (rows or height, width)
    pieces = []
    for plane in planes:
        for y in range(0, height, high):
            for x in range(0, width, wide):
                part = plane[y : y + high, x : x + wide]
                if tile:
                    part = np.pad(part, ((0, high - part.shape[0]), (0, wide - part.shape[1]), (0, 0)))
                if predictor == 2:
                    part = differences(part)
                flat = part.reshape(len(part), -1)
                raw = packed_rows(flat.astype(np.uint16).byteswap() if bits == 16 and order == ">" else flat, bits)
                pieces.append(COMPRESSORS[compression](raw))
    tags: dict[int, tuple[int, Sequence[int]]] = {
        256: (4, [width]),
        257: (3, [height]),
        258: (3, [bits] * channels),
        259: (3, [compression]),
        262: (3, [photometric]),
        277: (3, [channels]),
        284: (3, [2 if planar else 1]),
    }
    if predictor != 1:
        tags[317] = (3, [predictor])
    if extra:
        tags[338] = (3, extra)
    offsets, lengths = (324, 325) if tile else (273, 279)
    if tile:
        tags |= {322: (3, [wide]), 323: (3, [high])}
    else:
        tags[278] = (4, [high])
    data, places = bytearray(b"II*\0" if order == "<" else b"MM\0*") + bytes(4), []
    for piece in pieces:
        places.append(len(data))
        data += piece + b"\0" * (len(piece) % 2)
    tags |= {offsets: (4, places), lengths: (4, [len(piece) for piece in pieces])}
    tags |= dict(more or {})
    return with_directory(data, {tag: entry for tag, entry in tags.items() if tag not in set(without)}, order)


def with_directory(data: bytearray, tags: Mapping[int, tuple[int, Sequence[int]]], order: str) -> bytes:
    """Appends a directory to a file, and sets its place in the header."""
    entries = b""
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}{'BHI'[(1, 3, 4).index(kind)]}", *values)
        if len(packed) > 4:
            packed, place = struct.pack(order + "I", len(data)), packed
            data += place + b"\0" * (len(place) % 2)
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    data[4:8] = struct.pack(order + "I", len(data))
    return bytes(data) + struct.pack(order + "H", len(tags)) + entries + bytes(4)
