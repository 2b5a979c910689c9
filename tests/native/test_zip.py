"""Zip chunks as Python's zipfile and other writers make them: every member's bytes, and what is refused."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler import DecompressionError, load_dataset
from support import encode, open_directory, picture, read_all, zip_of

if TYPE_CHECKING:
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
