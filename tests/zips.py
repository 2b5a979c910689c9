"""Zips made by hand: what :mod:`zipfile` does not write, and fields that a test then changes."""

from __future__ import annotations

import struct
import zlib


def one_member(packed: bytes, content: bytes, *, method: int = 8, name: bytes = b"a.bin") -> bytes:
    """A zip of one member whose bytes in the archive are given, and which declares this content."""
    fields = struct.pack("<HHHHLLLHH", 0, method, 0, 33, zlib.crc32(content), len(packed), len(content), len(name), 0)
    local = b"PK\x03\x04" + struct.pack("<H", 20) + fields + name + packed
    central = b"PK\x01\x02" + struct.pack("<HH", 20, 20) + fields + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + name
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + end
