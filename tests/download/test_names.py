"""Names from outside as names of files."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler.download.names import UniqueNames, image_name, safe_name, zip_names

HOSTILE = [
    "",
    ".",
    "..",
    "...",
    " ",
    ". .",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a\\..\\b",
    "C:\\x",
    "C:x",
    "\\\\host\\share",
    "a\0b",
    "a\nb",
    "\x1b]8;;x\x07",
    "CON",
    "con.jpg",
    "Nul",
    "COM1.txt",
    "lpt9",
    "com¹",
    ".hidden",
    ".pixcrawler",
    "x" * 300,
    "é" * 300,
    "x" * 300 + ".jpeg",
    "\ud800",
    "a\u202eb",
    "trailing.",
    "trailing ",
    "~",
    "-rf",
    "a:b",
    'a*?"<>|b',
]


def is_safe(name: str) -> bool:
    devices = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in "0123456789¹²³")}
    return (
        bool(name)
        and not name.startswith(".")
        and not name.endswith((".", " "))
        and not set(name) & set('<>:"/\\|?*\0')
        and name.isprintable()
        and len(name.encode()) <= 200
        and name.split(".", maxsplit=1)[0].lower() not in devices
        and PurePosixPath(name).parts == (name,)
        and PureWindowsPath(name).parts == (name,)
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_become_names_of_files(text: str) -> None:
    name = safe_name(text)
    assert is_safe(name), name
    assert safe_name(name) == name


@given(st.text(max_size=300))
def test_any_text_becomes_a_name_of_a_file(text: str) -> None:
    name = safe_name(text)
    assert is_safe(name), name
    assert safe_name(text) == name


@pytest.mark.parametrize(
    "text", ["cat", "0001.jpg", "n01440764_10026", "Bild 7 (Kopie).JPG", "名前.png", "a.b.c", "_", "x~1"]
)
def test_names_that_are_fine_stay(text: str) -> None:
    assert safe_name(text) == text


def test_long_names_keep_their_extension_and_differ() -> None:
    one, other = safe_name("x" * 300 + "1.jpeg"), safe_name("x" * 300 + "2.jpeg")
    assert one.endswith(".jpeg")
    assert one != other


def test_a_name_is_given_once_whatever_its_case_and_form() -> None:
    names = UniqueNames(["taken.jpg"])
    assert [names.give(name) for name in ("a.jpg", "A.JPG", "a.jpg", "TAKEN.jpg", "a-2.jpg")] == [
        "a.jpg",
        "A-2.JPG",
        "a-3.jpg",
        "TAKEN-2.jpg",
        "a-2-2.jpg",
    ]
    assert names.give(unicodedata.normalize("NFC", "é.png")) == "é.png"
    assert names.give(unicodedata.normalize("NFD", "é.png")) != "é.png"
    assert [names.give("STRASSE"), names.give("straße")] == ["STRASSE", "straße-2"]


@given(st.lists(st.sampled_from(["a", "A", "a-2", "A-2", "a-3", "b.jpg", "B.jpg", "b-2.JPG"]), max_size=30))
def test_given_names_never_collide_and_go_on_after_a_restart(wanted: list[str]) -> None:
    names = UniqueNames()
    given_names = [names.give(name) for name in wanted]
    assert len({name.casefold() for name in given_names}) == len(wanted)
    half = len(wanted) // 2
    again = UniqueNames(given_names[:half])
    assert [again.give(name) for name in wanted[half:]] == given_names[half:]


@pytest.mark.parametrize(
    ("member", "start", "name"),
    [
        ("cat/0001.jpg", b"\xff\xd8\xff", "0001.jpg"),
        ("cat/0001.JPEG", b"\xff\xd8\xff", "0001.JPEG"),
        ("0001", b"\xff\xd8\xff", "0001.jpg"),
        ("photo.php", b"\x89PNG\r\n\x1a\n", "photo.php.png"),
        ("metadata.jsonl", b"RIFF\0\0\0\0WEBP", "metadata.jsonl.webp"),
        ("a/../..\\evil.tif", b"II*\0", "_.._evil.tif"),
        ("x.heic", b"\0\0\0\x18ftyp", "x.heic"),
        ("a/", b"GIF89a", "_.gif"),
    ],
)
def test_images_keep_their_names_and_get_an_extension(member: str, start: bytes, name: str) -> None:
    assert image_name(member, start + bytes(20)) == name


def test_zips_are_called_as_their_chunks_if_that_keeps_their_order() -> None:
    assert zip_names(["c0", "c1"]) == ["c0.zip", "c1.zip"]
    for ids in (["c9", "c10"], ["../x", "y"], ["a", "A"], ["nul", "x"], [".a", "b"]):
        assert zip_names(ids) == ["chunk-000000.zip", "chunk-000001.zip"]
