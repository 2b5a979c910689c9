"""Another limit for the shards of an archive that stays where it is; and indexes of older versions."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import warnings
import zlib
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from barecat_support import OLD_SCHEMA, content, die_at, forked, make, statistics
from pixcrawler import barecat
from pixcrawler.barecat import Barecat, archive, maintenance, resharding

if TYPE_CHECKING:
    from pathlib import Path

with warnings.catch_warnings():
    # Its dependencies' business.
    warnings.simplefilter("ignore")
    theirs = pytest.importorskip("barecat")

FILES = {f"d{n % 5}/f{n}": random.Random(n).randbytes(n * 91 % 1001) for n in range(200)}


def sizes(path: Path) -> list[int]:
    with Barecat(path) as bc:
        assert bc.verify_integrity()
        return [bc.shards.size(shard) for shard in bc.shards.numbers()]


def test_W01_any_limit_after_any_other(tmp_path: Path) -> None:
    path = make(tmp_path / "x", FILES, shard_size_limit=20_000)
    with Barecat(path, readonly=False) as bc:
        for n in range(0, 200, 9):
            del bc[f"d{n % 5}/f{n}"]
        expected = dict(bc.items())
    total = sum(map(len, expected.values()))
    for limit in (3_000, 1_001, 7_777, 50_000, "1M", "1.5K", 20_000, 20_000):
        barecat.reshard(path, limit)
        found = sizes(path)
        with Barecat(path) as bc:
            assert max(found) <= bc.shard_size_limit
            assert dict(bc.items()) == expected
        assert sum(found) == total
        # Full but for what the next file would not fit in.
        assert len(found) <= total // (max(found) - 1_001 or 1) + 2
        with theirs.Barecat(str(path)) as bc:
            assert {name: bc[name] for name in bc.files()} == expected
    assert statistics(path)[""][2] == len(expected)


def test_what_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "x", FILES)
    before = sizes(path)
    with pytest.raises(barecat.FileTooLargeBarecatError):
        barecat.reshard(path, 900)
    for wrong in ("", "0", "1P", 0):
        with pytest.raises(ValueError):
            barecat.reshard(path, wrong)
    with pytest.raises(FileNotFoundError):
        barecat.reshard(tmp_path / "missing", 1_000)
    assert not barecat.exists(tmp_path / "missing")
    barecat.merge_symlink([path], tmp_path / "links")
    with pytest.raises(ValueError, match="symbolic"):
        barecat.reshard(tmp_path / "links", 5_000)
    with Barecat(path) as bc:
        assert bc.shard_size_limit == barecat.SHARD_SIZE_UNLIMITED
    assert sizes(path) == before
    # A broken file stays where it is, and is named.
    with (tmp_path / "x-shard-00000").open("r+b") as shard:
        shard.seek(before[0] - 1)
        shard.write(b"?")
    with pytest.raises(barecat.BarecatIntegrityError):
        barecat.reshard(path, 2_000)
    with Barecat(path) as bc:
        good = [name for name in FILES if bc.check_crc32c(name)]
    assert len(good) == 199


def test_empty_files_lie_anywhere(tmp_path: Path) -> None:
    path = make(tmp_path / "x", {"a": b"1" * 100, "e1": b"", "b": b"2" * 100, "e2": b""})
    barecat.reshard(path, 100)
    assert sizes(path) == [100, 100]
    assert content(path) == {"a": b"1" * 100, "e1": b"", "b": b"2" * 100, "e2": b""}
    with Barecat(path, readonly=False) as bc:
        del bc["a"]
        del bc["b"]
        bc.defrag()
    assert sizes(path) == [0]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.parametrize("limit", [7_000, 60_000])
def test_W01_W02_a_kill_at_any_write_loses_nothing(limit: int, tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.mkdir()
    files = dict(list(FILES.items())[:60])
    make(template / "x", files, shard_size_limit=20_000)
    with Barecat(template / "x", readonly=False) as bc:
        for n in range(0, 60, 7):
            del bc[f"d{n % 5}/f{n}"]
            del files[f"d{n % 5}/f{n}"]
    point, killed = 0, True
    while killed:
        point += 1 if point < 8 else 7
        folder = tmp_path / f"{point}"
        shutil.copytree(template, folder)

        def child() -> bool:
            archive._COMMIT_S = 0.0
            maintenance._MOVED_BYTES = resharding._MOVED_BYTES = 4_000
            die_at(point)  # noqa: B023
            barecat.reshard(folder / "x", limit)  # noqa: B023
            return True

        killed = forked(child) == -signal.SIGKILL
        assert content(folder / "x") == files, point
        barecat.reshard(folder / "x", limit)
        assert content(folder / "x") == files, point
        found = sizes(folder / "x")
        assert max(found) <= limit
        assert sum(found) == sum(map(len, files.values()))
        shutil.rmtree(folder)
    assert point > 15


# Upgrades.

UNVERSIONED = """
CREATE TABLE files (path TEXT PRIMARY KEY, parent TEXT, shard INTEGER, offset INTEGER, size INTEGER {crc});
CREATE TABLE directories (path TEXT PRIMARY KEY, parent TEXT, total_size INTEGER, total_file_count INTEGER);
INSERT INTO directories VALUES ('', '', 0, 0), ('a', '', 0, 0), ('empty', '', 0, 0);
"""
DATA = {"a/b": b"123456789", "c": b"", "a/deep/er": b"x" * 1000}


def old_archive(path: Path, kind: str) -> Path:
    """An archive as an older version left it; returns its index."""
    index = path.with_name(f"{path.name}-sqlite-index")
    path.with_name(f"{path.name}-shard-00000").write_bytes(b"".join(DATA.values()))
    with closing(sqlite3.connect(index)) as connection:
        if kind in {"1", "2"}:
            connection.executescript(OLD_SCHEMA)
            connection.execute("INSERT INTO config (key, value_int) VALUES ('schema_version_minor', ?)", (int(kind),))
            connection.execute("UPDATE config SET value_int = 5000 WHERE key = 'shard_size_limit'")
            connection.execute("UPDATE files SET mode = 33188, uid = 5, mtime_ns = 7 WHERE path = 'a/b'")
            connection.execute("UPDATE dirs SET mode = 16877, mtime_ns = 9, num_files = -3 WHERE path = 'a'")
            connection.execute("INSERT INTO dirs (path) VALUES ('empty'), ('a/deep')")
            connection.execute("INSERT INTO files (path, shard, offset, size) VALUES ('a/deep/er', 0, 9, 1000)")
        else:
            connection.executescript(UNVERSIONED.format(crc=", crc32 INTEGER" if kind == "crc" else ""))
            offset = 0
            for name, data in DATA.items():
                connection.execute(
                    "INSERT INTO files (path, parent, shard, offset, size) VALUES (?, '', 0, ?, ?)",
                    (name, offset, len(data)),
                )
                offset += len(data)
            if kind == "crc":
                connection.execute("UPDATE files SET crc32 = ? WHERE path = 'a/b'", (zlib.crc32(DATA["a/b"]),))
        connection.commit()
    return index


@pytest.mark.parametrize("kind", ["1", "2", "none", "crc"])
def test_D04_indexes_of_older_versions(kind: str, tmp_path: Path) -> None:
    index = old_archive(tmp_path / "x", kind)
    old = index.read_bytes()
    index.chmod(0o640)
    assert barecat.upgrade(tmp_path / "x", workers=2)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["x-shard-00000", "x-sqlite-index", "x-sqlite-index.old"]
    assert index.with_name(f"{index.name}.old").read_bytes() == old
    assert index.stat().st_mode & 0o777 == 0o640
    assert not barecat.upgrade(tmp_path / "x")
    make(tmp_path / "new", {"a": b"1"})
    for table in ("files", "dirs", "config"):
        columns = []
        for path in (index, tmp_path / "new"):
            with closing(sqlite3.connect(path)) as connection:
                columns.append(connection.execute(f"PRAGMA table_xinfo({table})").fetchall())
                objects = connection.execute(
                    "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite%'"
                ).fetchone()
                assert objects == (18,)
        assert columns[0] == columns[1]
    assert statistics(index)[""] == (2, 1, 3, 1009)
    for package in (barecat, theirs):
        with package.Barecat(str(tmp_path / "x"), readonly=False) as bc:
            assert {name: bc[name] for name in bc.files()} == DATA
            assert bc.isdir("empty")
            assert bc.verify_integrity()
            info: Any = bc.index.lookup_file("a/b")
            if kind in {"1", "2"}:
                assert bc.shard_size_limit == 5000
                assert (info.mode, info.uid, info.mtime_ns) == (33188, 5, 7)
                assert bc.index.lookup_dir("a").mode == 16877
            else:
                assert info.crc32c == 0xE3069283
                assert bc.index.lookup_file("a/deep/er").crc32c is not None
            bc["more"] = b"more"
            del bc["more"]


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path) -> None:
    for kind, statement in (
        ("crc", "UPDATE files SET crc32 = 5 WHERE path = 'a/b'"),
        ("none", "UPDATE files SET size = 5000 WHERE path = 'a/b'"),
        ("none", "UPDATE files SET path = '../a' WHERE path = 'a/b'"),
        ("none", "UPDATE files SET size = 'x' WHERE path = 'a/b'"),
        ("2", "UPDATE files SET path = '../a' WHERE path = 'a/b'"),
        ("2", "UPDATE files SET offset = -1 WHERE path = 'a/b'"),
        ("2", "UPDATE files SET path = 'a' WHERE path = 'c'"),
    ):
        index = old_archive(tmp_path / "x", kind)
        with closing(sqlite3.connect(index)) as connection, connection:
            connection.execute(statement)
        before = index.read_bytes()
        with pytest.raises(barecat.BarecatIntegrityError):
            barecat.upgrade(tmp_path / "x")
        assert index.read_bytes() == before, statement
        assert sorted(one.name for one in tmp_path.iterdir()) == ["x-shard-00000", "x-sqlite-index"]
        index.unlink()
    with pytest.raises(FileNotFoundError):
        barecat.upgrade(tmp_path / "missing")
    (tmp_path / "text").write_text("no database at all" * 100)
    with pytest.raises(barecat.BarecatIntegrityError):
        barecat.upgrade(tmp_path / "text")
    index = old_archive(tmp_path / "x", "2")
    with (
        closing(sqlite3.connect(index)) as connection,
        pytest.MonkeyPatch.context() as patched,
        pytest.raises(barecat.BarecatError) as locked,
    ):
        patched.setattr("pixcrawler.barecat.connections._TIMEOUT_S", 0.05)
        connection.execute("BEGIN IMMEDIATE")
        barecat.upgrade(tmp_path / "x")
    assert locked.value.code == "archive_locked"


def test_an_upgrade_of_a_write_ahead_log(tmp_path: Path) -> None:
    index = old_archive(tmp_path / "x", "2")
    with closing(sqlite3.connect(index)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    assert barecat.upgrade(tmp_path / "x", preserve_backup=False)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["x-shard-00000", "x-sqlite-index"]
    assert content(tmp_path / "x") == DATA
    assert os.path.getsize(index) > 0
