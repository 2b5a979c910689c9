"""Z, single members: what contradicts the directory is refused, and its neighbours are delivered."""

from __future__ import annotations

import io
import random
import struct
import time
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import ArchiveError, load_dataset
from support import encode, open_directory, picture, read_all
from zip_builder import (
    DEFLATE,
    ENCRYPTED,
    IN_ZIP64_32,
    UTF8,
    Member,
    build,
    deflate,
    descriptor,
    extra,
    unicode_path,
    zip64_extra,
    zip_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oracle import Examiner, Outcome

IMAGE = encode(picture(6, 7, 1))
FIRST, LAST = encode(picture(6, 7, 2)), encode(picture(6, 7, 3))
SIZE, CRC = len(IMAGE), zlib.crc32(IMAGE)


def examine(examiner: Examiner, *members: Member, **options: Any) -> Outcome:
    """A chunk of these members with a good one in front and one behind, which must be delivered."""
    around = [Member("first.png", FIRST), *members, Member("last.png", LAST)]
    entries = [member.name for member in around if member.is_listed and isinstance(member.name, str)]
    is_known = all(isinstance(member.name, str) for member in around) and len(set(entries)) == len(entries)
    outcome = examiner.chunk(zip_bytes(around), entries=entries if is_known else None, **options)
    delivered = list(outcome.delivered)
    assert (delivered[0], delivered[-1]) == ("first.png", "last.png"), outcome.text
    return outcome


def code_of(examiner: Examiner, member: Member) -> str | None:
    """The code that one member ``bad.png`` is refused with; None if it is delivered."""
    outcome = examine(examiner, member)
    assert set(outcome.codes) <= {"bad.png"}
    return outcome.codes.get("bad.png")


def bad(**fields: Any) -> Member:
    return Member("bad.png", IMAGE, **fields)


@pytest.mark.parametrize("case", ["missing", "too short", "too long", "two", "not referred to", "overrun"])
def test_Z16_zip64_extra(examiner: Examiner, case: str) -> None:
    referring = {"size": IN_ZIP64_32, "packed_size": IN_ZIP64_32}
    member = {
        "missing": bad(central=referring),
        "too short": bad(central=referring, central_extra=zip64_extra(SIZE)),
        "too long": bad(central=referring, central_extra=zip64_extra(SIZE, SIZE, 0, 0)),
        "two": bad(central=referring, central_extra=zip64_extra(SIZE, SIZE) * 2),
        "not referred to": bad(central_extra=zip64_extra(SIZE)),
        "overrun": bad(central_extra=b"\x01\0\x40\0" + bytes(16)),
    }[case]
    assert code_of(examiner, member) == "zip64_extra"


def test_Z16_zip64_extra_that_is_right(examiner: Examiner) -> None:
    referring = {"size": IN_ZIP64_32, "packed_size": IN_ZIP64_32}
    both = bad(central=referring, central_extra=zip64_extra(SIZE, SIZE))
    both.local, both.local_extra = dict(referring), zip64_extra(SIZE, SIZE)
    assert code_of(examiner, both) is None
    assert code_of(examiner, bad(central_extra=extra(0xCAFE, b"unknown") + b"\0\0")) is None


@pytest.mark.parametrize("signature", [b"PK\x03\x05", b"PK\x01\x02", bytes(4), b"PK\x05\x06"], ids=repr)
def test_Z19_local_signature(examiner: Examiner, signature: bytes) -> None:
    assert code_of(examiner, bad(local={"signature": signature})) == "local_header"


@pytest.mark.parametrize("name", [b"exe.png", b"malware.exe", b"bad.pn", b"bad.png\0", b""], ids=repr)
def test_Z20_local_name(examiner: Examiner, name: bytes) -> None:
    local = Member(name, IMAGE).local_record()
    # The record of another name, and the directory's entry for the promised one.
    member = bad(before=b"", is_written=False)
    members = [Member("first.png", FIRST), member, Member("last.png", LAST, before=local + bytes(99))]
    outcome = examiner.chunk(zip_bytes(members))
    assert outcome.codes == {"bad.png": "name_mismatch"}
    assert list(outcome.delivered) == ["first.png", "last.png"]


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("method", DEFLATE, "method"),
        ("flags", UTF8, "flags"),
        ("crc", CRC ^ 1, "CRC-32"),
        ("packed_size", SIZE - 1, "compressed size"),
        ("packed_size", 0, "compressed size"),
        ("size", SIZE + 1, "size"),
        ("size", 0, "size"),
    ],
)
def test_Z21_local_and_central_differ(examiner: Examiner, field: str, value: int, word: str) -> None:
    outcome = examine(examiner, bad(local={field: value}))
    assert outcome.codes == {"bad.png": "header_mismatch"}
    assert word in outcome.text
    central = bad(central={field: value})
    assert code_of(examiner, central) in {"header_mismatch", "size_mismatch", "overlap"}


@pytest.mark.parametrize("field", ["time", "date", "version"])
def test_Z21_times_and_versions_may_differ(examiner: Examiner, field: str) -> None:
    assert code_of(examiner, bad(local={field: 0x1234})) is None


@pytest.mark.parametrize("length", [1, 40, 0x1000, 0xFFFF])
@pytest.mark.parametrize("is_last", [False, True], ids=["next member", "directory"])
def test_Z22_local_extra_length(examiner: Examiner, length: int, is_last: bool) -> None:
    members = [Member("first.png", FIRST), bad(local={"extra_length": length})]
    outcome = examiner.chunk(zip_bytes(members if is_last else [*members, Member("last.png", LAST)]))
    assert outcome.codes == {"bad.png": "data_bounds"}
    assert list(outcome.delivered) == (["first.png"] if is_last else ["first.png", "last.png"])


def with_crc(crc: int) -> bytes:
    """An image file with a chosen CRC-32, by four bytes at its end."""
    base = IMAGE
    # CRC-32 is affine: the effect of each of the 32 bits is found, and the system solved.
    zero = zlib.crc32(base + bytes(4))
    columns = [zlib.crc32(base + struct.pack("<L", 1 << bit)) ^ zero for bit in range(32)]
    target, suffix = crc ^ zero, 0
    rows = [(columns[bit], 1 << bit) for bit in range(32)]
    for bit in reversed(range(32)):
        pivot = next((row for row in rows if row[0] >> bit & 1), None)
        assert pivot is not None
        rows = [
            (row[0] ^ pivot[0], row[1] ^ pivot[1]) if row is not pivot and row[0] >> bit & 1 else row
            for row in rows
            if row is not pivot
        ]
        if target >> bit & 1:
            target, suffix = target ^ pivot[0], suffix ^ pivot[1]
    return base + struct.pack("<L", suffix)


@pytest.mark.parametrize("signature", [False, True], ids=["", "signature"])
@pytest.mark.parametrize("wide", [False, True], ids=["32", "64"])
@pytest.mark.parametrize("method", [0, DEFLATE], ids=["stored", "deflate"])
def test_Z23_data_descriptors(examiner: Examiner, signature: bool, wide: bool, method: int) -> None:
    member = bad(method=method).described(signature=signature, wide=wide)
    assert code_of(examiner, member) is None
    packed = len(member.packed_data)
    for crc, packed_size, size in (
        (CRC ^ 1, packed, SIZE),
        (CRC, packed + 1, SIZE),
        (CRC, packed, SIZE - 1),
        (0, 0, 0),
    ):
        wrong = bad(method=method, descriptor=descriptor(crc, packed_size, size, signature=signature, wide=wide))
        assert code_of(examiner, wrong) == "descriptor"
    assert code_of(examiner, bad(method=method, descriptor=b"")) == "descriptor"


@pytest.mark.parametrize("signature", [False, True], ids=["", "signature"])
def test_Z23_a_checksum_that_looks_like_the_signature(signature: bool) -> None:
    for mark in (b"PK\x07\x08", b"PK\x03\x04"):
        data = with_crc(int.from_bytes(mark, "little"))
        assert struct.pack("<L", zlib.crc32(data)) == mark
        member = Member("a.png", data).described(signature=signature)
        assert read_all(zip_bytes([member, Member("b.png", LAST)])) == {"a.png": data, "b.png": LAST}


def test_Z24_entry_without_local_header(examiner: Examiner) -> None:
    gap = bytes(2000)
    members = [Member("first.png", FIRST), bad(is_written=False), Member("last.png", LAST, before=gap)]
    outcome = examiner.chunk(zip_bytes(members))
    assert outcome.codes == {"bad.png": "local_header"}
    assert list(outcome.delivered) == ["first.png", "last.png"]


@pytest.mark.parametrize("padding", [0, 1, 5000], ids=lambda n: f"{n} bytes on")
@pytest.mark.parametrize("place", ["between", "last"])
def test_Z24_local_header_without_entry(examiner: Examiner, place: str, padding: int) -> None:
    hidden = Member("evil.exe", b"evil", is_listed=False, before=bytes(padding))
    members = [Member("first.png", FIRST), bad(method=DEFLATE).described(), Member("last.png", LAST)]
    members.insert(2 if place == "between" else 3, hidden)
    archive = build(members)
    outcome = examiner.chunk(archive.data)
    name = "bad.png" if place == "between" else "last.png"
    assert outcome.codes == {name: "hidden_entry"}
    assert len(outcome.delivered) == 2
    # The first of all has nothing in front that could hide one.
    assert examiner.chunk(zip_bytes([hidden, *members[:2]])).code == "prefix"


@pytest.mark.parametrize("gap", [bytes(1), bytes(5000), b"PK\x03\x04", random.Random(1).randbytes(300_000)], ids=len)
def test_Z24_gaps_are_tolerated(examiner: Examiner, gap: bytes) -> None:
    outcome = examiner.chunk(zip_bytes([bad(), Member("last.png", LAST, before=gap)], before_directory=gap))
    assert list(outcome.delivered) == ["bad.png", "last.png"]


def test_Z25_two_entries_of_one_local_header(examiner: Examiner) -> None:
    one, two = bad(), Member("cpy.png", IMAGE, is_written=False)
    archive = build([Member("first.png", FIRST), one, two, Member("last.png", LAST)])
    data = bytearray(archive.data)
    struct.pack_into("<L", data, archive.centrals[2] + 42, archive.locals[1])
    outcome = examiner.chunk(bytes(data))
    assert outcome.codes == {"bad.png": "overlap", "cpy.png": "overlap"}
    assert list(outcome.delivered) == ["first.png", "last.png"]


def quoted_overlap(count: int, kernel_size: int) -> bytes:
    """The quoted-overlap bomb (Fifield 2019): each member's stored block quotes the next local header."""
    names = [f"{n:03d}.png".encode() for n in range(count)]
    kernel, zeros = deflate(bytes(kernel_size), 9), bytes(kernel_size)
    files: list[tuple[bytes, bytes, int, int]] = []
    packed, plain_crc, size = kernel, zlib.crc32(zeros), kernel_size
    body, plain = b"", b""
    for name in reversed(names):
        header = Member(name, b"").local_record()
        fields = struct.pack("<HHHHHLLLHH", 20, 0, DEFLATE, 0, 33, plain_crc, len(packed), size, len(name), 0)
        header = b"PK\x03\x04" + fields + name
        files.append((name, header, plain_crc, size))
        body = header + packed
        # What stands in front quotes this header in a stored block, and goes on with its data.
        packed = struct.pack("<BHH", 0, len(header), len(header) ^ 0xFFFF) + body
        plain = header + (plain or zeros)
        plain_crc, size = zlib.crc32(plain), len(plain)
    entries, at, sizes = b"", 0, []
    remaining = len(body)
    for name, header, crc, inflated in reversed(files):
        entry = Member(name, b"", method=DEFLATE)
        entry.central = {"crc": crc, "packed_size": remaining - len(header), "size": inflated}
        entries += entry.central_record(at)
        sizes.append(inflated)
        step = len(header) + 5
        at += step
        remaining -= step
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(entries), len(body), 0)
    return body + entries + end


@pytest.mark.parametrize("count", [2, 250])
def test_Z26_quoted_overlap(examiner: Examiner, count: int) -> None:
    data = quoted_overlap(count, 1 << 20)
    # Python's zipfile, before it looked for overlaps, read each of them: the bomb is a sound one.
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        assert sum(info.file_size for info in infos) > count << 20
        assert archive.open(infos[-1]).read(1 << 21) == bytes(1 << 20)
    began = time.process_time()
    outcome = examiner.chunk(data, growth_bytes=64 << 20, seconds=1)
    assert set(outcome.codes.values()) == {"overlap"}
    assert len(outcome.codes) == count
    assert time.process_time() - began < 10


@pytest.mark.parametrize("ignore_range", [False, True], ids=["ranges", "whole"])
def test_Z26_members_that_are_refused_cost_no_requests(ignore_range: bool) -> None:
    data = quoted_overlap(250, 1 << 20)
    archive = build(
        [Member("first.png", FIRST), *(Member(f"{n}.png", IMAGE) for n in range(200)), Member("z.png", LAST)]
    )
    same = bytearray(archive.data)
    for central in archive.centrals[1:-1]:
        struct.pack_into("<L", same, central + 42, archive.locals[1])
    with FaultyServer() as server:
        serve_job(server, "job", {"c0": data, "c1": bytes(same)})
        server.always["/data/c0.zip"] = server.always["/data/c1.zip"] = Fault(ignore_range=ignore_range)
        with load_dataset("job", "key", server.url, on_error="skip") as dataset:
            with pytest.warns(UserWarning, match="450 of 452 samples were left out"):
                assert len(list(dataset)) == 2
            assert {failure.code for failure in dataset.failures} == {"overlap"}
            requests = len(server.seen)
            assert requests <= 8
            with pytest.raises(ArchiveError):
                dataset[3]
            assert len(server.seen) <= requests + 4


@pytest.mark.parametrize("reach", [1, 46, 100])
def test_Z27_data_over_the_directory(examiner: Examiner, reach: int) -> None:
    member = bad().both(packed_size=SIZE + reach, size=SIZE + reach)
    outcome = examiner.chunk(zip_bytes([Member("first.png", FIRST), member]))
    assert outcome.codes == {"bad.png": "overlap"}
    assert list(outcome.delivered) == ["first.png"]


@pytest.mark.parametrize("other", [IMAGE, FIRST], ids=["same bytes", "other bytes"])
@pytest.mark.parametrize("count", [2, 3])
def test_Z28_duplicate_names(examiner: Examiner, other: bytes, count: int) -> None:
    members = [Member("same.png", IMAGE), *(Member("same.png", other) for _ in range(count - 1))]
    outcome = examine(examiner, *members)
    assert [(failure.member, failure.code) for failure in outcome.failures] == [("same.png", "duplicate")] * count
    assert list(outcome.delivered) == ["first.png", "last.png"]


def test_Z28_names_are_keys_not_paths(examiner: Examiner) -> None:
    names = ["a.png", "A.png", "a.PNG", "\u00e9.png", "e\u0301.png", "./a.png", "b/./a.png"]
    outcome = examine(examiner, *(Member(name, IMAGE, flags=UTF8) for name in names))
    assert list(outcome.delivered) == ["first.png", *names, "last.png"]


NAMES: dict[str, tuple[bytes, int, str | None]] = {
    "empty": (b"", 0, "name"),
    "slash": (b"/", 0, "unsafe_name"),
    "folder with bytes": (b"a/", 0, "name"),
    "NUL": (b"a\0b.png", 0, "name"),
    "NUL at the end": (b"a.png\0", 0, "name"),
    "65,535 bytes": (b"n" * 65_535, 0, None),
    "newline": (b"a\nb\r.png", 0, None),
    "escape sequence": (b"\x1b[31m\x1b]8;;http://evil\x07a.png", 0, None),
    "right to left": ("a\u202egnp.exe".encode(), UTF8, None),
    "bell, backspace, DEL": (b"\x07\x08\x7f.png", 0, None),
    "C1 control": ("\x9b31m.png".encode(), UTF8, None),
    "markup": (b"<script>alert(1)<.png", 0, None),
    "lone surrogate": (b"\xed\xa0\x80.png", UTF8, "name"),
    "overlong slash": (b"\xc0\xaf.png", UTF8, "name"),
}


@pytest.mark.parametrize("case", NAMES)
def test_Z29_names(examiner: Examiner, case: str) -> None:
    name, flags, code = NAMES[case]
    # Asked for by a broken image of that name: its message must be printable, which the oracle looks at.
    outcome = examine(examiner, Member(name, IMAGE, flags=flags), Member(name[:-1] + b"x", b"no image", flags=flags))
    codes = [failure.code for failure in outcome.failures]
    assert codes[-1] in {"not_an_image", code, "unsafe_name"}
    assert (codes[0] if len(codes) > 1 else None) == code


@pytest.mark.parametrize(
    "name",
    [
        "../x.png",
        "/x.png",
        "C:\\x.png",
        "c:x.png",
        "a\\..\\..\\x.png",
        "a/../../x.png",
        "..%2fx.png",
        "%2e%2E/x.png",
        "..",
        "\\\\host\\share\\x.png",
        "a\\b.png",
    ],
)
def test_Z30_names_that_lead_outside(examiner: Examiner, name: str, tmp_path: Path) -> None:
    outcome = examine(examiner, Member(name, IMAGE))
    assert outcome.codes == {name: "unsafe_name"}
    assert outcome.failures[0].reason.isprintable()


def test_Z30_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    path = inside / "chunk.zip"
    path.write_bytes(zip_bytes([Member(name, IMAGE) for name in ("../x.png", "../../x.png", "y/z.png", "w.png")]))
    monkeypatch.chdir(inside)
    before = sorted(tmp_path.rglob("*"))
    with pytest.warns(UserWarning, match="left out"), load_dataset(path, on_error="skip") as dataset:
        assert len(list(dataset)) == 2
    assert sorted(tmp_path.rglob("*")) == before


ENCODINGS: dict[str, tuple[bytes, int, bytes, str | None]] = {
    "UTF-8, flagged": ("b\u00e4r.png".encode(), UTF8, b"", "b\u00e4r.png"),
    "UTF-8, not flagged": ("b\u00e4r.png".encode(), 0, b"", "b\u00e4r.png"),
    "code page 437": ("b\u00e4r.png".encode("cp437"), 0, b"", "b\u00e4r.png"),
    "Shift-JIS": (
        "\u4e16\u754c.png".encode("shift-jis"),
        0,
        b"",
        "\u4e16\u754c.png".encode("shift-jis").decode("cp437"),
    ),
    "invalid UTF-8, flagged": (b"\xff\xfe.png", UTF8, b"", None),
    "Unicode path": (b"plain.png", 0, unicode_path("\u4e03.png", b"plain.png"), "\u4e03.png"),
    "Unicode path of another name": (b"plain.png", 0, unicode_path("\u4e03.png", b"other.png"), "plain.png"),
    "Unicode path against the flag": (b"plain.png", UTF8, unicode_path("\u4e03.png", b"plain.png"), "plain.png"),
    "Unicode path, invalid": (b"plain.png", 0, unicode_path(b"\xff", b"plain.png"), "plain.png"),
    "Unicode path, cut": (b"plain.png", 0, extra(0x7075, b"\1\2"), "plain.png"),
}


@pytest.mark.parametrize("case", ENCODINGS)
def test_Z31_encodings_of_names(examiner: Examiner, case: str) -> None:
    name, flags, field, expected = ENCODINGS[case]
    members = [Member(name, IMAGE, flags=flags, central_extra=field)]
    outcome = examine(examiner, *members)
    if expected is None:
        assert [failure.code for failure in outcome.failures] == ["name"]
    else:
        assert list(outcome.delivered) == ["first.png", expected, "last.png"]
    # The bytes are to be had, whatever the text.
    directory = open_directory(zip_bytes(members))
    assert directory.raw_name(0) == name
    assert expected is None or directory.name(0) == expected


@pytest.mark.parametrize("kind", [0o120777, 0o020666, 0o060660, 0o010644, 0o140755], ids=oct)
@pytest.mark.parametrize("host", [3, 19], ids=["Unix", "macOS"])
def test_Z32_not_a_file(examiner: Examiner, kind: int, host: int) -> None:
    member = bad(central={"external": kind << 16, "made_by": host << 8 | 20})
    assert code_of(examiner, member) == "not_regular"
    # Elsewhere these bits have no such meaning.
    assert code_of(examiner, bad(central={"external": kind << 16, "made_by": 20})) is None


@pytest.mark.parametrize(
    ("flags", "method"),
    [(ENCRYPTED, 0), (ENCRYPTED, DEFLATE), (ENCRYPTED, 99), (0, 99), (ENCRYPTED | 1 << 6, 0), (1 << 13, 0)],
    ids=["ZipCrypto", "ZipCrypto deflate", "AES", "AES without flag", "strong", "masked headers"],
)
def test_Z33_encrypted(examiner: Examiner, flags: int, method: int) -> None:
    assert code_of(examiner, bad(flags=flags, method=method, packed=IMAGE)) == "encrypted"


def test_Z33_encrypted_directory(examiner: Examiner) -> None:
    archive = build([bad()], end64={"version": 62}, end64_tail=bytes(28))
    assert examiner.chunk(archive.data).code == "zip64_inconsistent"
    noise = random.Random(1).randbytes(archive.end64 - archive.directory)
    data = archive.data[: archive.directory] + noise + build([bad()]).data[-22:]
    assert examiner.chunk(data).code == "directory_bounds"


@pytest.mark.parametrize("method", [1, 5, 6, 7, 12, 14, 93, 95, 98, 200])
def test_Z34_methods(examiner: Examiner, method: int) -> None:
    outcome = examine(examiner, bad(method=method, packed=IMAGE))
    assert outcome.codes == {"bad.png": "unsupported_method"}
    assert f"method {method}" in outcome.text


@pytest.mark.parametrize("bit", [4, 5, 7, 8, 9, 10, 12, 14, 15])
def test_Z35_flags(examiner: Examiner, bit: int) -> None:
    assert code_of(examiner, bad(flags=1 << bit)) == "unsupported_flag"


@pytest.mark.parametrize("off", [-1, 1, 1000])
def test_Z36_stored_sizes_differ(examiner: Examiner, off: int) -> None:
    assert code_of(examiner, bad().both(size=SIZE + off)) == "size_mismatch"


@pytest.mark.parametrize("crc", [0, 1, CRC ^ 0x8000_0000])
@pytest.mark.parametrize("method", [0, DEFLATE], ids=["stored", "deflate"])
def test_Z37_checksum(examiner: Examiner, crc: int, method: int) -> None:
    assert code_of(examiner, bad(method=method).both(crc=crc)) == "crc"


def test_Z39_members_that_are_no_images(examiner: Examiner) -> None:
    inner = zip_bytes([Member("inside.png", IMAGE)])
    others = {
        "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
        "__MACOSX/._a.jpg": b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(80),
        ".DS_Store": b"\0\0\0\1Bud1" + bytes(80),
        "readme.txt": b"Some pictures.\n",
        "nested.zip": inner,
        "empty.png": b"",
        "page.jpg": b"<!DOCTYPE html><html></html>",
        "tape.png": bytes(257) + b"ustar\x0000" + bytes(250),
        "a.7z": b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(50),
        "a.rar": b"Rar!\x1a\x07\x01\0" + bytes(50),
    }
    outcome = examine(examiner, *(Member(name, data) for name, data in others.items()))
    assert outcome.codes == dict.fromkeys(others, "not_an_image")
    for kind in ("zip", "html", "tar", "7z", "rar"):
        assert f"got {kind}" in outcome.text, outcome.text


# What a member can be broken by, and the code.
DAMAGE: list[tuple[str, Callable[[str], Member]]] = [
    ("local_header", lambda name: Member(name, IMAGE, local={"signature": b"PK\3\5"})),
    ("header_mismatch", lambda name: Member(name, IMAGE, local={"crc": 1})),
    ("crc", lambda name: Member(name, IMAGE).both(crc=1)),
    ("crc", lambda name: Member(name, IMAGE, DEFLATE).both(crc=1)),
    ("encrypted", lambda name: Member(name, IMAGE, flags=ENCRYPTED)),
    ("unsupported_method", lambda name: Member(name, IMAGE, method=12, packed=IMAGE)),
    ("unsupported_flag", lambda name: Member(name, IMAGE, flags=1 << 5)),
    ("inflate", lambda name: Member(name, IMAGE, DEFLATE, packed=b"\7" + bytes(99))),
    ("inflate_truncated", lambda name: Member(name, IMAGE, DEFLATE, packed=deflate(IMAGE)[:-3])),
    ("size_mismatch", lambda name: Member(name, IMAGE, DEFLATE, packed=deflate(IMAGE) + b"x")),
    ("size_mismatch", lambda name: Member(name, IMAGE).both(size=SIZE - 1)),
    ("descriptor", lambda name: Member(name, IMAGE, descriptor=bytes(12))),
    ("data_bounds", lambda name: Member(name, IMAGE, local={"extra_length": 9})),
    ("zip64_extra", lambda name: Member(name, IMAGE, central_extra=zip64_extra(1))),
    ("not_regular", lambda name: Member(name, IMAGE, central={"external": 0o120777 << 16})),
    ("not_an_image", lambda name: Member(name, b"no image")),
    ("not_an_image", lambda name: Member(name, b"")),
]


@pytest.mark.parametrize("every", [2, 3, 5])
def test_Z40_every_kth_member_is_broken(examiner: Examiner, every: int) -> None:
    members, expected = [], {}
    for number in range(500):
        name = f"{number:03d}.png"
        if number % every == every - 1:
            code, make = DAMAGE[number // every % len(DAMAGE)]
            members.append(make(name))
            expected[name] = code
        else:
            members.append(Member(name, IMAGE, DEFLATE if number % 2 else 0))
    names = [f"{number:03d}.png" for number in range(500)]
    outcome = examiner.chunk(zip_bytes(members), entries=names)
    assert outcome.codes == expected
    assert list(outcome.failures) == sorted(outcome.failures, key=lambda failure: failure.member or "")
    assert list(outcome.delivered) == [name for name in names if name not in expected]
    assert len({pixels for _, pixels in outcome.delivered.values()}) == 1
