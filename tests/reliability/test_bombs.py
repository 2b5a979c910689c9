"""B: what claims to be huge, or grows huge."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from support import encode, picture

if TYPE_CHECKING:
    from oracle import Examiner


def jpeg_of_size(height: int, width: int) -> bytes:
    """A small JPEG whose header says another size."""
    data = bytearray(encode(picture(16, 16), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def test_B07_jpeg_header_of_4_gigapixels(examiner: Examiner) -> None:
    outcome = examiner.images({"b.jpg": jpeg_of_size(65535, 65535)}, growth_bytes=8 << 20)
    assert outcome.codes == {"b.jpg": "limit_pixels"}
    assert "Limits.pixels" in outcome.text
    assert not outcome.delivered
