"""File objects of an archive."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from pixcrawler import barecat
from pixcrawler.barecat import Barecat

if TYPE_CHECKING:
    from pathlib import Path

TEXT = b"first line\nsecond line\n\nlast"
BIG = bytes(range(256)) * 20_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Barecat(tmp_path / "x.barecat", readonly=False) as bc:
        bc["t.txt"] = TEXT
        bc["big"] = BIG
        bc["empty"] = b""
    return tmp_path / "x.barecat"


def test_reading(path: Path) -> None:
    with Barecat(path) as bc, bc.open("big", "rb") as file:
        assert isinstance(file, io.IOBase)
        assert isinstance(file, barecat.BarecatFileObject)
        plain = io.BytesIO(BIG)
        assert file.size == len(file) == len(BIG)
        assert (file.readable(), file.writable(), file.seekable(), file.closed) == (True, False, True, False)
        for step in (
            lambda one: one.read(10),
            lambda one: one.seek(100),
            lambda one: one.read(1000),
            lambda one: one.seek(-50, io.SEEK_END),
            lambda one: one.read(),
            lambda one: one.read(),
            lambda one: one.seek(5_000_000_000),
            lambda one: one.read(5),
            lambda one: one.seek(0),
            lambda one: one.seek(7, io.SEEK_CUR),
            lambda one: one.tell(),
            lambda one: one.readline(),
            lambda one: one.readlines(3000),
            lambda one: one.read(0),
            lambda one: one.read(None),
        ):
            assert step(file) == step(plain)
        for wrong in (lambda: file.seek(-1), lambda: file.seek(0, 9), lambda: file.seek(-9, io.SEEK_SET)):
            with pytest.raises(ValueError):
                wrong()
        file.seek(0)
        buffer = bytearray(5)
        assert file.readinto(buffer) == 5
        assert buffer == BIG[:5]
        file.seek(0)
        assert file.readall() == BIG  # type: ignore[union-attr]
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"x")  # type: ignore[arg-type]
        # Each object has its own cursor.
        with bc.open("big", "rb") as other:
            assert other.read(3) == BIG[:3]
    with pytest.raises(ValueError, match="closed"):
        file.read()


def test_text(path: Path) -> None:
    with Barecat(path) as bc, bc.open("t.txt") as file:
        assert isinstance(file, io.TextIOWrapper)
        assert list(file) == TEXT.decode().splitlines(keepends=True)
    with Barecat(path, readonly=False) as bc:
        with bc.open("new.txt", "w", encoding="utf-16", newline="\r\n") as file:
            file.write("ä\nb")  # type: ignore[call-overload]
        assert bc["new.txt"] == "ä\r\nb".encode("utf-16")


def test_W12_modes_that_are_none_are_refused(path: Path) -> None:
    with Barecat(path, readonly=False) as bc:
        for mode in ("q", "", "rw", "rr", "b", "+", "r++", "rbt", "rq", "U"):
            with pytest.raises(ValueError, match="mode"):
                bc.open("t.txt", mode)
        with pytest.raises(ValueError, match="text"):
            bc.open("t.txt", "rb", encoding="utf-8")
        for mode in ("r", "r+", "rb", "r+b"):
            with pytest.raises(barecat.FileNotFoundBarecatError):
                bc.open("nothing", mode)
        with pytest.raises(FileExistsError):
            bc.open("t.txt", "x")
        for mode in ("w", "a", "x"):
            with pytest.raises(IsADirectoryError):
                bc.open("", mode)
        assert bc["t.txt"] == TEXT
        assert len(bc) == 3


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("wb", b"XY"),
        ("ab", TEXT + b"XY"),
        ("r+b", b"XY" + TEXT[2:]),
        ("w+b", b"XY"),
        ("a+b", TEXT + b"XY"),
    ],
)
def test_writing_enters_the_archive_on_close(mode: str, expected: bytes, path: Path) -> None:
    with Barecat(path, readonly=False) as bc:
        file = bc.open("t.txt", mode)
        assert file.write(b"XY") == 2  # type: ignore[arg-type]
        bc.commit()
        with Barecat(path) as reader:
            assert reader["t.txt"] == TEXT
        if "+" in mode:
            file.seek(0)
            assert file.read() == expected
        file.close()
        assert bc["t.txt"] == expected
    with Barecat(path) as bc:
        assert bc["t.txt"] == expected
        assert bc.verify_integrity()


def test_new_files_and_what_is_written_beyond_the_end(path: Path) -> None:
    with Barecat(path, readonly=False) as bc:
        for mode in ("wb", "xb", "ab", "w+b"):
            with bc.open(f"new/{mode}", mode) as file:
                file.seek(3)
                if mode != "ab":
                    assert file.write(b"z") == 1  # type: ignore[arg-type]
            assert bc[f"new/{mode}"] == (b"\0\0\0z" if mode != "ab" else b"")
        with bc.open("big", "r+b") as file:
            file.seek(len(BIG) + 10)
            file.write(b"end")  # type: ignore[arg-type]
            assert file.truncate(len(BIG) + 12) == len(BIG) + 12
            file.truncate(len(BIG) + 14)
        assert bc["big"] == BIG + bytes(10) + b"en" + bytes(2)
        with bc.open("big", "r+b") as file:
            file.truncate(5)
        assert bc["big"] == BIG[:5]
        with pytest.raises(ValueError, match="not negative"), bc.open("big", "r+b") as file:
            file.truncate(-1)
        assert bc.verify_integrity()


def test_unchanged_content_leaves_the_row_alone(path: Path) -> None:
    with Barecat(path, readonly=False) as bc:
        before = bc.index.lookup_file("t.txt")
        size = bc.total_physical_size_stat
        for mode in ("r+b", "ab", "a+b", "r+"):
            with bc.open("t.txt", mode):
                pass
        assert bc.index.lookup_file("t.txt") == before
        assert bc.total_physical_size_stat == size


def test_many_bytes_go_through_a_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixcrawler.barecat.files._SPOOLED_BYTES", 1000)
    with Barecat(tmp_path / "x.barecat", readonly=False) as bc:
        with bc.open("x", "wb") as file:
            for start in range(0, len(BIG), 70_000):
                file.write(BIG[start : start + 70_000])  # type: ignore[arg-type]
        assert bc["x"] == BIG
