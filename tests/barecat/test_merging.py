"""New archives of several: merge, merge_symlink, subset; and rows merged into an index."""

from __future__ import annotations

import io
import random
import tarfile
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from pixcrawler import barecat
from pixcrawler.barecat import Barecat, BarecatDirInfo, BarecatFileInfo, Index, copying

if TYPE_CHECKING:
    from pathlib import Path

with warnings.catch_warnings():
    # Its dependencies' business.
    warnings.simplefilter("ignore")
    theirs = pytest.importorskip("barecat")

ONE = {f"a/{n}/x{n}": random.Random(n).randbytes(n * 31 % 997) for n in range(40)}
TWO = {f"b/{n}": random.Random(n).randbytes(n * 53 % 1999) for n in range(30)}


def make(path: Path, files: dict[str, bytes], **options: Any) -> Path:
    with Barecat(path, readonly=False, **options) as bc:
        bc.update(files)
    return path


def content(path: Path) -> dict[str, bytes]:
    """What both packages find in it."""
    with Barecat(path) as bc:
        assert bc.verify_integrity()
        found = {name: bc[name] for name in bc.files()}
    with theirs.Barecat(str(path)) as bc:
        assert bc.verify_integrity()
        assert {name: bc[name] for name in bc.files()} == found
    return found


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "sources"
    folder.mkdir()
    make(folder / "One.barecat", ONE, shard_size_limit=3_000)
    make(folder / "Two", TWO)
    with Barecat(folder / "One.barecat", readonly=False) as bc:
        bc.add(BarecatDirInfo("a", 0o040700, 1, 2, 3), dir_exist_ok=True)
    with tarfile.open(folder / "Three.v1.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("t/file")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"three"))
        member = tarfile.TarInfo("t")
        member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o700, 9
        tar.addfile(member)
    with zipfile.ZipFile(folder / "four.zip", "w") as made:
        made.writestr("z/file", b"four")
    return [folder / "One.barecat", folder / "Two", folder / "Three.v1.tar.gz", folder / "four.zip"]


ALL = {**ONE, **TWO, "t/file": b"three", "z/file": b"four"}


def test_everything_of_several(sources: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_WHOLE_BYTES", 500)
    barecat.merge(sources, tmp_path / "all", "2K")
    assert content(tmp_path / "all") == ALL
    with Barecat(tmp_path / "all") as bc:
        assert bc.shard_size_limit == 2 << 10
        assert max(bc.shards.size(shard) for shard in bc.shards.numbers()) <= 2 << 10
        assert bc.total_physical_size_stat == bc.total_logical_size
        info = bc.index.lookup_dir("a")
        assert (info.mode, info.uid, info.gid, info.mtime_ns) == (0o040700, 1, 2, 3)
        assert bc.index.lookup_dir("t").mtime_ns == 9 * 10**9
    theirs.merge([str(one) for one in sources[:2]], str(tmp_path / "theirs"))
    barecat.merge(sources[:2], tmp_path / "ours")
    assert content(tmp_path / "ours") == content(tmp_path / "theirs") == {**ONE, **TWO}


def test_W09_subdirs_keep_their_names(sources: list[Path], tmp_path: Path) -> None:
    barecat.merge(sources, tmp_path / "all", as_subdirs=True, prefix="/p/q/")
    names = ("One", "Two", "Three.v1", "four")
    parts = (ONE, TWO, {"t/file": b"three"}, {"z/file": b"four"})
    expected = {
        f"p/q/{name}/{path}": data for name, part in zip(names, parts, strict=True) for path, data in part.items()
    }
    assert content(tmp_path / "all") == expected
    barecat.merge_symlink(sources[:2], tmp_path / "links", as_subdirs=True)
    assert {path.split("/")[0] for path in content(tmp_path / "links")} == {"One", "Two"}


def test_W09_holes_empty_files_and_limits(tmp_path: Path) -> None:
    with Barecat(tmp_path / "x", readonly=False) as bc:
        bc["a"] = b"1" * 100
        bc["hole"] = bytes(100_000)
        bc["b"] = b"2" * 100
        bc["empty"] = b""
        del bc["hole"]
    # Empty files at the edges of full shards, and a shard of nothing else.
    make(tmp_path / "y", {"c": b"3" * 100, "e1": b"", "d": b"4" * 100, "e2": b""}, shard_size_limit=100)
    make(tmp_path / "z", {"only/e3": b"", "only/e4": b""})
    expected = {"a": b"1" * 100, "b": b"2" * 100, "empty": b"", "c": b"3" * 100, "d": b"4" * 100}
    expected |= {"e1": b"", "e2": b"", "only/e3": b"", "only/e4": b""}
    barecat.merge([tmp_path / name for name in "xyz"], tmp_path / "all", 100)
    assert content(tmp_path / "all") == expected
    with Barecat(tmp_path / "all") as bc:
        assert bc.sharder.num_shards == 4
    barecat.merge_symlink([tmp_path / name for name in "xyz"], tmp_path / "links")
    assert content(tmp_path / "links") == expected
    with pytest.raises(barecat.FileTooLargeBarecatError):
        barecat.merge([tmp_path / name for name in "xyz"], tmp_path / "small", 99)
    assert not barecat.exists(tmp_path / "small")


def test_W09_duplicates(tmp_path: Path) -> None:
    make(tmp_path / "x", {"same": b"1", "x": b"x" * 500})
    make(tmp_path / "y", {"same": b"2" * 500, "y": b"y"})
    with tarfile.open(tmp_path / "z.tar", "w") as tar:
        for name in ("same", "z", "x"):
            tar.addfile(tarfile.TarInfo(name))
    before = sorted(tmp_path.iterdir())
    for paths in (("x", "y"), ("x", "z.tar"), ("x", "x")):
        with pytest.raises(barecat.FileExistsBarecatError) as twice:
            barecat.merge([tmp_path / name for name in paths], tmp_path / "all")
        assert twice.value.member in {"same", "x"}
    with pytest.raises(barecat.FileExistsBarecatError):
        barecat.merge_symlink([tmp_path / "x", tmp_path / "y"], tmp_path / "all")
    assert sorted(tmp_path.iterdir()) == before
    expected = {"same": b"1", "x": b"x" * 500, "y": b"y"}
    paths = [tmp_path / name for name in "xyx"]
    barecat.merge(paths, tmp_path / "all", ignore_duplicates=True)
    barecat.merge([*paths, tmp_path / "z.tar"], tmp_path / "more", ignore_duplicates=True)
    barecat.merge_symlink(paths, tmp_path / "links", ignore_duplicates=True)
    assert content(tmp_path / "all") == content(tmp_path / "links") == expected
    assert content(tmp_path / "more") == {**expected, "z": b""}
    with Barecat(tmp_path / "all") as bc:
        # What was left out was not copied.
        assert bc.total_physical_size_stat == 502


def test_filters(sources: list[Path], tmp_path: Path) -> None:
    rules = [("+", "a/1*/**"), ("-", "a/**"), ("-", "z/**")]
    expected = {name: data for name, data in ALL.items() if name[0] in "bt" or name.startswith("a/1")}
    barecat.merge(sources, tmp_path / "some", filter_rules=rules)
    assert content(tmp_path / "some") == expected
    barecat.merge_symlink(sources[:2], tmp_path / "links", filter_rules=rules)
    assert content(tmp_path / "links") == {name: data for name, data in expected.items() if name[0] in "ab"}
    with Barecat(tmp_path / "some") as bc:
        assert not bc.exists("a/2")
        assert not bc.exists("z")
        assert bc.index.lookup_dir("t").mtime_ns == 9 * 10**9
    barecat.subset(sources[0], tmp_path / "subset", 1_000, pattern="**/x3?")
    assert content(tmp_path / "subset") == {
        name: data for name, data in ONE.items() if name.startswith("a/3") and len(name) > 6
    }
    with Barecat(tmp_path / "subset") as bc:
        assert bc.index.lookup_dir("a").uid == 1
        assert bc.sharder.num_shards > 1


def test_links_to_shards(sources: list[Path], tmp_path: Path) -> None:
    barecat.merge_symlink(sources[:2], tmp_path / "links", prefix="p")
    assert content(tmp_path / "links") == {f"p/{name}": data for name, data in {**ONE, **TWO}.items()}
    links = sorted(one for one in tmp_path.iterdir() if one.is_symlink())
    assert [one.name for one in links] == [f"links-shard-{number:05d}" for number in range(len(links))]
    assert all(not one.readlink().is_absolute() for one in links)
    for source in sources[2:]:
        with pytest.raises(ValueError, match="not supported with tar/zip"):
            barecat.merge_symlink([sources[0], source], tmp_path / "more")
    with pytest.raises(ValueError, match="one of the sources"):
        barecat.merge_symlink(sources[:2], sources[0], overwrite=True)
    (sources[0].parent / "One.barecat-shard-00001").unlink()
    with pytest.raises(barecat.BarecatError) as missing:
        barecat.merge_symlink(sources[:2], tmp_path / "more")
    assert missing.value.code == "shard_missing"
    assert not barecat.exists(tmp_path / "more")


def test_nothing_is_overwritten_unasked(sources: list[Path], tmp_path: Path) -> None:
    make(tmp_path / "x", {"mine": b"1" * 100}, shard_size_limit=100)
    for work in (barecat.merge, barecat.merge_symlink):
        with pytest.raises(barecat.FileExistsBarecatError):
            work(sources[:1], tmp_path / "x")
    with pytest.raises(barecat.FileExistsBarecatError):
        barecat.subset(sources[0], tmp_path / "x")
    assert content(tmp_path / "x") == {"mine": b"1" * 100}
    with pytest.raises(FileNotFoundError):
        barecat.merge([*sources, tmp_path / "missing"], tmp_path / "x", overwrite=True)
    assert content(tmp_path / "x") == {"mine": b"1" * 100}
    # The target may be a source too.
    barecat.merge([tmp_path / "x", sources[1]], tmp_path / "x", overwrite=True)
    assert content(tmp_path / "x") == {"mine": b"1" * 100, **TWO}
    barecat.merge_symlink(sources[:2], tmp_path / "x", overwrite=True)
    assert content(tmp_path / "x") == {**ONE, **TWO}
    barecat.merge(sources[1:2], tmp_path / "x", overwrite=True)
    assert content(tmp_path / "x") == TWO
    assert content(sources[0]) == ONE


def test_rows_alone(tmp_path: Path) -> None:
    make(tmp_path / "x", {"a/1": b"1", "same": b"2"})
    make(tmp_path / "y", {"a/3": b"33", "same": b"44"}, shard_size_limit=2)
    with Index(tmp_path / "x", readonly=False) as index:
        with pytest.raises(barecat.FileExistsBarecatError):
            index.merge_from_other_barecat(tmp_path / "y")
        with pytest.raises(ValueError, match="exists as a file"):
            index.merge_from_other_barecat(tmp_path / "y", prefix="same/p")
        index.merge_from_other_barecat(tmp_path / "y", ignore_duplicates=True)
        index.merge_from_other_barecat(tmp_path / "y", prefix="p")
        places = {one.path: (one.shard, one.offset, one.size) for one in index.iter_all_fileinfos()}
        assert index.verify_integrity()
    assert places == {
        "a/1": (0, 0, 1),
        "same": (0, 1, 1),
        "a/3": (1, 0, 2),
        "p/a/3": (2, 0, 2),
        "p/same": (3, 0, 2),
    }


def test_a_foreign_file_into_an_archive_with_conflicts(tmp_path: Path) -> None:
    from pixcrawler.barecat.merging import merge_into

    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in ("d/1", "d/2"):
            tar.addfile(tarfile.TarInfo(name))
    options: dict[str, Any] = {"is_included": None, "ignore_duplicates": True}
    with Barecat(tmp_path / "y", readonly=False) as bc:
        bc.add(BarecatFileInfo("d/1", mode=0o600), data=b"mine")
        merge_into(bc, tmp_path / "x.tar", prefix="", **options)
        assert dict(bc.items()) == {"d/1": b"mine", "d/2": b""}
        bc["file"] = b""
        with pytest.raises(ValueError, match="exists as a file"):
            merge_into(bc, tmp_path / "x.tar", prefix="file/x", **options)
    with Barecat(tmp_path / "z", readonly=False) as bc:
        bc["d"] = b"a file"
        with pytest.raises(barecat.NotADirectoryBarecatError):
            merge_into(bc, tmp_path / "x.tar", prefix="", **options)
