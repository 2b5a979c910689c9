"""``pixcrawler barecat convert``, ``merge``, ``subset``, ``reshard`` and ``upgrade``."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from barecat_commands import COMMAND, make_tree, ours, theirs
from barecat_support import content
from pixcrawler.barecat import Barecat

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """``x.barecat`` in the working folder; its content."""
    monkeypatch.chdir(tmp_path)
    files = make_tree(tmp_path / "tree")
    theirs("create", "x.barecat", "tree")
    return {f"tree/{name}": data for name, data in files.items()}


def test_convert(archive: dict[str, bytes], tmp_path: Path) -> None:
    for suffix in ("tar", "tgz", "tar.bz2", "txz", "zip"):
        assert ours("convert", "x.barecat", f"x.{suffix}").output == ""
        ours("convert", "-s", "4KiB" if suffix == "tar" else "12K", f"x.{suffix}", "y", code=1)
        ours("convert", f"x.{suffix}", "-f", "y", "-s", "12K")
        assert content(tmp_path / "y") == archive
        with Barecat("y") as bc:
            assert bc.shard_size_limit == 12 << 10
            assert bc.isdir("tree/empty")
    theirs("convert", "-f", "x.tar", "z.barecat")
    assert content(tmp_path / "z.barecat") == archive
    ours("convert", "x.barecat", "--root-dir", "top", "top.tar")
    with tarfile.open("top.tar") as tar:
        assert all(name.startswith("top/tree") for name in tar.getnames())


def test_what_convert_refuses(archive: dict[str, bytes], tmp_path: Path) -> None:
    ours("convert", "x.barecat", "x.tar")
    before = sorted(tmp_path.iterdir())
    for arguments in (
        ("x.barecat", "x.tar"),
        ("x.tar", "x.barecat"),
        ("x.tar", "y.zip"),
        ("x.barecat", "y.barecat"),
        ("missing.tar", "y"),
        ("missing", "y.tar"),
        ("--stdin", "zip", "y"),
        ("--stdout", "x.barecat", "y.tar"),
        ("--wrap", "x.barecat", "y.tar"),
    ):
        ours("convert", *arguments, code=1)
    for arguments in (("x.tar",), ("-s", "1P", "x.tar", "y"), ("--root-dir", "d", "x.tar", "y")):
        ours("convert", *arguments, code=2)
    ours("convert", "x.barecat", "x.tar.gz")
    assert "wrap" in ours("convert", "--wrap", "x.tar.gz", "y", code=1).stderr
    (tmp_path / "x.tar.gz").unlink()
    assert sorted(tmp_path.iterdir()) == before
    assert content(tmp_path / "x.barecat") == archive


def test_convert_through_pipes(archive: dict[str, bytes], tmp_path: Path) -> None:
    made = subprocess.run([*COMMAND, "convert", "--stdout", "x.barecat", "tar.gz"], check=True, capture_output=True)
    listed = subprocess.run(["tar", "tz"], input=made.stdout, check=True, capture_output=True)
    assert len(listed.stdout.splitlines()) > len(archive)
    subprocess.run([*COMMAND, "convert", "--stdin", "tar.gz", "y"], input=made.stdout, check=True)
    assert content(tmp_path / "y") == archive
    cut = subprocess.run(
        [*COMMAND, "convert", "--stdin", "tar.gz", "z"], check=False, input=made.stdout[:-5], capture_output=True
    )
    assert cut.returncode == 1
    assert cut.stderr.startswith(b"Error: ")
    assert cut.stderr.count(b"\n") == 1
    assert not list(tmp_path.glob("z*"))


def test_links_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with tarfile.open("x.tar", "w") as tar:
        for name in ("../bad", "good"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"1"))
        member = tarfile.TarInfo("link")
        member.type = tarfile.SYMTYPE
        tar.addfile(member)
    assert "../bad" in ours("convert", "x.tar", "y", code=1).stderr
    with tarfile.open("z.tar", "w") as tar:
        tar.addfile(member)
    made = subprocess.run([*COMMAND, "convert", "z.tar", "y"], check=True, capture_output=True)
    assert made.stdout == b""
    assert made.stderr == b"Warning: left out of z.tar: 1 symbolic links\n"


def test_wrap_and_symlink(archive: dict[str, bytes], tmp_path: Path) -> None:
    ours("convert", "x.barecat", "x.tar")
    ours("convert", "--wrap", "x.tar", "w")
    assert content(tmp_path / "w") == archive
    assert (tmp_path / "w-shard-00000").is_symlink()
    made = ours("merge", "--symlink", "-o", "l", "x.barecat", "w", "--as-subdirs")
    assert made.output == "Merging files from x.barecat -> x/\nMerging files from w -> w/\n"
    assert content(tmp_path / "l") == {f"{name}/{path}": data for name in "xw" for path, data in archive.items()}
    assert "not supported with tar/zip" in ours("merge", "--symlink", "-o", "m", "x.tar", code=1).stderr


def test_merge(archive: dict[str, bytes], tmp_path: Path) -> None:
    ours("convert", "x.barecat", "other.zip")
    assert ours("merge", "x.barecat", "-o", "m", "-s", "12K").output == "Merging files from x.barecat\n"
    assert content(tmp_path / "m") == archive
    for arguments in (("x.barecat",), ("x.barecat", "other.zip", "-f"), ("missing", "-f")):
        ours("merge", "-o", "m", *arguments, code=1)
    assert content(tmp_path / "m") == archive
    made = ours("merge", "-a", "-o", "m", "x.barecat", "other.zip", "--prefix", "p/q")
    assert made.output == "Merging files from x.barecat -> p/q/\nMerging files from other.zip -> p/q/\n"
    assert content(tmp_path / "m") == {**archive, **{f"p/q/{name}": data for name, data in archive.items()}}
    ours("merge", "-a", "-o", "m", "m", code=1)
    ours("merge", "-f", "-o", "m", "x.barecat", "other.zip", "--ignore-duplicates", "--pattern", "**/*.txt")
    assert set(content(tmp_path / "m")) == {name for name in archive if name.endswith(".txt")}
    for arguments in (
        ("-a", "-f", "x.barecat"),
        ("--symlink", "-s", "1K", "x.barecat"),
        ("--pattern", "*", "-x", "*", "x.barecat"),
        (),
    ):
        ours("merge", "-o", "n", *arguments, code=2)


def test_subset_and_reshard(archive: dict[str, bytes], tmp_path: Path) -> None:
    ours("subset", "x.barecat", "-o", "s", "-i", "**/*.txt", "-x", "**")
    theirs("subset", "x.barecat", "-o", "t", "-i", "**/*.txt", "-x", "**")
    assert content(tmp_path / "s") == content(tmp_path / "t")
    assert set(content(tmp_path / "s")) == {name for name in archive if name.endswith(".txt")}
    ours("subset", "x.barecat", "-o", "s", code=1)
    assert ours("reshard", "x.barecat", "-s", "11KB").output == ""
    assert content(tmp_path / "x.barecat") == archive
    assert (tmp_path / "x.barecat-shard-00001").exists()
    ours("reshard", "x.barecat", "-s", "1K", code=1)
    ours("reshard", "x.barecat", "-s", "0", code=2)
    ours("reshard", "missing", "-s", "1M", code=1)
    assert theirs("verify", "x.barecat").startswith(b"Verified")


def test_upgrade(archive: dict[str, bytes], tmp_path: Path) -> None:
    assert ours("upgrade", "x.barecat").output == "x.barecat has the schema of today.\n"
    ours("upgrade", "missing", code=1)
    shutil.copy("x.barecat", "old-sqlite-index")
    shutil.copy("x.barecat-shard-00000", "old-shard-00000")
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect("old-sqlite-index")) as connection, connection:
        connection.execute("UPDATE config SET value_int = 2 WHERE key = 'schema_version_minor'")
    assert ours("upgrade", "old", "-j", "2", "--no-preserve-backup").output == ""
    assert sorted(one.name for one in tmp_path.glob("old*")) == ["old-shard-00000", "old-sqlite-index"]
    assert content(tmp_path / "old") == archive
