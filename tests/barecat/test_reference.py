"""This package's archives and those of the real Barecat, 0.3.1: each reads, verifies and changes the other's."""

from __future__ import annotations

import itertools
import random
import sqlite3
import tempfile
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barecat_support import OLD_SCHEMA, rows, statistics
from pixcrawler import barecat as ours

with warnings.catch_warnings():
    # Its dependencies' business.
    warnings.simplefilter("ignore")
    theirs = pytest.importorskip("barecat")

PACKAGES = {"ours": ours, "theirs": theirs}
BOTH_WAYS = pytest.mark.parametrize(("writer", "reader"), [("ours", "theirs"), ("theirs", "ours")])
FILES = {f"d{n % 7}/s{n % 3}/f{n}.bin": random.Random(n).randbytes(n * 37 % 4001) for n in range(120)}


def write(package: Any, path: Path, files: dict[str, bytes], **options: Any) -> None:
    with package.Barecat(str(path), readonly=False, **options) as bc:
        for name, data in files.items():
            bc[name] = data


@BOTH_WAYS
@pytest.mark.parametrize("limit", [None, "20K"])
def test_A01_what_one_writes_the_other_reads_and_verifies(
    writer: str, reader: str, limit: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "x.barecat"
    write(PACKAGES[writer], path, FILES, shard_size_limit=limit)
    with PACKAGES[reader].Barecat(str(path)) as bc:
        assert {name: bc[name] for name in bc.files()} == FILES
        assert bc.verify_integrity()
        assert bc.verify_integrity(quick=True)
        assert len(bc) == len(FILES)
        assert bc.total_size == sum(map(len, FILES.values()))
        assert sorted(bc.listdir("d0")) == ["s0", "s1", "s2"]
        assert {place for place, _, _ in bc.walk("")} == {".", *(f"d{n}" for n in range(7))} | {
            f"d{n}/s{m}" for n in range(7) for m in range(3)
        }
        for name in ("d0/s0/f0.bin", "d1/s2/f8.bin"):
            info = bc.index.lookup_file(name)
            assert info.size == len(FILES[name])
            assert bc.read(info, 3, 5) == FILES[name][3:8]
            with bc.open(name, "rb") as file:
                assert file.read() == FILES[name]
    statistics(path)


@BOTH_WAYS
def test_A01_what_one_writes_the_other_changes(writer: str, reader: str, tmp_path: Path) -> None:
    path = tmp_path / "x.barecat"
    write(PACKAGES[writer], path, FILES, shard_size_limit="20K")
    model = dict(FILES)
    with PACKAGES[reader].Barecat(str(path), readonly=False) as bc:
        assert bc.shard_size_limit == 20 << 10
        for name in list(FILES)[::5]:
            del bc[name]
            del model[name]
        bc["new/file"] = b"new"
        bc.rename("d3", "new/d3")
        bc.update_file("d1/s1/f1.bin", data=b"updated" * 100)
        bc.defrag()
    model = {("new/" + name if name.startswith("d3/") else name): data for name, data in model.items()}
    model["new/file"] = b"new"
    model["d1/s1/f1.bin"] = b"updated" * 100
    for package in PACKAGES.values():
        with package.Barecat(str(path)) as bc:
            assert {name: bc[name] for name in bc.files()} == model
            assert bc.verify_integrity()
    statistics(path)


@BOTH_WAYS
def test_A01_edge_cases(writer: str, reader: str, tmp_path: Path) -> None:
    for number, files in enumerate(({}, {"empty": b""}, {"a": b"", "b": b"1", "c": b""})):
        path = tmp_path / f"{number}.barecat"
        write(PACKAGES[writer], path, files)
        assert (tmp_path / f"{number}.barecat-shard-00000").is_file()
        with PACKAGES[reader].Barecat(str(path)) as bc:
            assert {name: bc[name] for name in bc.files()} == files
            assert bc.verify_integrity()
        with PACKAGES[reader].Barecat(str(path), readonly=False) as bc:
            bc["more"] = b"more"
        with PACKAGES[writer].Barecat(str(path)) as bc:
            assert {name: bc[name] for name in bc.files()} == {**files, "more": b"more"}


def test_the_schema_is_theirs(tmp_path: Path) -> None:
    for name, package in PACKAGES.items():
        write(package, tmp_path / name, {"a/b": b"c"})
    for statement in (
        "SELECT type, name, tbl_name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name",
        *(f"PRAGMA table_xinfo({table})" for table in ("files", "dirs", "config")),
        *(f"PRAGMA foreign_key_list({table})" for table in ("files", "dirs")),
        *(f"PRAGMA index_info({index})" for index in ("idx_files_path", "idx_dirs_parent", "idx_files_shard_offset")),
        "SELECT name, \"unique\" FROM pragma_index_list('files') ORDER BY name",
        "SELECT name, \"unique\" FROM pragma_index_list('dirs') ORDER BY name",
        "SELECT * FROM config ORDER BY key",
        *(f"PRAGMA {one}" for one in ("application_id", "user_version", "page_size", "auto_vacuum", "encoding")),
        "PRAGMA journal_mode",
        "SELECT path, parent, shard, offset, size, crc32c, mode, uid, gid, mtime_ns FROM files",
        "SELECT path, parent, num_subdirs, num_files, num_files_tree, size_tree, mode, uid FROM dirs ORDER BY path",
    ):
        assert rows(tmp_path / "ours", statement) == rows(tmp_path / "theirs", statement), statement


CHANGES = (
    "INSERT INTO files (path, shard, offset, size) VALUES ('p/q/r', 0, 0, 10)",
    "INSERT INTO files (path, shard, offset, size) VALUES ('p/s', 0, 10, 5), ('t', 0, 15, 1)",
    "UPDATE files SET size = 7 WHERE path = 'p/s'",
    "INSERT INTO dirs (path) VALUES ('u/v/w')",
    "UPDATE files SET path = 'u/v/r' WHERE path = 'p/q/r'",
    "DELETE FROM files WHERE path = 't'",
    "UPDATE dirs SET path = 'x' WHERE path = 'p/q'",
    "DELETE FROM dirs WHERE path = 'u/v/w'",
    "UPDATE dirs SET path = 'u/z' WHERE path = 'x'",
)


def test_the_triggers_do_what_theirs_do(tmp_path: Path) -> None:
    for name, package in PACKAGES.items():
        write(package, tmp_path / name, {"a/b": b"c"})
    for count, change in enumerate(CHANGES):
        found = []
        for name in PACKAGES:
            with closing(sqlite3.connect(tmp_path / name)) as connection, connection:
                connection.execute("PRAGMA recursive_triggers = ON")
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute(change)
            found.append(statistics(tmp_path / name))
        assert found[0] == found[1], CHANGES[: count + 1]
    for statement, text in (
        ("INSERT INTO files (path, shard, offset) VALUES ('a', 0, 0)", "Path already exists as directory"),
        ("INSERT INTO dirs (path) VALUES ('a/b')", "Path already exists as file"),
    ):
        for name in PACKAGES:
            with (
                closing(sqlite3.connect(tmp_path / name)) as connection,
                pytest.raises(sqlite3.IntegrityError, match=text),
            ):
                connection.execute(statement)


NAMES = st.sampled_from(["a", "b", "c", "a/a", "a/b", "b/a", "a/a/a", "b/c/d", "c/ü", "a/b/0"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "delete", "rename", "update", "rmtree", "mkdir"]), NAMES, NAMES, st.binary(max_size=40)
    ),
    max_size=25,
)


def parents(name: str) -> list[str]:
    return list(itertools.accumulate(name.split("/")[:-1], lambda one, two: f"{one}/{two}"))


class Model:
    """An archive as two plain containers; a step that would be refused is left out."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.dirs = {""}

    def allows(self, step: tuple[str, str, str, bytes]) -> bool:
        kind, name, other, _ = step
        is_free = name not in self.files and name not in self.dirs and not any(p in self.files for p in parents(name))
        if kind in {"add", "mkdir"}:
            return is_free
        if kind in {"delete", "update"}:
            return name in self.files
        if kind == "rmtree":
            return name in self.dirs
        # The reference renames into directories that are there alone.
        is_new = other not in self.files and other not in self.dirs and other.rpartition("/")[0] in self.dirs
        return (name in self.files or name in self.dirs) and is_new and not other.startswith(f"{name}/")

    def apply(self, step: tuple[str, str, str, bytes]) -> None:
        kind, name, other, data = step
        if kind in {"add", "mkdir"}:
            self.dirs.update(parents(name))
        if kind in {"add", "update"}:
            self.files[name] = data
        elif kind == "mkdir":
            self.dirs.add(name)
        elif kind == "delete":
            del self.files[name]
        elif kind == "rmtree":
            self.files = {one: data for one, data in self.files.items() if not one.startswith(f"{name}/")}
            self.dirs = {one for one in self.dirs if one != name and not one.startswith(f"{name}/")}
        else:

            def moved(one: str) -> str:
                return other + one[len(name) :] if one == name or one.startswith(f"{name}/") else one

            self.files = {moved(one): data for one, data in self.files.items()}
            self.dirs = {moved(one) for one in self.dirs}


def apply(bc: Any, step: tuple[str, str, str, bytes]) -> None:
    kind, name, other, data = step
    if kind == "add":
        bc[name] = data
    elif kind == "update":
        bc.update_file(name, data=data)
    elif kind == "delete":
        del bc[name]
    elif kind == "rename":
        bc.rename(name, other)
    else:
        getattr(bc, kind)(name)


@settings(max_examples=30)
@given(first=STEPS, second=STEPS, defrags=st.booleans())
def test_any_changes_give_the_same_archive(first: Any, second: Any, defrags: bool) -> None:
    """Each package makes the first changes to an archive of its own, and the second ones to the other's."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / name for name in PACKAGES}
        model = Model()
        for steps, owners in ((first, ("ours", "theirs")), (second, ("theirs", "ours"))):
            allowed = []
            for step in steps:
                if model.allows(step):
                    model.apply(step)
                    allowed.append(step)
            for package, path in zip(owners, paths.values(), strict=True):
                with PACKAGES[package].Barecat(str(path), readonly=False, shard_size_limit=100) as bc:
                    for step in allowed:
                        apply(bc, step)
                    if defrags and package == "ours":
                        bc.defrag()
        found = []
        for path in paths.values():
            for package in PACKAGES.values():
                with package.Barecat(str(path)) as bc:
                    assert {name: bc[name] for name in bc.files()} == model.files
                    assert set(bc.dirs()) == model.dirs
                    assert bc.verify_integrity()
                    assert bc.num_files == len(model.files)
            found.append(statistics(path))
        assert found[0] == found[1]


@pytest.mark.parametrize("minor", [1, 2])
def test_older_schemas_are_read_and_changed(minor: int, tmp_path: Path) -> None:
    path = tmp_path / "old.barecat"
    index = tmp_path / "old.barecat-sqlite-index"
    with closing(sqlite3.connect(index)) as connection:
        connection.executescript(OLD_SCHEMA)
        connection.execute("INSERT INTO config (key, value_int) VALUES ('schema_version_minor', ?)", (minor,))
        connection.commit()
    (tmp_path / "old.barecat-shard-00000").write_bytes(b"123456789")
    with ours.Barecat(path) as bc:
        assert dict(bc.items()) == {"a/b": b"123456789", "c": b""}
        assert bc.verify_integrity()
    with ours.Barecat(path, readonly=False) as bc:
        bc["a/d/e"] = b"more"
        bc.rename("a/d", "f")
        del bc["c"]
        bc.rmtree("a")
    assert not path.exists()
    assert statistics(index) == {"": (1, 0, 1, 4), "f": (0, 1, 1, 4)}
    with ours.Barecat(path) as bc:
        assert dict(bc.items()) == {"f/e": b"more"}
        assert bc.verify_integrity()


def test_index_suffix_makes_the_old_name(tmp_path: Path) -> None:
    with ours.Barecat(tmp_path / "x", readonly=False, index_suffix=True) as bc:
        bc["a"] = b"1"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["x-shard-00000", "x-sqlite-index"]
    for package in PACKAGES.values():
        with package.Barecat(str(tmp_path / "x")) as bc:
            assert bc["a"] == b"1"
    assert ours.exists(tmp_path / "x")
    ours.remove(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_other_versions(tmp_path: Path) -> None:
    for number, (part, value) in enumerate((("minor", 4), ("major", 1))):
        path = tmp_path / str(number)
        write(ours, path, {"a": b"1"})
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE config SET value_int = ? WHERE key = ?", (value, f"schema_version_{part}"))
        if part == "minor":
            with ours.Barecat(path) as bc, pytest.warns(UserWarning, match="newer"):
                assert bc["a"] == b"1"
        else:
            with ours.Barecat(path) as bc, pytest.raises(ours.BarecatError) as refused:
                bc["a"]
            assert refused.value.code == "archive_version"
    with closing(sqlite3.connect(tmp_path / "2")) as connection:
        connection.execute("CREATE TABLE files (path TEXT PRIMARY KEY, parent TEXT, shard INT, offset INT, size INT)")
    with ours.Barecat(tmp_path / "2") as bc, pytest.raises(ours.BarecatError, match="upgrade"):
        bc["a"]
