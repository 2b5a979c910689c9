"""Z, the archive as a whole: what is no sound zip is refused before a member is read."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import itertools
import json
import logging
import random
import struct
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import ArchiveError, IntegrityError, LimitError, PixCrawlerClient, PixCrawlerError, load_dataset
from pixcrawler._native import SegmentBuffer
from pixcrawler._retry import Clock
from pixcrawler.limits import Limits
from pixcrawler.sources.api import ApiSource
from pixcrawler.sources.directory import read_directory
from support import encode, open_directory, picture, read_all, run_child, write_zip
from zip_builder import DEFLATE, IN_ZIP64_16, IN_ZIP64_32, Archive, Fields, Member, build, zip64_extra, zip_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oracle import Examiner

PICTURES = {f"{label}/{number}.png": encode(picture(6, 7, number)) for number, label in enumerate(["a", "a", "b"])}
# Noise, so that no member deflates to nothing.
TAIL_BYTES = 65_536


def plain() -> list[Member]:
    """Three small pictures: stored, deflated, and with a data descriptor."""
    stored, deflated, described = (Member(name, data) for name, data in PICTURES.items())
    deflated.method = DEFLATE
    return [stored, deflated, described.described()]


def refusal(examiner: Examiner, data: bytes, **options: Any) -> str | None:
    """The code that a chunk is refused with, nothing of it delivered."""
    outcome = examiner.chunk(data, growth_bytes=8 << 20, seconds=5, **options)
    assert not outcome.delivered
    assert all(failure.member is None for failure in outcome.failures)
    return outcome.code


def native_refusal(data: bytes) -> str | None:
    """The same, without a process of its own: for many inputs."""
    try:
        read_all(data)
    except ArchiveError as error:
        return error.code
    return None


def delivered(examiner: Examiner, data: bytes, **options: Any) -> list[str]:
    """The members delivered; asserts that none failed."""
    outcome = examiner.chunk(data, **options)
    assert not outcome.failures, outcome.text
    assert outcome.error is None, outcome.text
    return list(outcome.delivered)


def test_sound_archives_are_read(examiner: Examiner) -> None:
    for options in ({}, {"end64": {}}, {"comment": b"made by a test"}):
        assert delivered(examiner, zip_bytes(plain(), **options)) == list(PICTURES)


@pytest.mark.parametrize("data", [b"", *(random.Random(n).randbytes(n) for n in (1, 2, 3, 4, 21))], ids=len)
def test_Z01_too_small_to_be_a_zip(examiner: Examiner, data: bytes) -> None:
    outcome = examiner.chunk(data, growth_bytes=8 << 20)
    assert outcome.code == "not_a_zip"
    assert f"{len(data)} bytes" in outcome.text


def test_Z02_cut_anywhere() -> None:
    # Larger than the tail that is fetched first, so that a cut leaves no record in it.
    members = [Member(f"{n}.bin", random.Random(n).randbytes(9_000)) for n in range(30)]
    archive = build([*members, *plain()])
    data = archive.data
    rng = random.Random(2)
    lengths = [*range(len(data) - 1024, len(data)), *(rng.randrange(4, len(data)) for _ in range(100))]
    for length in lengths:
        tail = data[max(0, length - TAIL_BYTES) : length]
        with pytest.raises(ArchiveError) as caught:
            read_directory(tail, length, lambda start, stop: data[start:stop], Limits(), chunk_id="c")
        assert caught.value.code == "truncated", length


def test_Z02_cut_inside_the_comment(examiner: Examiner) -> None:
    # The same bytes as a comment whose length is wrong: one code for both.
    data = zip_bytes(plain(), comment=b"a comment of some length")
    assert {native_refusal(data[:-cut]) for cut in range(1, 25)} == {"comment_length"}
    assert refusal(examiner, data[:-5]) == "comment_length"


def other_kinds() -> dict[str, bytes]:
    page = b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w") as archive:
        info = tarfile.TarInfo("a.jpg")
        info.size = 5000
        archive.addfile(info, io.BytesIO(bytes(5000)))
    return {
        "html": page,
        "json": json.dumps({"error": "no such job"}).encode(),
        "gzip": gzip.compress(page),
        "tar": tape.getvalue(),
        "7z": b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(200),
        "rar": b"Rar!\x1a\x07\x01\0" + bytes(200),
    }


@pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("kind", other_kinds())
def test_Z03_another_kind_of_file_is_named(examiner: Examiner, kind: str, is_large: bool) -> None:
    # Of a large file only the end is read first.
    outcome = examiner.chunk(other_kinds()[kind] + random.Random(3).randbytes(200_000) * is_large)
    assert outcome.code == "not_a_zip"
    assert kind in outcome.text


@pytest.mark.parametrize("kind", other_kinds())
def test_Z03_over_http(kind: str) -> None:
    data = other_kinds()[kind] + random.Random(3).randbytes(200_000)
    with FaultyServer() as server:
        serve_job(server, "job", {"c0": data})
        with load_dataset("job", "key", server.url) as dataset, pytest.raises(ArchiveError, match=kind) as caught:
            next(iter(dataset))
    assert (caught.value.code, caught.value.chunk_id) == ("not_a_zip", "c0")


@pytest.mark.parametrize("count", [0, 2, 4, 1000, IN_ZIP64_16])
def test_Z04_entry_count(examiner: Examiner, count: int) -> None:
    assert refusal(examiner, zip_bytes(plain(), end={"entries": count, "entries_here": count})) == "entry_count"
    assert native_refusal(zip_bytes(plain(), end={"entries": count})) == "entry_count"


@pytest.mark.parametrize("claimed", [1 << 32, 1 << 63, (1 << 64) - 1])
def test_Z05_zip64_entry_count(examiner: Examiner, claimed: int) -> None:
    data = zip_bytes([Member("a.jpg")], end64={"entries": claimed, "entries_here": claimed})
    assert len(data) < 250
    assert refusal(examiner, data) == "entry_count"


def directory_claims() -> dict[str, tuple[Fields, Fields | None]]:
    archive = build(plain())
    offset, size = archive.directory, archive.end - archive.directory
    return {
        "past the end": ({"directory_offset": len(archive.data) + 1}, None),
        "largest": ({"directory_offset": IN_ZIP64_32}, None),
        "negative after correction": ({"directory_offset": offset + 7, "directory_size": size + 7}, None),
        "in a member": ({"directory_offset": archive.locals[1]}, None),
        "in a member, up to the end": (
            {"directory_offset": archive.locals[1], "directory_size": archive.end - archive.locals[1]},
            None,
        ),
        "past the end, zip64": ({}, {"directory_offset": 1 << 62}),
        "over all, zip64": ({}, {"directory_offset": (1 << 64) - 1}),
        "too large": ({"directory_size": size + 1}, None),
        "too small": ({"directory_size": size - 1}, None),
        "over the end record": ({"directory_size": size + 22}, None),
        "largest size": ({"directory_size": IN_ZIP64_32}, None),
        "over all, zip64 size": ({}, {"directory_size": (1 << 64) - 1}),
    }


CLAIMS = directory_claims()


@pytest.mark.parametrize("claim", list(CLAIMS)[:7])
def test_Z06_directory_offset(examiner: Examiner, claim: str) -> None:
    end, end64 = CLAIMS[claim]
    assert refusal(examiner, zip_bytes(plain(), end=end, end64=end64)) == "directory_bounds"


@pytest.mark.parametrize("claim", list(CLAIMS)[7:])
def test_Z07_directory_size(examiner: Examiner, claim: str) -> None:
    end, end64 = CLAIMS[claim]
    assert refusal(examiner, zip_bytes(plain(), end=end, end64=end64)) == "directory_bounds"


@pytest.mark.parametrize("is_counted", [False, True], ids=["outside", "inside"])
@pytest.mark.parametrize("rest", [b"x", b"left over", bytes(46), bytes(4000)], ids=len)
def test_Z08_bytes_behind_the_last_entry(examiner: Examiner, rest: bytes, is_counted: bool) -> None:
    archive = build(plain())
    size = archive.end - archive.directory + len(rest) * is_counted
    data = zip_bytes(plain(), before_end=rest, end={"directory_size": size})
    assert refusal(examiner, data) == "directory_trailing"


def fitting(inner: Archive, outer: Archive) -> bytes:
    """The inner archive with offsets as from the beginning of the outer, in whose comment it is to stand."""
    at = len(outer.data)
    moved = bytearray(inner.data)
    for place in [*(central + 42 for central in inner.centrals), inner.end + 16]:
        (offset,) = struct.unpack_from("<L", moved, place)
        struct.pack_into("<L", moved, place, offset + at)
    return bytes(moved)


def comments() -> dict[str, bytes]:
    inner, outer = build([Member("evil.png", PICTURES["b/2.png"])]), build(plain())
    record64 = build([], end64={}).data[:76]
    return {
        "signature": b"PK\x05\x06",
        "end record": b"PK\x05\x06" + bytes(18),
        "end record, copied": outer.data[outer.end :],
        "whole zip": inner.data,
        "whole zip of this file": fitting(inner, outer),
        "whole zip of this file, and a rest": fitting(inner, outer) + b"rest",
        "zip64 records": record64,
        "zip64 records and end record": build([], end64={}).data,
    }


@pytest.mark.parametrize("comment", comments())
def test_Z09_a_comment_hides_nothing(examiner: Examiner, comment: str) -> None:
    data = zip_bytes(plain(), comment=comments()[comment])
    if "this" in comment:
        assert refusal(examiner, data) == "ambiguous"
    else:
        assert delivered(examiner, data) == list(PICTURES)


@pytest.mark.parametrize("length", [0, 3, 6, 8, 500, 0xFFFF])
def test_Z10_comment_length(examiner: Examiner, length: int) -> None:
    data = zip_bytes(plain(), comment=b"comment", end={"comment_length": length})
    # With no comment declared, it is bytes behind the archive.
    assert refusal(examiner, data) == ("trailing" if length == 0 else "comment_length")


@pytest.mark.parametrize("length", [1, 65_438, 65_439, 65_535])
def test_Z10_comments_of_every_length(examiner: Examiner, length: int) -> None:
    # The longest reaches beyond the tail that is read first.
    assert delivered(examiner, zip_bytes(plain(), comment=b"c" * length)) == list(PICTURES)
    assert delivered(examiner, zip_bytes(plain(), comment=b"c" * length, end64={}, suffix=bytes(64))) == list(PICTURES)


def two_archives() -> dict[str, bytes]:
    one, two = build([Member("x.png", PICTURES["a/0.png"])]), build(plain())
    archive = build(plain())
    end = archive.data[archive.end :]
    return {
        "joined": one.data + two.data,
        "joined, offsets of the file": one.data + fitting(two, one),
        "the same twice": two.data + two.data,
        "two end records": archive.data + end,
    }


@pytest.mark.parametrize("case", two_archives())
def test_Z11_two_archives(examiner: Examiner, case: str) -> None:
    assert refusal(examiner, two_archives()[case]) == "ambiguous"


@pytest.mark.parametrize("is_zip64", [False, True], ids=["", "zip64"])
@pytest.mark.parametrize("counted_from", ["file", "archive"])
def test_Z12_bytes_in_front(examiner: Examiner, counted_from: str, is_zip64: bool) -> None:
    front = b"MZ" + random.Random(4).randbytes(70_000)
    base = len(front) if counted_from == "archive" else 0
    data = zip_bytes(plain(), prefix=front, offsets_count_from=base, end64={} if is_zip64 else None)
    assert refusal(examiner, data) == "prefix"
    assert refusal(examiner, data, limits={"prefix_bytes": len(front) - 1}) == "prefix"
    assert delivered(examiner, data, limits={"prefix_bytes": len(front)}) == list(PICTURES)
    assert "Limits.prefix_bytes" in examiner.chunk(data).text


@pytest.mark.parametrize(
    ("suffix", "code"),
    [
        (bytes(1), None),
        (bytes(64), None),
        (bytes(65), "trailing"),
        (b"x", "trailing"),
        (b"\0x", "trailing"),
        (b"x\0", "trailing"),
        (bytes(5000), "trailing"),
    ],
    ids=["1 NUL", "64 NULs", "65 NULs", "x", "NUL x", "x NUL", "5000 NULs"],
)
def test_Z13_bytes_behind(examiner: Examiner, suffix: bytes, code: str | None) -> None:
    data = zip_bytes(plain(), suffix=suffix)
    if code is None:
        assert delivered(examiner, data) == list(PICTURES)
    else:
        assert refusal(examiner, data) == code


def zip64_members(**central: int) -> list[Member]:
    return [Member("a/0.png", PICTURES["a/0.png"], central=dict(central)), *plain()[1:]]


def test_Z14_zip64_records_without_need(examiner: Examiner) -> None:
    archive = build(plain())
    truth = {"entries": 3, "entries_here": 3, "directory_size": archive.end - archive.directory}
    truth["directory_offset"] = archive.directory
    for count in range(5):
        for told in itertools.combinations(truth.items(), count):
            assert native_refusal(zip_bytes(plain(), end64={}, end=dict(told))) is None, told
    assert delivered(examiner, zip_bytes(plain(), end64={}, end={"entries": 3, "entries_here": 3})) == list(PICTURES)


@pytest.mark.parametrize("field", ["entries", "entries_here", "directory_size", "directory_offset"])
@pytest.mark.parametrize("off", [-1, 1])
def test_Z14_zip64_records_contradict_the_end_record(examiner: Examiner, field: str, off: int) -> None:
    archive = build(plain())
    truth = {"entries": 3, "entries_here": 3, "directory_size": archive.end - archive.directory}
    truth["directory_offset"] = archive.directory
    data = zip_bytes(plain(), end64={}, end={field: truth[field] + off})
    assert refusal(examiner, data) == "zip64_inconsistent"


@pytest.mark.parametrize("field", ["size", "packed_size", "offset"])
def test_Z14_one_field_of_an_entry_in_zip64(examiner: Examiner, field: str) -> None:
    size = len(PICTURES["a/0.png"])
    truth = {"size": size, "packed_size": size, "offset": 0}
    members = zip64_members(**{field: IN_ZIP64_32})
    members[0].central_extra = zip64_extra(truth[field])
    assert delivered(examiner, zip_bytes(members)) == list(PICTURES)
    members[0].central_extra = zip64_extra(truth[field] + 1)
    outcome = examiner.chunk(zip_bytes(members))
    assert outcome.codes["a/0.png"] == ("overlap" if field == "offset" else "size_mismatch")
    # What reaches into the next member, by place or by size, puts that one in doubt too.
    assert "b/2.png" in outcome.delivered


@pytest.mark.parametrize(
    ("end64", "locator", "tail"),
    [
        ({}, {"offset": 1}, b""),
        ({}, {"offset": 1 << 63}, b""),
        ({}, {"offset": (1 << 64) - 1}, b""),
        ({}, {"offset": 0}, b""),
        ({"signature": b"PK\x06\x05"}, {}, b""),
        ({"record_size": 43}, {}, b""),
        ({"record_size": 64}, {}, b""),
        ({"record_size": (1 << 64) - 1}, {}, b""),
        ({"record_size": 0}, {}, b""),
        # The second version of the record says how the directory is encrypted (APPNOTE 7.3.4).
        ({"version": 62}, {}, bytes(28)),
    ],
    ids=[
        "locator 1",
        "locator 2^63",
        "locator 2^64-1",
        "locator 0",
        "signature",
        "short",
        "long",
        "longest",
        "empty",
        "version 2",
    ],
)
def test_Z15_zip64_records(examiner: Examiner, end64: Fields, locator: Fields, tail: bytes) -> None:
    data = zip_bytes(plain(), end64=end64, locator=locator, end64_tail=tail)
    # A locator that points before its record is what bytes in front of an archive look like.
    expected = {"prefix"} if locator and not isinstance(locator["offset"], bytes) and locator["offset"] < 2 else set()
    assert refusal(examiner, data) in expected | {"zip64_inconsistent"}


def test_Z15_the_record_overlaps_its_locator(examiner: Examiner) -> None:
    archive = build(plain(), end64={})
    # 8 bytes are taken out: the record's end and the locator's beginning are the same.
    data = bytearray(archive.data[: archive.locator - 8] + archive.data[archive.locator :])
    assert refusal(examiner, bytes(data)) == "zip64_inconsistent"


GIB = 1 << 30


def write_sparse(path: Path, sizes: Sequence[int]) -> None:
    """Stored members of these sizes, which are holes, and small pictures between and behind them."""
    out, at, entries = path.open("wb"), 0, b""
    with out:
        for number, hole in enumerate([*sizes, 0]):
            for name, data in (("big", None), ("small", PICTURES["a/0.png"])):
                size = hole if data is None else len(data)
                if not size:
                    continue
                wide = {"size": IN_ZIP64_32, "packed_size": IN_ZIP64_32}
                member = Member(f"{number}/{name}.png", data or b"", local_extra=zip64_extra(size, size))
                member.local = dict(wide)
                member.central = {**wide, "offset": IN_ZIP64_32}
                member.central_extra = zip64_extra(size, size, at)
                out.seek(at)
                out.write(member.local_record())
                entries += member.central_record(0)
                at += len(member.local_record()) + (size if data is None else 0)
        out.seek(at)
        count = 2 * len(sizes) + 1
        numbers = {"entries": count, "entries_here": count, "directory_size": len(entries), "directory_offset": at}
        end = build([], end64=numbers, locator={"offset": at + len(entries)}).data
        most: Fields = {"entries": IN_ZIP64_16, "entries_here": IN_ZIP64_16}
        most |= {"directory_size": IN_ZIP64_32, "directory_offset": IN_ZIP64_32}
        out.write(entries + build([], end64=numbers, locator={"offset": at + len(entries)}, end=most).data[-98:])
        assert len(end) == 98


def test_Z17_beyond_4_gib(examiner: Examiner, tmp_path: Path) -> None:
    path = tmp_path / "sparse.zip"
    write_sparse(path, [4 * GIB - 1, 4 * GIB, 5 * GIB])
    assert path.stat().st_size > 13 * GIB
    if path.stat().st_blocks * 512 > GIB:
        pytest.skip("the file system has no sparse files")
    began = time.process_time()
    outcome = examiner.chunk(path, seconds=10)
    assert time.process_time() - began < 10
    assert outcome.codes == {f"{number}/big.png": "limit_member" for number in range(3)}
    alone = examiner.chunk(zip_bytes(plain())).delivered["a/0.png"]
    assert outcome.delivered == {f"{number}/small.png": alone for number in range(4)}


@pytest.mark.parametrize("count", [65_535, 65_536, 100_000])
def test_Z18_as_many_entries_as_allowed(count: int) -> None:
    data = zip_bytes([Member(f"{n}") for n in range(count)], end64={} if count > 65_535 else None)
    began = time.process_time()
    directory = open_directory(data)
    assert len(directory) == count
    assert time.process_time() - began < 2
    assert directory.find(f"{count - 1}") == count - 1
    start, stop = directory.extent(count - 1)
    assert directory.read_member(count - 1, data[start:stop], start) == b""


def test_Z18_too_many_entries(examiner: Examiner) -> None:
    data = zip_bytes([Member(f"{n}") for n in range(100_001)], end64={})
    outcome = examiner.chunk(data, growth_bytes=8 << 20)
    assert outcome.code == "limit_entries"
    assert "Limits.entries" in outcome.text
    with pytest.raises(LimitError, match=r"Limits\.entries"):
        open_directory(zip_bytes(plain()), Limits(entries=2))
    assert len(open_directory(zip_bytes(plain()), Limits(entries=3))) == 3


MULTI_DISK: dict[str, dict[str, Any]] = {
    "end record": {"end": {"disk": 1}},
    "end record, directory": {"end": {"directory_disk": 1}},
    "zip64 end record": {"end64": {"disk": 1}, "end": {"disk": 0xFFFF, "directory_disk": 0xFFFF}},
    "zip64 end record, directory": {"end64": {"directory_disk": 1}, "end": {"disk": 0xFFFF, "directory_disk": 0xFFFF}},
    "locator": {"end64": {}, "locator": {"disk": 1}},
    "locator, disks": {"end64": {}, "locator": {"disks": 2}},
}


@pytest.mark.parametrize("case", [*MULTI_DISK, "entry"])
def test_Z38_one_of_several_disks(examiner: Examiner, case: str) -> None:
    members = plain()
    if case == "entry":
        members[1].central["disk"] = 1
    assert refusal(examiner, zip_bytes(members, **MULTI_DISK.get(case, {}))) == "multi_disk"


FLIPS = """
import random, sys, zipfile, io
sys.path.insert(0, sys.argv[1])
from pixcrawler import PixCrawlerError
from support import open_directory
data = open(sys.argv[2], "rb").read()
with zipfile.ZipFile(io.BytesIO(data)) as archive:
    originals = {name: archive.read(name) for name in archive.namelist()}
refused = delivered = failed = 0
for seed in range(int(sys.argv[3])):
    rng = random.Random(seed)
    broken = bytearray(data)
    # Every other flip hits the headers at the end, which are a small part of the bytes.
    first = 0 if seed % 2 else max(0, len(data) - 70 * len(originals))
    broken[rng.randrange(first, len(data))] ^= 1 << rng.randrange(8)
    broken = bytes(broken)
    try:
        directory = open_directory(broken)
    except PixCrawlerError as error:
        assert error.code and error.cause and error.remedy
        refused += 1
        continue
    assert len(directory) == len(originals)
    good = 0
    for index, (name, original) in enumerate(originals.items()):
        start, stop = directory.extent(index)
        try:
            member = directory.read_member(index, broken[start:stop], start)
        except PixCrawlerError as error:
            assert error.code != "internal", seed
            failed += 1
            continue
        assert member == original, seed
        good += 1
    delivered += good
print(refused, delivered, failed)
"""


@pytest.mark.parametrize(("count", "flips"), [(100, 10_000), (500, 1_000)])
def test_Z41_single_byte_flips(tmp_path: Path, count: int, flips: int) -> None:
    members = [
        Member(
            f"{n:03d}.png", encode(picture(3, 2, n)), DEFLATE if n % 3 == 0 else 0, comment=b"" if n % 2 else b"note"
        )
        for n in range(count)
    ]
    for member in members[::5]:
        member.described()
    path = tmp_path / "chunk.zip"
    path.write_bytes(zip_bytes(members))
    tests = Path(__file__).parent.parent
    refused, whole, failed = map(int, run_child(FLIPS, tests, path, flips).split())
    assert whole + failed == (flips - refused) * count
    assert refused > flips // 50
    assert flips // 2 < failed < whole // 20


def test_Z41_with_a_known_checksum_nothing_is_parsed() -> None:
    data = zip_bytes(plain())
    rng = random.Random(5)
    clock = Clock(sleep=lambda _seconds, _cancelled: None)
    with FaultyServer() as server, PixCrawlerClient("key", server.url, clock=clock) as client:
        serve_job(server, "job", {"c0": data})
        source = ApiSource(client, "job")
        for _ in range(200):
            server.always["/data/c0.zip"] = Fault(ignore_range=True, corrupt_at=rng.randrange(len(data)))
            with pytest.raises(IntegrityError) as caught:
                source.open_whole(source.chunks[0])
            assert (caught.value.code, caught.value.chunk_id) == ("chunk_integrity", "c0")
            assert hashlib.sha256(data).hexdigest() in caught.value.detail
        source.close()


def test_Z42_every_split_reads_the_same(examiner: Examiner) -> None:
    members = [
        *plain(),
        Member("broken.png", b"12345", local={"crc": 1}),
        Member("folder/"),
        Member("large", bytes(9999)),
    ]
    members[-1].method = DEFLATE
    data = zip_bytes(members, comment=b"note", end64={}, before_directory=bytes(300))

    def read(buffers: list[tuple[Any, int]]) -> list[object]:
        outcomes: list[object] = []
        for index, (buffer, offset) in enumerate(buffers):
            try:
                outcomes.append(directory.read_member(index, buffer, offset))
            except PixCrawlerError as error:
                outcomes.append((error.code, error.detail, error.offset))
        return outcomes

    directory = open_directory(data)
    expected = read([(data, 0)] * len(directory))
    assert expected[3] == ("header_mismatch", expected[3][1], expected[3][2])  # type: ignore[index]
    extents = [directory.extent(index) for index in range(len(directory))]
    rng = random.Random(6)
    for step in (1, 2, 7, 1000):
        buffers = []
        # From ranges that were fetched out of order, in steps.
        for start, stop in sorted(extents, key=lambda _: rng.random()):
            buffer = SegmentBuffer(stop - start)
            for at in range(start, stop, step):
                buffer.write(data[at : min(at + step, stop)])
            buffer.seal()
            buffers.append((buffer, start))
        buffers.sort(key=lambda pair: pair[1])
        assert read(buffers) == expected
    # The directory, found from any longer tail, is the same.
    for length in (len(data) - 1, len(data) // 2, 600):
        tail = data[-max(length, len(data) - extents[-1][1]) :]
        again = read_directory(tail, len(data), lambda start, stop: data[start:stop], Limits(), chunk_id="c")
        assert [again.extent(index) for index in range(len(again))] == extents
        assert again.tolerated == directory.tolerated


def test_Z42_over_http_in_every_way(tmp_path: Path) -> None:
    data = zip_bytes(plain(), comment=b"note", before_directory=bytes(300))
    path = tmp_path / "c0.zip"
    path.write_bytes(data)
    local = [image for image, _ in load_dataset(path)]
    with FaultyServer() as server:
        serve_job(server, "job", {"c0": data})
        for fault in (Fault(), Fault(ignore_range=True), Fault(chunked=True), Fault(bytes_per_s=20_000)):
            server.always["/data/c0.zip"] = fault
            with load_dataset("job", "key", server.url) as dataset:
                for image, expected in itertools.zip_longest((image for image, _ in dataset), local):
                    np.testing.assert_array_equal(image, expected)


def test_tolerated_is_logged_once_a_chunk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clean = write_zip(tmp_path / "clean.zip", PICTURES)
    path = tmp_path / "chunk\n.zip"
    data = zip_bytes([*plain(), Member("folder/")], comment=b"note", suffix=bytes(3), before_directory=bytes(9))
    path.write_bytes(data)
    with caplog.at_level(logging.DEBUG, "pixcrawler"), contextlib.ExitStack() as stack:
        for one in (clean, path):
            dataset = stack.enter_context(load_dataset(one))
            assert len(list(dataset)) == len(list(dataset)) == 3
    (message,) = [record.getMessage() for record in caplog.records if "tolerated" in record.getMessage()]
    assert message.isprintable()
    assert "chunk\\n.zip" in message
    for part in ("bytes between members", "4 bytes of archive comment", "3 NULs", "1 folders"):
        assert part in message
