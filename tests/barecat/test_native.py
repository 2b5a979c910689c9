"""The native calls under an archive: checksums and positioned reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pixcrawler import _native
from pixcrawler.barecat import BarecatIntegrityError

if TYPE_CHECKING:
    from pathlib import Path


def test_crc32c_of_known_bytes_and_of_parts() -> None:
    assert _native.crc32c(b"") == 0
    assert _native.crc32c(b"123456789") == 0xE3069283
    assert _native.crc32c(bytes(32)) == 0x8A9136AA
    data = bytes(range(256)) * 1000
    for cut in (0, 1, 63, 4096, 100_000, len(data)):
        assert _native.crc32c(data[cut:], _native.crc32c(data[:cut])) == _native.crc32c(data)
    for wrong in (bytearray(b"1"), "1", None):
        with pytest.raises(TypeError):
            _native.crc32c(wrong)  # type: ignore[arg-type]


def test_reads_at_positions(tmp_path: Path) -> None:
    data = bytes(range(256)) * 2000
    (tmp_path / "x").write_bytes(data)
    file = _native.LocalFile(tmp_path / "x")
    assert file.read_bytes(5, 10) == data[5:15]
    assert file.read_bytes(len(data), 0) == b""
    assert file.read_bytes(0, 3, _native.crc32c(data[:3])) == data[:3]
    for offset, size in ((len(data), 1), (0, len(data) + 1), (2**62, 5), (5, 2**62), (2**64 - 1, 5), (2**63, 0)):
        with pytest.raises(BarecatIntegrityError) as short:
            file.read_bytes(offset, size)
        assert short.value.code == "shard_short"
    with pytest.raises(OverflowError):
        file.read_bytes(-1, 5)
    places = [(n * 7919 % len(data), n % 977) for n in range(2000)]
    items = [(file, start, size, None) for start, size in places]
    for threads in (1, 2, 4):
        found = _native.read_many(items, threads)
        for (start, size), one in zip(places, found, strict=True):
            if start + size <= len(data):
                assert one == data[start : start + size]
            else:
                assert isinstance(one, BarecatIntegrityError)
    wrong = _native.read_many([(file, 0, 3, 5), (file, 0, 2**62, None), (file, 3, 1, None)], 2)
    assert [getattr(one, "code", one) for one in wrong] == ["crc32c", "shard_short", data[3:4]]
