"""B01 to B06: zip chunks that claim to be huge, or grow huge."""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pixcrawler import LimitError, PixCrawlerError, load_dataset
from pixcrawler.limits import Limits
from support import encode, make_decoder, open_directory, picture
from zip_builder import DEFLATE, IN_ZIP64_32, Member, build, deflate, zip64_extra, zip_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from oracle import Examiner

IMAGE = encode(picture(6, 7, 1))
GOOD = [Member("first.png", IMAGE), Member("last.png", IMAGE)]


def zeros(count: int) -> tuple[bytes, int]:
    """A deflate stream of so many zeros (a multiple of 64 MiB), made without inflating it, and its CRC-32."""
    block = 64 << 20
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    once = deflater.compress(bytes(block)) + deflater.flush(zlib.Z_FULL_FLUSH)
    assert count % block == 0
    crc, data = 0, bytes(block)
    for _ in range(min(count // block, 4)):
        crc = zlib.crc32(data, crc)
    return once * (count // block) + b"\x03\0", crc


def test_B01_ten_gigabytes_of_zeros(examiner: Examiner) -> None:
    size = 160 * (64 << 20)
    stream, crc = zeros(size)
    assert size > 10**10
    assert len(stream) < 11 * 10**6
    wide = {"size": IN_ZIP64_32, "crc": crc}
    honest = Member("honest.png", b"", DEFLATE, stream, local=dict(wide), central=dict(wide))
    honest.local |= {"packed_size": IN_ZIP64_32}
    honest.local_extra, honest.central_extra = zip64_extra(size, len(stream)), zip64_extra(size)
    # One that says less: inflating stops one byte behind what it says, which is within the limit.
    most = 256 << 20
    modest = Member("modest.png", b"", DEFLATE, stream).both(size=most, crc=crc)
    data = zip_bytes([GOOD[0], honest, modest, GOOD[1]])
    outcome = examiner.chunk(data, seconds=4, growth_bytes=512 << 20)
    assert outcome.codes == {"honest.png": "limit_inflated", "modest.png": "size_mismatch"}
    assert "Limits.inflated_bytes" in outcome.text
    assert list(outcome.delivered) == ["first.png", "last.png"]
    alone = examiner.chunk(zip_bytes([honest]), seconds=1, growth_bytes=8 << 20)
    assert alone.codes == {"honest.png": "limit_inflated"}


def test_B01_the_ratio_is_limited(examiner: Examiner) -> None:
    data = bytes(40 << 20)
    outcome = examiner.chunk(zip_bytes([GOOD[0], Member("a.png", data, DEFLATE)]), growth_bytes=8 << 20)
    assert outcome.codes == {"a.png": "limit_ratio"}
    assert "Limits.inflate_ratio" in outcome.text


@pytest.mark.parametrize(("limit", "code"), [("member_bytes", "limit_member"), ("inflated_bytes", "limit_inflated")])
def test_B01_the_limits_are_the_users(examiner: Examiner, limit: str, code: str) -> None:
    data = zip_bytes([Member("a.png", IMAGE)])
    assert examiner.chunk(data, limits={limit: len(IMAGE) - 1}).codes == {"a.png": code}
    assert f"Limits.{limit}" in examiner.chunk(data, limits={limit: 9}).text
    assert list(examiner.chunk(data, limits={limit: len(IMAGE)}).delivered) == ["a.png"]


@pytest.mark.parametrize("declared", [0, 1, 1000, 65_535, (16 << 20) - 1])
def test_B02_more_than_declared(examiner: Examiner, declared: int) -> None:
    stream, crc = zeros(1 << 30)
    member = Member("a.png", b"", DEFLATE, stream).both(size=declared, crc=crc)
    # At most what is declared and one byte, and a first guess by the packed size.
    growth = min(declared, 2 * len(stream)) + (16 << 20)
    outcome = examiner.chunk(zip_bytes([GOOD[0], member, GOOD[1]]), seconds=3, growth_bytes=growth)
    assert outcome.codes == {"a.png": "size_mismatch"}
    assert f"more than the {declared} bytes" in outcome.text
    assert list(outcome.delivered) == ["first.png", "last.png"]


@pytest.mark.parametrize(
    "declared", [1 << 40, (1 << 63) - 1, (1 << 64) - 1, 200 << 20, 16 << 20], ids=lambda n: f"{n:#x}"
)
def test_B03_less_than_declared(examiner: Examiner, declared: int) -> None:
    stream = deflate(b"tiny")
    member = Member("a.png", b"", DEFLATE, stream, local={"size": IN_ZIP64_32, "packed_size": IN_ZIP64_32})
    member.central = {"size": IN_ZIP64_32}
    member.local_extra, member.central_extra = zip64_extra(declared, len(stream)), zip64_extra(declared)
    outcome = examiner.chunk(zip_bytes([GOOD[0], member, GOOD[1]]), growth_bytes=8 << 20, seconds=2)
    assert outcome.codes == {"a.png": "size_mismatch"}
    assert list(outcome.delivered) == ["first.png", "last.png"]


def test_B03_a_stream_that_ends_early(examiner: Examiner) -> None:
    # So large that the declared size is possible, and the stream ends at once all the same.
    stream = deflate(b"tiny") + bytes(200_000)
    member = Member("a.png", b"", DEFLATE, stream).both(size=15 << 20)
    outcome = examiner.chunk(zip_bytes([GOOD[0], member]), growth_bytes=8 << 20, seconds=2)
    assert outcome.codes == {"a.png": "size_mismatch"}


def test_B04_a_hundred_thousand_members(examiner: Examiner) -> None:
    data = zip_bytes([Member(f"{n:06d}", b"twenty bytes, no more") for n in range(100_000)], end64={})
    began = time.process_time()
    directory = open_directory(data)
    decoder = make_decoder()
    errors = decoder.decode([(data, 0, directory, index) for index in directory.samples], max_bytes=1 << 20)
    seconds = time.process_time() - began
    assert {error.code for error in errors if isinstance(error, PixCrawlerError)} == {"not_an_image"}
    assert len(errors) == 100_000
    # 2 s on a machine that does nothing else.
    assert seconds < 20
    outcome = examiner.chunk(data, limits={"entries": 99_999}, seconds=2, growth_bytes=16 << 20)
    assert outcome.code == "limit_entries"


def test_B05_a_chunk_that_inflates_to_too_much(examiner: Examiner) -> None:
    names = [f"{n}.png" for n in range(8)]
    members = [Member(name, encode(picture(40, 40, n)), DEFLATE) for n, name in enumerate(names)]
    sizes = [len(member.data) for member in members]
    data = zip_bytes(members)
    for count in (0, 1, 4, 7, 8):
        limit = sum(sizes[:count])
        outcome = examiner.chunk(data, limits={"chunk_inflated_bytes": limit}, entries=names)
        assert list(outcome.delivered) == names[:count]
        assert outcome.codes == dict.fromkeys(names[count:], "limit_chunk_inflated")
        assert count == 8 or "Limits.chunk_inflated_bytes" in outcome.text
        assert count == 8 or f"the limit is {limit}" in outcome.text


def test_B05_what_is_refused_does_not_count(examiner: Examiner) -> None:
    refused = Member("0.png", bytes(9_000_000), DEFLATE, flags=1)
    data = zip_bytes([refused, Member("1.png", IMAGE), Member("2.png", IMAGE)])
    outcome = examiner.chunk(data, limits={"chunk_inflated_bytes": 2 * len(IMAGE)})
    assert outcome.codes == {"0.png": "encrypted"}
    assert list(outcome.delivered) == ["1.png", "2.png"]


def test_B05_stops_when_raising(tmp_path: Path) -> None:
    path = tmp_path / "chunk.zip"
    path.write_bytes(zip_bytes([Member(f"{n}.png", IMAGE) for n in range(3)]))
    with load_dataset(path, limits=Limits(chunk_inflated_bytes=len(IMAGE))) as dataset:
        samples = iter(dataset)
        np.testing.assert_array_equal(next(samples)[0], picture(6, 7, 1))
        with pytest.raises(LimitError, match=r"Limits\.chunk_inflated_bytes") as caught:
            next(samples)
    assert (caught.value.code, caught.value.member) == ("limit_chunk_inflated", "1.png")


@pytest.mark.parametrize("is_zip64", [False, True], ids=["", "zip64"])
def test_B06_names_of_four_gigabytes(examiner: Examiner, is_zip64: bool) -> None:
    # As many entries as fit the count, each with a name as long as can be: claimed, not there.
    entry = Member(b"n" * 65_535, IMAGE).central_record(0)
    claimed = 65_535 * len(entry)
    numbers = {"entries": 65_535, "entries_here": 65_535}
    if is_zip64:
        data = build([], end64={**numbers, "directory_size": claimed}).data
    else:
        data = build([], end={**numbers, "directory_size": min(claimed, 0xFFFF_FFFE)}).data
    assert claimed > 4 * 10**9
    assert examiner.chunk(data, growth_bytes=8 << 20, seconds=1).code == "directory_bounds"
    # One such entry is there, and its claims are those of all.
    whole = build([Member(b"n" * 65_535, IMAGE)], end=numbers).data
    assert examiner.chunk(whole, growth_bytes=8 << 20, seconds=1).code == "entry_count"
    archive = build([Member("a.png", IMAGE)])
    broken = bytearray(archive.data)
    broken[archive.centrals[0] + 28 : archive.centrals[0] + 32] = b"\xff\xff\xff\xff"
    assert examiner.chunk(bytes(broken), growth_bytes=8 << 20, seconds=1).code == "directory_bounds"
