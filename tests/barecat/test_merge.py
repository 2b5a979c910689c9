"""Archives copied into others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pixcrawler import barecat
from pixcrawler.barecat import Barecat, BarecatDirInfo
from pixcrawler.barecat.globbing import compiled

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"a/1.jpg": b"one", "a/2.txt": b"two", "b/c/3.jpg": b"three" * 100, "b/.dot": b"", "4.jpg": b"four"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    with Barecat(tmp_path / "source", readonly=False, shard_size_limit=600) as bc:
        bc.update(FILES)
        bc["hole"] = bytes(100)
        bc["a/5.jpg"] = b"five"
        del bc["hole"]
        del bc["a/5.jpg"]
        bc.add(BarecatDirInfo("empty", mode=0o700, mtime_ns=50))
    return tmp_path / "source"


def test_everything_goes_over(source: Path, tmp_path: Path) -> None:
    with Barecat(tmp_path / "x", readonly=False) as bc:
        bc.add(BarecatDirInfo("empty", mode=0o055, mtime_ns=40))
        bc["own"] = b"own"
        bc.merge_from_other_barecat(source)
        with Barecat(source) as other:
            bc.merge_from_other_barecat(other, prefix="/deep/er/")
            assert len(other) == 5
        info = bc.index.lookup_dir("empty")
        assert (info.mode, info.mtime_ns) == (0o755, 50)
    with Barecat(tmp_path / "x") as bc:
        deep = {f"deep/er/{name}": data for name, data in FILES.items()}
        assert dict(bc.items()) == {"own": b"own", **FILES, **deep}
        assert bc.isdir("deep/er/empty")
        assert bc.total_physical_size_stat == bc.total_logical_size
        assert bc.verify_integrity()


def test_a_part_goes_over(source: Path, tmp_path: Path) -> None:
    for number, (pattern, rules, expected) in enumerate(
        (
            ("**/*.jpg", None, {"a/1.jpg", "b/c/3.jpg", "4.jpg"}),
            ("*.jpg", None, {"4.jpg"}),
            (None, [("-", "b/**")], {"a/1.jpg", "a/2.txt", "4.jpg"}),
            (None, [("+", "b/c/*"), ("-", "b/**"), ("-", "?.jpg")], {"a/1.jpg", "a/2.txt", "b/c/3.jpg"}),
            ("**", [("+", "a/[13]*"), ("-", "**")], {"a/1.jpg"}),
        )
    ):
        with Barecat(tmp_path / f"{number}", readonly=False) as bc:
            bc.merge_from_other_barecat(source, pattern=pattern, filter_rules=rules)
            assert set(bc) == expected
            assert not bc.exists("empty")
            assert bc.verify_integrity()
    with Barecat(tmp_path / "y", readonly=False) as bc, pytest.raises(ValueError, match="rule"):
        bc.merge_from_other_barecat(source, filter_rules=[("x", "*")])


def test_conflicts_are_found_before_anything_is_copied(source: Path, tmp_path: Path) -> None:
    for name, prefix, text, error in (
        ("a/1.jpg", "", "such a file", barecat.FileExistsBarecatError),
        ("a", "", "conflicts with target file", ValueError),
        ("4.jpg/below", "", "conflicts with target directory", ValueError),
        ("p", "p/q", "exists as a file", ValueError),
    ):
        with Barecat(tmp_path / "x", readonly=False, overwrite=True) as bc:
            bc[name] = b"own"
            with pytest.raises(error, match=text):
                bc.merge_from_other_barecat(source, prefix=prefix)
            assert dict(bc.items()) == {name: b"own"}
            if error is barecat.FileExistsBarecatError:
                bc.merge_from_other_barecat(source, ignore_duplicates=True)
                bc.merge_from_other_barecat(source, ignore_duplicates=True)
                assert dict(bc.items()) == {**FILES, name: b"own"}
                assert bc.verify_integrity()


def test_globs_as_filters() -> None:
    for pattern, path, expected in (
        ("*", "a", True),
        ("*", "a/b", False),
        ("**", "a/b", True),
        ("**/b", "b", True),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("[!a]", "b", True),
        ("[!a]", "/", False),
        ("[]x]", "]", True),
        ("a.b", "axb", False),
        ("a[", "a[", True),
        ("[a^]", "^", True),
    ):
        assert (compiled(pattern).fullmatch(path) is not None) == expected, (pattern, path)
