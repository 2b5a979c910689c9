"""Zip chunks as Python's zipfile and other writers make them: every member's bytes, and what is refused."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler import ArchiveError, DecompressionError, LimitError, load_dataset
from pixcrawler.limits import Limits
from support import decode_one, encode, open_directory, picture, read_all, write_zip, zip_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Pipe(io.RawIOBase):
    """A file that can only be written on and on, which makes zipfile write data descriptors."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)


names = st.lists(
    st.text(
        st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters='/\\:"'), min_size=1, max_size=12
    ).filter(lambda text: text.strip(". ") != ""),
    min_size=1,
    max_size=3,
).map("/".join)
contents = st.binary(max_size=200) | st.integers(0, 5000).map(lambda n: (b"pattern %d" % n) * (n % 400))


@given(
    members=st.dictionaries(names, contents, max_size=12),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    level=st.integers(0, 9),
    streamed=st.booleans(),
    force_zip64=st.booleans(),
    comment=st.binary(max_size=300).filter(lambda comment: b"PK" not in comment),
    folders=st.booleans(),
)
def test_round_trip(
    members: dict[str, bytes],
    method: int,
    level: int,
    streamed: bool,
    force_zip64: bool,
    comment: bytes,
    folders: bool,
) -> None:
    pipe, seekable = Pipe(), io.BytesIO()
    with zipfile.ZipFile(pipe if streamed else seekable, "w", method, compresslevel=level) as archive:
        archive.comment = comment
        if folders:
            archive.writestr("folder/", b"")
        for name, data in members.items():
            with archive.open(name, "w", force_zip64=force_zip64) as member:
                member.write(data)
    data = bytes(pipe.data) if streamed else seekable.getvalue()
    with zipfile.ZipFile(io.BytesIO(data)) as oracle:
        expected = {info.filename: oracle.read(info) for info in oracle.infolist() if not info.is_dir()}
    assert read_all(data) == expected == members
    directory = open_directory(data)
    assert [directory.name(index) for index in directory.samples] == list(members)
    assert len(directory) == len(members) + folders
    for name in members:
        index = directory.find(name)
        assert index is not None
        assert directory.name(index) == name


@pytest.mark.parametrize("kind", ["stored", "deflate", "streamed", "zip64", "comment"])
def test_images_in_every_kind_of_zip(kind: str, tmp_path: Path) -> None:
    files = {f"cat/{number}.png": encode(picture(7, 9, number)) for number in range(5)}
    out: Any = Pipe() if kind == "streamed" else io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if kind == "stored" else zipfile.ZIP_DEFLATED) as archive:
        archive.comment = b"made by a test" if kind == "comment" else b""
        for name, data in files.items():
            with archive.open(name, "w", force_zip64=kind == "zip64") as member:
                member.write(data)
    path = tmp_path / "chunk.zip"
    path.write_bytes(out.data if kind == "streamed" else out.getvalue())
    with load_dataset(path) as dataset:
        delivered = list(dataset)
    assert len(delivered) == 5
    for number, (image, label) in enumerate(delivered):
        assert label == "cat"
        np.testing.assert_array_equal(image, picture(7, 9, number))


def test_names_without_the_utf8_flag_are_code_page_437() -> None:
    data = bytearray(zip_of({"n_me.png": b"x"}))
    assert data.count(b"n_me.png") == 2
    cp437 = bytes(data).replace(b"n_me.png", "n\u00e4me.png".encode("cp437"))
    assert list(read_all(cp437)) == ["n\u00e4me.png"]


def test_utf8_names() -> None:
    assert list(read_all(zip_of({"b\u00e4r/\u4f60\u597d \U0001f40d.png": b"x"}))) == [
        "b\u00e4r/\u4f60\u597d \U0001f40d.png"
    ]


class TestDeflate64:
    def test_files_of_the_corpora(self, data_dir: Path) -> None:
        folder = data_dir / "corpus/zip"
        expected = (folder / "rc-zip/found-me.txt").read_bytes()
        assert read_all((folder / "rc-zip/found-me-deflate64.zip").read_bytes()) == {"found-me.txt": expected}
        path = folder / "zip2/deflate64.zip"
        members = read_all(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
        assert 9 in {info.compress_type for info in infos}
        found = [(len(data), zlib.crc32(data)) for data in members.values()]
        assert found == [(info.file_size, info.CRC) for info in infos if not info.is_dir()]

    # Of nothing at all that writer makes a stream without an end.
    @given(content=contents.filter(bool) | st.integers(1, 9).map(lambda n: np.random.default_rng(n).bytes(70_000) * 2))
    def test_round_trip(self, content: bytes) -> None:
        pytest.importorskip("zipfile_deflate64")
        data = zip_of({"a.bin": content}, 9)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.infolist()[0].compress_type == 9
        assert read_all(data) == {"a.bin": content}


# Archives of many writers that Python's zipfile reads.
ARCHIVES = {
    "rawzip": "crc32-not-streamed go-with-datadesc-sig test unix winxp zip64 zip64-2 time-7zip time-go time-infozip "
    "time-osx time-win7 time-winrar time-winzip",
    "rc-zip": "dd go-no-datadesc-sig info-zip-unix-extra shift-jis cp-437 meta utf8-7zip utf8-infozip utf8-osx "
    "utf8-winrar utf8-winzip",
    "yauzl/success": "NtfsTimestamp big-compression deflate directories empty linux-info-zip streaming unicode "
    "unix-epoch windows-7-zip windows-compressed-folder cygwin-info-zip",
    "zip2": "chinese data_descriptor extended_timestamp files_and_dirs linux-7z mimetype ntfs windows-7zip "
    "lin-ub_iwd-v11",
}


class TestCorpora:
    @pytest.mark.parametrize(
        "archive", [f"{folder}/{name}" for folder, names in ARCHIVES.items() for name in names.split()]
    )
    def test_every_member_is_the_one_that_zipfile_reads(self, data_dir: Path, archive: str) -> None:
        path = data_dir / "corpus/zip" / f"{archive}.zip"
        data = path.read_bytes()
        directory = open_directory(data)
        with zipfile.ZipFile(path) as oracle:
            infos = oracle.infolist()
            assert len(directory) == len(infos)
            for index, info in enumerate(infos):
                if not info.is_dir():
                    start, stop = directory.extent(index)
                    assert directory.read_member(index, data[start:stop], start) == oracle.read(info)

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("absolute path atxt", "unsafe_name"),
            ("absolute path C xt", "unsafe_name"),
            ("invalid relative path xt", "unsafe_name"),
            ("invalid characters in fileName a txt", "unsafe_name"),
            ("strong encryption is not supported", "encrypted"),
            ("unsupported compression method 1", "unsupported_method"),
            ("invalid code lengths set", "inflate"),
            ("too many length or distance symbols", "inflate"),
            ("invalid local file header signature 0x3034b50", "local_header"),
            ("multi-disk zip files are not supported found disk number 1", "multi_disk"),
            ("invalid zip64 end of central directory record signature", "zip64_inconsistent"),
            ("zip64 extended information extra field does not include relative header offset", "zip64_extra"),
            ("End of central directory record signature not found*truncated", "truncated"),
        ],
    )
    def test_invalid(self, data_dir: Path, name: str, code: str) -> None:
        (path,) = (data_dir / "corpus/zip/yauzl/failure").glob(f"{name}.zip")
        with pytest.raises(DecompressionError) as caught:
            read_all(path.read_bytes())
        assert caught.value.code == code

    def test_every_other_invalid_archive_is_refused_with_a_type(self, data_dir: Path) -> None:
        paths = sorted((data_dir / "corpus/zip/yauzl/failure").glob("*.zip"))
        assert len(paths) == 24
        for path in paths:
            # The one NUL after this archive is padding here.
            if not path.name.startswith("Invalid comment length Expected 1 Found 0"):
                with pytest.raises(DecompressionError):
                    read_all(path.read_bytes())


def patched(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """A zip with some bytes of its first record of a kind replaced."""
    at = data.index(signature) + offset
    return data[:at] + value + data[at + len(value) :]


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
GOOD = {"a/1.png": encode(picture(6, 7, 1)), "a/2.png": encode(picture(6, 7, 2)), "b/3.png": encode(picture(6, 7, 3))}


BAD_MEMBERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "local signature": ("local_header", lambda data: patched(data, LOCAL, 0, b"PK\x03\x05")),
    "local name": ("name_mismatch", lambda data: patched(data, LOCAL, 30, b"x/9.png")),
    "crc": ("header_mismatch", lambda data: patched(data, CENTRAL, 16, b"\1\2\3\4")),
    "both crcs": ("crc", lambda data: patched(patched(data, CENTRAL, 16, b"\1\2\3\4"), LOCAL, 14, b"\1\2\3\4")),
    "method": ("header_mismatch", lambda data: patched(data, LOCAL, 8, b"\x08\0")),
    "both methods": (
        "unsupported_method",
        lambda data: patched(patched(data, LOCAL, 8, b"\x0c\0"), CENTRAL, 10, b"\x0c\0"),
    ),
    "encrypted": ("encrypted", lambda data: patched(patched(data, LOCAL, 6, b"\1\0"), CENTRAL, 8, b"\1\0")),
    "symlink": (
        "not_regular",
        lambda data: patched(patched(data, CENTRAL, 5, b"\x03"), CENTRAL, 38, struct.pack("<I", 0o120777 << 16)),
    ),
    "data": ("crc", lambda data: patched(data, GOOD["a/1.png"][:40], 20, b"??")),
    "overlap": ("overlap", lambda data: patched(data, LOCAL, 28, struct.pack("<H", 4000))),
}


class TestOneBadMember:
    """A member that lies about itself is refused; its neighbours are delivered exactly."""

    @pytest.mark.parametrize("case", BAD_MEMBERS)
    def test_its_neighbours_are_delivered(self, case: str, tmp_path: Path) -> None:
        code, damage = BAD_MEMBERS[case]
        path = tmp_path / "chunk.zip"
        path.write_bytes(damage(zip_of(GOOD)))
        with load_dataset(path, on_error="skip", image_size=(6, 7)) as dataset:
            with pytest.warns(UserWarning, match="1 of 3 samples were left out"):
                ((images, labels),) = list(dataset.iter_batches(8))
            ((failure),) = dataset.failures
        assert failure.member == "a/1.png"
        assert failure.code in ({code} | ({"data_bounds"} if case == "overlap" else set()))
        assert labels == ["a", "b"]
        np.testing.assert_array_equal(images, [decode_one(GOOD["a/2.png"]), decode_one(GOOD["b/3.png"])])


BAD_ARCHIVES: dict[str, tuple[set[str], Callable[[bytes], bytes]]] = {
    "empty": ({"not_a_zip"}, lambda data: b""),
    "short": ({"not_a_zip", "truncated"}, lambda data: data[:21]),
    "html": ({"not_a_zip"}, lambda data: b"<html>" * 100),
    "too many entries": ({"entry_count"}, lambda data: patched(data, END, 8, b"\x09\0\x09\0")),
    "too few entries": ({"entry_count"}, lambda data: patched(data, END, 8, b"\x02\0\x02\0")),
    "directory outside": ({"directory_bounds"}, lambda data: patched(data, END, 16, b"\xff\xff\xff\x7f")),
    "directory too large": (
        {"directory_bounds", "limit_directory"},
        lambda data: patched(data, END, 12, b"\xff\xff\xff\x03"),
    ),
    "prefix": ({"prefix"}, lambda data: b"#!/bin/sh\n" + data),
    "suffix": ({"trailing", "comment_length"}, lambda data: data + b"x"),
    "many nul bytes after it": ({"trailing", "comment_length"}, lambda data: data + bytes(65)),
    "two archives": ({"ambiguous", "prefix"}, lambda data: data + data),
    "disk number": ({"multi_disk"}, lambda data: patched(data, END, 4, b"\1\0")),
    "gap before the end": (
        {"directory_trailing", "directory_bounds"},
        lambda data: data[:-22] + b"gap!" + data[-22:],
    ),
}


class TestBadArchive:
    @pytest.mark.parametrize("case", BAD_ARCHIVES)
    def test_it_is_refused_as_a_whole(self, case: str, tmp_path: Path) -> None:
        codes, damage = BAD_ARCHIVES[case]
        path = tmp_path / "chunk.zip"
        path.write_bytes(damage(zip_of(GOOD)))
        with pytest.raises(ArchiveError) as caught:
            list(load_dataset(path))
        assert caught.value.code in codes
        assert caught.value.chunk_id == "chunk.zip"
        assert "chunk.zip" in str(caught.value)

    def test_cut_anywhere(self) -> None:
        data = zip_of(GOOD)
        for length in range(len(data)):
            with pytest.raises(ArchiveError) as caught:
                open_directory(data[:length])
            assert caught.value.code in {"not_a_zip", "truncated", "comment_length"}, length

    def test_a_few_nul_bytes_after_it_are_padding(self) -> None:
        assert read_all(zip_of(GOOD) + bytes(64)) == GOOD


class TestLimits:
    def test_entries(self) -> None:
        data = zip_of(GOOD)
        assert len(open_directory(data, Limits(entries=3))) == 3
        with pytest.raises(LimitError, match=r"Limits\.entries") as caught:
            open_directory(data, Limits(entries=2))
        assert caught.value.code == "limit_entries"

    @pytest.mark.parametrize(
        ("limit", "code"),
        [("member_bytes", "limit_member"), ("inflated_bytes", "limit_inflated")],
    )
    def test_bytes_of_a_member(self, limit: str, code: str, tmp_path: Path) -> None:
        path = write_zip(tmp_path / "c.zip", {"a.png": b"\x89PNG" + bytes(range(200)) * 50}, zipfile.ZIP_STORED)
        dataset = load_dataset(path, limits=Limits(**{limit: 5000}))
        with pytest.raises(LimitError, match=rf"Limits\.{limit}") as caught:
            list(dataset)
        assert caught.value.code == code

    def test_a_bomb_stops_at_its_ratio(self, tmp_path: Path) -> None:
        path = write_zip(tmp_path / "c.zip", {"a.png": bytes(40 << 20)}, zipfile.ZIP_DEFLATED)
        with pytest.raises(LimitError) as caught:
            list(load_dataset(path))
        assert caught.value.code == "limit_ratio"

    def test_a_size_that_is_declared_too_small_is_not_passed(self) -> None:
        data = zip_of({"a.bin": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
        small = struct.pack("<I", 1000)
        with pytest.raises(ArchiveError) as caught:
            read_all(patched(patched(data, LOCAL, 22, small), CENTRAL, 24, small))
        assert caught.value.code == "size_mismatch"
