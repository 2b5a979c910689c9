"""What must not happen to an archive: the cases W of its weaknesses elsewhere, and A of docs/reliability.md."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from barecat_support import FILES, content, die_at, forked, make
from pixcrawler import barecat
from pixcrawler.barecat import Barecat, BarecatFileInfo, BarecatIntegrityError, Order, appending, archive, maintenance
from support import run_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def change(path: Path, statement: str, *parameters: object) -> None:
    """Write to an index behind the package's back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE config SET value_int = 0 WHERE key = 'use_triggers'")
        connection.execute(statement, parameters)
        connection.execute("UPDATE config SET value_int = 1 WHERE key = 'use_triggers'")


def shard(path: Path, number: int = 0) -> Path:
    return path.with_name(f"{path.name}-shard-{number:05d}")


# Crashes: a child is killed at its n-th call that changes a file, for every n.


def create(path: Path) -> None:
    with Barecat(path, readonly=False, shard_size_limit=61_000) as bc:
        for n in range(8):
            bc[f"new/{n}"] = bytes([n]) * 25_000


def append(path: Path) -> None:
    with Barecat(path, readonly=False) as bc:
        for n in range(6):
            bc[f"new/{n}"] = bytes([n]) * 700


def update(path: Path) -> None:
    with Barecat(path, readonly=False) as bc:
        for n in range(0, 30, 5):
            with bc.open(f"d{n % 5}/f{n}", "r+b") as file:
                file.write(b"updated")  # type: ignore[arg-type]


def delete(path: Path) -> None:
    with Barecat(path, readonly=False) as bc:
        for n in range(149, 139, -1):
            del bc[f"d{n % 5}/f{n}"]
        bc.rename("d1", "renamed/d1")
        bc.rmtree("d2")


def defrag(path: Path) -> None:
    with Barecat(path, readonly=False) as bc:
        bc.defrag()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.parametrize("work", [create, append, update, delete, defrag])
def test_W02_W03_W04_A02_A15_a_kill_at_any_write_leaves_what_was_committed(
    work: Callable[[Path], None], tmp_path: Path
) -> None:
    template = tmp_path / "template"
    template.mkdir()
    before = dict(FILES)
    with Barecat(template / "x", readonly=False, shard_size_limit=60_000) as bc:
        bc.update(FILES if work is not create else {})
        if work is defrag:
            for number in range(0, 150, 3):
                del bc[f"d{number % 5}/f{number}"]
                del before[f"d{number % 5}/f{number}"]
    before = before if work is not create else {}
    point, killed = 0, True
    while killed:
        # Not each of hundreds: steps of a prime number meet every kind of call.
        point += 1 if point < 14 else 5
        folder = tmp_path / f"{point}"
        shutil.copytree(template, folder)
        path = folder / "x"

        def child() -> bool:
            archive._COMMIT_S, maintenance._MOVED_BYTES, maintenance._GAP_BYTES = 0.0, 30_000, 6_000
            die_at(point)  # noqa: B023
            work(path)  # noqa: B023
            return True

        killed = forked(child) == -signal.SIGKILL
        found = content(path)
        with Barecat(path) as bc:
            assert bc.verify_integrity(), point
        for name, data in before.items():
            moved = name.replace("d1/", "renamed/d1/") if work is delete and name not in found else name
            assert work is delete or moved in found
            assert found.get(moved, data) == data or found[moved] == b"updated" + data[7:], (point, name)
        # What the next writer adds stands beside it.
        with Barecat(path, readonly=False) as bc:
            bc["added/later"] = b"later"
            bc.defrag()
        assert content(path) == {**found, "added/later": b"later"}
        shutil.rmtree(folder)
    assert point > 15


def test_W03_A03_bytes_are_durable_before_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    sync, finish = appending._sync_data, barecat.Index._finish
    monkeypatch.setattr(appending, "_sync_data", lambda descriptor: (done.append("bytes"), sync(descriptor)))
    monkeypatch.setattr(barecat.Index, "_finish", lambda self: (done.append("rows"), finish(self)))
    with Barecat(tmp_path / "x", readonly=False) as bc:
        done.clear()
        bc["a"] = b"1"
        bc.commit()
        assert done == ["bytes", "rows"]
        bc["b"] = b"1"
        done.clear()
    assert done[:2] == ["bytes", "rows"]


def test_W04_work_is_committed_every_few_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixcrawler.barecat.archive._COMMIT_S", 0.0)
    with Barecat(tmp_path / "x", readonly=False) as bc:
        for n in range(5):
            bc[f"f{n}"] = b"x"
            assert len(content(tmp_path / "x")) == n + 1


def test_W04_a_hot_journal_is_rolled_back_by_a_reader(tmp_path: Path) -> None:
    path = make(tmp_path / "x")
    # A writer that dies with changed pages in the file and their old content in the journal.
    code = """
    import os, sqlite3, sys
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("PRAGMA cache_spill = 1")
    connection.execute("BEGIN")
    connection.execute("UPDATE files SET size = 5, crc32c = 9, path = 'z' || path")
    os._exit(0)
    """
    open_before = Barecat(path)
    assert open_before["d1/f1"] == FILES["d1/f1"]
    run_child(code, path)
    assert path.with_name("x-journal").stat().st_size > 0
    assert open_before["d1/f1"] == FILES["d1/f1"]
    assert content(path) == FILES
    # Orphaned bytes, as of a killed create, are named.
    with shard(path).open("ab") as file:
        file.write(bytes(1000))
    with Barecat(path) as bc:
        assert bc.verify_integrity()
        assert maintenance.orphaned_bytes(bc) == 1000


def test_W06_shards_are_found_by_number(tmp_path: Path) -> None:
    path = make(tmp_path / "x", shard_size_limit=30_000)
    names = sorted(one.name for one in tmp_path.iterdir())
    assert len(names) > 5
    shard(path).rename(tmp_path / "elsewhere")
    with Barecat(path) as bc:
        for name, data in FILES.items():
            if bc.index.lookup_file(name).shard == 0:
                with pytest.raises(BarecatIntegrityError) as missing:
                    bc[name]
                assert missing.value.code == "shard_missing"
                assert missing.value.member == name
            else:
                assert bc[name] == data
        assert not bc.verify_integrity()
        assert not bc.verify_integrity(quick=True)


@pytest.mark.parametrize("name", ["a[1]", "a*b", "a?", "a#b", "a%41 b", "a b", "ü", "a'b\"c"])
def test_W06_a_name_may_hold_anything(name: str, tmp_path: Path) -> None:
    path = make(tmp_path / name, shard_size_limit=30_000)
    assert content(path) == FILES
    with Barecat(path, readonly=False) as bc:
        del bc["d0/f0"]
    assert len(content(path)) == 149
    make(path, {"only": b"1"}, overwrite=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == [name, f"{name}-shard-00000"]


def test_W07_A06_a_cut_shard_is_an_error_and_not_short_bytes(tmp_path: Path) -> None:
    path = make(tmp_path / "x", {"a": b"1" * 100, "b": b"2" * 100, "empty": b""})
    change(path, "UPDATE files SET crc32c = NULL")
    reader = Barecat(path)
    assert reader["b"] == b"2" * 100
    os.truncate(shard(path), 150)
    for bc in (reader, Barecat(path)):
        assert bc["a"] == b"1" * 100
        for read in (
            lambda: bc["b"],  # noqa: B023
            lambda: bc.read("b", 20, 70),  # noqa: B023
            lambda: bc.open("b", "rb").read(),  # noqa: B023
            lambda: bc.read_many(["a", "b"]),  # noqa: B023
            lambda: bc.readinto("b", bytearray(100)),  # noqa: B023
        ):
            with pytest.raises(BarecatIntegrityError) as short:
                read()
            assert short.value.code == "shard_short"
            assert short.value.member == "b"
            assert "150" in str(short.value)
        assert bc.read("b", 0, 50) == b"2" * 50
        assert not bc.check_crc32c("b")
        assert bc.check_crc32c("a")
        assert not bc.verify_integrity()
        # The last file is empty: the length of the others is looked at all the same.
        assert not bc.verify_integrity(quick=True)
    shard(path).unlink()
    assert reader["a"] == b"1" * 100
    with pytest.raises(BarecatIntegrityError):
        Barecat(path)["a"]


def test_W08_the_limit_is_kept(tmp_path: Path) -> None:
    path = make(tmp_path / "x", shard_size_limit="30K")
    with Barecat(path, readonly=False) as bc:
        assert bc.shard_size_limit == 30 << 10
        bc["more"] = bytes(30 << 10)
        assert bc.index.lookup_file("more").offset == 0
        with pytest.raises(barecat.FileTooLargeBarecatError, match="30720"):
            bc["much"] = bytes((30 << 10) + 1)
        for limit in (29 << 10, "1K"):
            with pytest.raises(ValueError, match="at least"):
                bc.shard_size_limit = limit
        bc.shard_size_limit = "31k"
    with pytest.raises(ValueError, match="at least"):
        Barecat(path, shard_size_limit="2K", readonly=False)
    with Barecat(path, "1.5M", readonly=False) as bc:
        assert bc.shard_size_limit == 3 << 19
    for wrong in ("", "0", "x", "-5", "1P", "5 G B", 0, -1):
        with pytest.raises(ValueError):
            Barecat(tmp_path / "y", wrong, readonly=False)
    assert not barecat.exists(tmp_path / "y")


def test_A11_files_at_the_limit_and_streams_that_overrun_it(tmp_path: Path) -> None:
    import io

    class Unsized(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self.left = data

        def read(self, size: int = -1) -> bytes:
            data, self.left = self.left[:size], self.left[size:]
            return data

    with Barecat(tmp_path / "x", 100, readonly=False) as bc:
        bc["a"] = bytes(100)
        bc["empty"] = b""
        bc["b"] = bytes(60)
        bc.add("c", fileobj=Unsized(b"c" * 41), bufsize=10)  # type: ignore[arg-type]
        bc.add("d", fileobj=Unsized(b"d" * 59), bufsize=10)  # type: ignore[arg-type]
        with pytest.raises(barecat.FileTooLargeBarecatError):
            bc.add("e", fileobj=Unsized(bytes(101)), bufsize=10)  # type: ignore[arg-type]
        places = {info.path: (info.shard, info.offset) for info in bc.index.iter_all_fileinfos()}
        assert places == {"a": (0, 0), "empty": (0, 100), "b": (1, 0), "c": (2, 0), "d": (2, 41)}
        assert bc["c"] == b"c" * 41
        assert bc.shards.num_shards == bc.sharder.num_shards == 3
        assert bc.total_physical_size_stat == bc.total_physical_size_seek == 260
        assert bc.verify_integrity()


def test_W11_refused_writes_leave_no_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "x", {"a": b"1" * 100, "d/e": b"2"})
    size = shard(path).stat().st_size
    with Barecat(path, readonly=False) as bc:
        for name in ("a", "d", "a/below", "../x"):
            with pytest.raises((OSError, ValueError)):
                bc[name] = bytes(1000)
        for info in (BarecatFileInfo("n", size=5), BarecatFileInfo("n", crc32c=5)):
            with pytest.raises(ValueError):
                bc.add(info, data=bytes(1000))
        with monkeypatch.context() as patch:
            patch.setattr(barecat.Index, "insert_file", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                bc["n"] = bytes(1000)
        with open(shard(path), "rb") as file:
            file.seek(50)
            with pytest.raises(ValueError, match="expected 70 bytes"):
                bc.add(BarecatFileInfo("n", size=70), fileobj=file)
        assert shard(path).stat().st_size == size
        assert "n" not in bc
    assert shard(path).stat().st_size == size


def test_A10_a_full_disk_leaves_the_archive_as_it_was(tmp_path: Path) -> None:
    path = make(tmp_path / "x")
    size = shard(path).stat().st_size
    # The system refuses to let a file of the child grow further.
    code = """
    import resource, signal, sys
    from pixcrawler import barecat
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = int(sys.argv[2])
    bc = barecat.Barecat(sys.argv[1], readonly=False)
    bc["before"] = b"1" * 500
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        bc["large"] = bytes(100_000)
    except OSError as exc:
        print(type(exc).__name__)
    bc.close()
    """
    assert "Error" in run_child(code, path, str(size + 5000))
    assert content(path) == {**FILES, "before": b"1" * 500}
    assert shard(path).stat().st_size == size + 500


def test_W12_what_is_there_already(tmp_path: Path) -> None:
    with Barecat(make(tmp_path / "x"), readonly=False) as bc:
        bc.mkdir("d0", exist_ok=True)
        bc.rename("d0/f0", "not/there/yet")
        assert bc["not/there/yet"] == FILES["d0/f0"]


# Hostile rows.

HOSTILE = [
    ("size", 2**62, "shard_short"),
    ("size", 2**63 - 1, "shard_short"),
    ("size", -1, "archive_row"),
    ("size", 10**9, "shard_short"),
    ("size", None, "archive_row"),
    ("size", "text", "archive_row"),
    ("size", b"blob", "archive_row"),
    ("size", 1.5, "archive_row"),
    ("offset", -1, "archive_row"),
    ("offset", 2**63 - 1, "archive_row"),
    ("offset", 2**62, "shard_short"),
    ("offset", "text", "archive_row"),
    ("shard", -1, "archive_row"),
    ("shard", 10**9, "archive_row"),
    ("shard", 99_999, "shard_missing"),
    ("shard", "text", "archive_row"),
    ("crc32c", -1, "archive_row"),
    ("crc32c", 2**32, "archive_row"),
    ("crc32c", "text", "archive_row"),
    ("crc32c", 12345, "crc32c"),
]


@pytest.mark.parametrize(("column", "value", "code"), HOSTILE)
def test_A05_a_hostile_row_is_a_typed_error(column: str, value: object, code: str, tmp_path: Path) -> None:
    path = make(tmp_path / "x")
    change(path, f"UPDATE files SET {column} = ? WHERE path = 'd1/f1'", value)
    with Barecat(path) as bc:
        for read in (
            lambda: bc["d1/f1"],
            lambda: bc.read("d1/f1"),
            lambda: bc.read_many(["d2/f2", "d1/f1"]),
            lambda: bc.open("d1/f1", "rb").read(),
            lambda: bc.read(bc.index.lookup_file("d1/f1")),
        ):
            with pytest.raises((BarecatIntegrityError, FileNotFoundError)) as refused:
                read()
            assert getattr(refused.value, "code", code) == code
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20
        assert bc["d2/f2"] == FILES["d2/f2"]
        assert not bc.verify_integrity()


def test_A05_an_index_that_is_no_plain_one(tmp_path: Path) -> None:
    view = make(tmp_path / "view")
    with closing(sqlite3.connect(view)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("ALTER TABLE files RENAME TO other")
        connection.execute(
            "CREATE VIEW files AS WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n FROM t) SELECT * FROM t"
        )
        connection.commit()
    with Barecat(view) as bc:
        for use in (lambda: bc["a"], lambda: list(bc), lambda: len(bc)):
            with pytest.raises(BarecatIntegrityError, match="not tables"):
                use()
    with pytest.raises(BarecatIntegrityError, match="not tables"):
        Barecat(view, readonly=False)


def test_A04_an_index_that_is_broken(tmp_path: Path) -> None:
    path = make(tmp_path / "x")
    whole = path.read_bytes()
    damaged: list[bytes] = [
        b"",
        b"text, and no index",
        random.Random(1).randbytes(20_000),
        b"SQLite format 3\0" + bytes(500),
    ]
    damaged += [whole[:length] for length in range(4096, len(whole), 4096)]
    damaged += [whole[:start] + bytes(2048) + whole[start + 2048 :] for start in range(0, len(whole), 4096)]
    for data in damaged:
        path.write_bytes(data)
        with Barecat(path) as bc:
            for use in (lambda: bc["d1/f1"], lambda: list(bc), lambda: len(bc), bc.verify_integrity):
                with suppress(barecat.BarecatError, KeyError):
                    use()
    path.unlink()
    path.mkdir()
    with pytest.raises(FileNotFoundError):
        Barecat(path)


def test_A07_a_flipped_bit_is_one_files_error(tmp_path: Path) -> None:
    path = make(tmp_path / "x")
    with Barecat(path) as bc:
        info = bc.index.lookup_file("d2/f7")
        with shard(path).open("r+b") as file:
            file.seek((info.offset or 0) + 3)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        for name, data in FILES.items():
            if name != "d2/f7":
                assert bc[name] == data
        with pytest.raises(ValueError, match="CRC32C") as flipped:
            bc["d2/f7"]
        assert isinstance(flipped.value, BarecatIntegrityError)
        assert (flipped.value.code, flipped.value.member) == ("crc32c", "d2/f7")
        with pytest.raises(BarecatIntegrityError):
            bc.read_many(FILES)
        found = list(maintenance.problems(bc))
        assert [str(one) for one in found] == ["CRC32C mismatch for file: d2/f7"]
        assert bc.verify_integrity(quick=True)
        # Nothing is moved that is broken.
    with Barecat(path, readonly=False) as bc:
        del bc["d1/f1"]
        with pytest.raises(BarecatIntegrityError):
            bc.defrag()
    with Barecat(path) as bc:
        assert [one.path for one in maintenance.problems(bc)] == ["d2/f7"]


def test_A08_a_row_without_a_checksum_is_served(tmp_path: Path) -> None:
    path = make(tmp_path / "x")
    change(path, "UPDATE files SET crc32c = NULL")
    assert content(path) == FILES
    with Barecat(path) as bc:
        assert bc.verify_integrity()
        assert bc.index.lookup_file("d1/f1").crc32c is None


def test_A09_a_second_writer_is_refused_and_readers_see_the_last_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixcrawler.barecat.connections._TIMEOUT_S", 0.1)
    path = make(tmp_path / "x")
    with Barecat(path, readonly=False) as bc:
        bc["new"] = b"1"
        with pytest.raises(barecat.BarecatError) as locked:
            Barecat(path, readonly=False)
        assert locked.value.code == "archive_locked"
        assert content(path) == FILES
        bc.commit()
        assert content(path) == {**FILES, "new": b"1"}
        # A reader in the middle of a listing delays a commit, and loses nothing.
        with Barecat(path) as reader:
            unordered = reader.index.iter_all_fileinfos(bufsize=1)
            next(unordered)
            bc.commit()
            listing = reader.index.iter_all_fileinfos(Order.PATH, bufsize=1)
            next(listing)
            with monkeypatch.context() as patch:
                # A commit that is due is put off, and the addition succeeds.
                patch.setattr(archive, "_COMMIT_S", -1.0)
                bc["newer"] = b"2"
            with pytest.raises(barecat.BarecatError) as delayed:
                bc.commit()
            assert delayed.value.code == "archive_locked"
            assert len(list(listing)) == len(FILES)
            bc.commit()
            assert len(list(unordered)) == len(FILES) + 1
    assert content(path) == {**FILES, "new": b"1", "newer": b"2"}
    with Barecat(tmp_path / "wal", readonly=False, wal=True) as bc:
        bc["a"] = b"1"
    with closing(sqlite3.connect(tmp_path / "wal")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert content(tmp_path / "wal") == {"a": b"1"}


def test_W10_A13_rows_whose_paths_leave_the_archive(tmp_path: Path) -> None:
    path = make(tmp_path / "x", {"a": b"1"})
    for unsafe in ("../x", "/x", "a//b", "x/", "./y", "\0"):
        change(path, "UPDATE files SET path = ?", unsafe)
        with Barecat(path) as bc:
            problems = [one for one in maintenance.problems(bc) if one.text == "the path is unsafe"]
            assert [one.path for one in problems] == [unsafe]
            info = next(bc.index.iter_all_fileinfos())
            assert bc.read(info) == b"1"


def test_A13_deep_and_strange_paths(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 1000)
    names = {deep, "é", "e\u0301", "A", "a", "with space", "new\nline", "..x/...", "%", "a'b"}
    path = make(tmp_path / "x", dict.fromkeys(names, b"1"))
    assert content(path).keys() == names
    with Barecat(path, readonly=False) as bc:
        assert bc.verify_integrity()
        bc.rename("d", "m")
        assert bc[f"m{deep[1:]}"] == b"1"
        bc.rmtree("m")
        assert len(bc) == len(names) - 1
        assert bc.verify_integrity()


def test_a_symlinked_shard_is_written_only_if_asked(tmp_path: Path) -> None:
    path = make(tmp_path / "x", {"a": b"1" * 100, "b": b"2" * 100})
    target = tmp_path / "target"
    shard(path).rename(target)
    shard(path).symlink_to(target)
    assert content(path)["a"] == b"1" * 100
    bc = Barecat(path, readonly=False)
    with pytest.raises(ValueError, match="symbolic link"):
        bc["c"] = b"3"
    del bc["b"]
    bc.close()
    assert target.stat().st_size == 200
    with Barecat(path, readonly=False, allow_writing_symlinked_shard=True) as bc:
        bc["c"] = b"3"
    assert content(path) == {"a": b"1" * 100, "c": b"3"}
    assert target.stat().st_size == 201


def test_deleted_files_make_holes_and_defrag_closes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for gap, quick in ((64 << 20, False), (5000, False), (0, True)):
        monkeypatch.setattr(maintenance, "_GAP_BYTES", gap)
        path = make(tmp_path / f"x{gap}", shard_size_limit=40_000)
        keep = {name: data for name, data in FILES.items() if int(name.rpartition("f")[2]) % 3 == 0}
        with Barecat(path, readonly=False) as bc:
            for name in FILES:
                if name not in keep:
                    del bc[name]
            holes = maintenance.orphaned_bytes(bc)
            assert holes > 50_000
            freed = bc.defrag(quick=quick)
            assert freed == holes - maintenance.orphaned_bytes(bc)
            assert freed > holes // 2
            if not quick:
                # What remains is what does not fit between a shard's last file and its limit.
                ends = [bc.index.logical_shard_end(n) for n in bc.shards.numbers()]
                assert sum(ends) == bc.total_logical_size
            assert bc.verify_integrity()
            assert bc.defrag(quick=quick) == 0
        assert content(path) == keep


def test_deleting_the_last_files_gives_their_bytes_back(tmp_path: Path) -> None:
    path = make(tmp_path / "x", {"a": b"1" * 100, "b": b"2" * 100, "d/c": b"3" * 100})
    with Barecat(path, readonly=False) as bc:
        del bc["a"]
        bc.commit()
        assert shard(path).stat().st_size == 300
        bc.rmtree("d")
        # Until the commit the rows still name them.
        assert shard(path).stat().st_size == 300
        bc.commit()
        assert shard(path).stat().st_size == 200
        bc["e"] = b"4"
    assert content(path) == {"b": b"2" * 100, "e": b"4"}


def test_A12_threads_share_a_reader(tmp_path: Path) -> None:
    path = make(tmp_path / "x", shard_size_limit=20_000)
    wrong: list[object] = []

    def read(bc: Barecat, seed: int) -> None:
        names = random.Random(seed).sample(sorted(FILES), len(FILES))
        try:
            wrong.extend(name for name in names if bc[name] != FILES[name])
            wrong.extend(n for n, d in zip(names, bc.read_many(names), strict=True) if FILES[n] != d)
        except Exception as exc:  # noqa: BLE001
            wrong.append(exc)

    for threadsafe in (False, True):
        with Barecat(path, threadsafe=threadsafe) as bc:
            threads = [threading.Thread(target=read, args=(bc, seed)) for seed in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert wrong == []


def test_A12_many_shards_need_few_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixcrawler.barecat.shards._OPEN_SHARDS", 4)
    path = make(tmp_path / "x", {f"{n}": bytes([n]) * 10 for n in range(40)}, shard_size_limit=10)
    with Barecat(path) as bc:
        before = len(os.listdir("/proc/self/fd"))
        assert [bc[f"{n}"] for n in range(40)] == [bytes([n]) * 10 for n in range(40)]
        assert len(os.listdir("/proc/self/fd")) <= before + 10
        assert len(bc.read_many(list(bc))) == 40


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_A12_a_reader_works_after_a_fork_and_a_writer_refuses(tmp_path: Path) -> None:
    path = make(tmp_path / "x", shard_size_limit=20_000)
    for threadsafe in (False, True):
        bc = Barecat(path, threadsafe=threadsafe)
        listing = iter(bc.index.iter_all_fileinfos(bufsize=1))
        next(listing)
        children = [lambda: dict(bc.items()) == FILES] * 4  # noqa: B023
        assert [forked(child) for child in children] == [0] * 4
        assert forked(lambda: bc.read_many(list(FILES)) == list(FILES.values())) == 0  # noqa: B023
        assert len(list(listing)) == len(FILES) - 1
        assert dict(bc.items()) == FILES
    with Barecat(path, readonly=False) as writer:
        writer["new"] = b"1"

        def use() -> bool:
            with pytest.raises(ValueError, match="belongs to the process"):
                writer["other"] = b"2"
            writer.close()
            return True

        assert forked(use) == 0
        writer["newer"] = b"2"
    assert content(path) == {**FILES, "new": b"1", "newer": b"2"}
