"""The archive as a mapping and as a small file system."""

from __future__ import annotations

import glob
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pixcrawler import barecat
from pixcrawler.barecat import Barecat, BarecatDirInfo, BarecatFileInfo, Order
from pixcrawler.exceptions import PixCrawlerError
from support import run_child

FILES = {
    "a/b/c.txt": b"deep",
    "a/d.txt": b"less deep",
    "a/.hidden": b"dot",
    "e.txt": b"top",
    "f/g.jpg": b"",
    "f/h/i.jpg": b"x" * 5000,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Barecat(tmp_path / "x.barecat", readonly=False) as bc:
        for name, data in FILES.items():
            bc[name] = data
        bc.mkdir("empty/inner")
    return tmp_path / "x.barecat"


def test_importing_it_imports_neither_numpy_nor_pillow(path: Path) -> None:
    code = """
    import sys
    from pixcrawler import barecat
    bc = barecat.Barecat(sys.argv[1])
    assert len(list(bc.values())) == 6
    assert bc.read_many(["e.txt"]) == [b"top"]
    print(sorted({"numpy", "PIL", "httpx", "rich", "click"} & set(sys.modules)))
    """
    assert run_child(code, path).strip() == "[]"


def test_every_public_name_is_there_and_documented() -> None:
    for name in barecat.__all__:
        assert getattr(barecat, name) is not None
    for name in ("Barecat", "Index", "DecodedView", "Order", "exists", "remove", "SHARD_SIZE_UNLIMITED"):
        assert name in barecat.__all__


def test_it_is_a_mapping(path: Path) -> None:
    with Barecat(path) as bc:
        assert dict(bc.items()) == FILES
        assert set(bc) == set(bc.keys()) == set(bc.files()) == FILES.keys()
        assert sorted(bc.values()) == sorted(FILES.values())
        assert len(bc) == bc.num_files == len(bc.index) == 6
        assert bc.total_size == bc.total_logical_size == sum(map(len, FILES.values()))
        assert bc.num_dirs == 7
        assert bc.get("e.txt") == b"top"
        assert bc.get("nothing") is None
        assert "e.txt" in bc
        assert "a" not in bc
        assert "nothing" not in bc
        assert 5 not in bc
        assert bc != Barecat(path)
        for missing in ("nothing", "a", "", "../x", "a\0b", "\ud800"):
            with pytest.raises(KeyError):
                bc[missing]


def test_paths_are_normalised(path: Path) -> None:
    with Barecat(path) as bc:
        for spelling in ("a/b/c.txt", "/a/b/c.txt", "a//b/./c.txt", "./a/b/../b/c.txt", Path("a/b/c.txt")):
            assert bc[spelling] == b"deep"
            assert spelling in bc
        assert bc.isdir("")
        assert bc.isdir("/")
        assert bc.isdir(".")


def test_a_mapping_that_is_written_to(tmp_path: Path) -> None:
    with Barecat(tmp_path / "w.barecat", readonly=False) as bc:
        bc["x"] = bytearray(b"one")
        bc["y"] = memoryview(b"two")
        assert bc.setdefault("z", b"three") == b"three"
        assert bc.setdefault("x", b"other") == b"one"
        bc.update({"v/w": b"four"})
        assert bc.pop("y") == b"two"
        assert bc.pop("y", None) is None
        for wrong in ("text", 5, None):
            with pytest.raises(ValueError, match="bytes"):
                bc["q"] = wrong  # type: ignore[assignment]
        with pytest.raises(KeyError):
            del bc["v"]
        with pytest.raises(KeyError):
            del bc["nothing"]
        del bc["x"]
        assert dict(bc.items()) == {"z": b"three", "v/w": b"four"}
        bc.clear()
        assert len(bc) == 0
        assert bc.num_dirs == 1


def test_what_cannot_be_added(tmp_path: Path) -> None:
    with Barecat(tmp_path / "w.barecat", readonly=False) as bc:
        bc["a/b"] = b"1"
        with pytest.raises(barecat.FileExistsBarecatError) as exists:
            bc["a//b"] = b"2"
        assert isinstance(exists.value, (FileExistsError, PixCrawlerError))
        with pytest.raises(barecat.IsADirectoryBarecatError):
            bc["a"] = b"2"
        with pytest.raises(barecat.NotADirectoryBarecatError):
            bc["a/b/c"] = b"2"
        with pytest.raises(barecat.NotADirectoryBarecatError):
            bc.mkdir("a/b/c/d")
        with pytest.raises(IsADirectoryError):
            bc["/"] = b"2"
        for path in ("../x", "a\0b", "a\ud800"):
            with pytest.raises(ValueError, match="not a path"):
                bc[path] = b"2"
        bc.add("a/b", data=b"3", file_exist_ok=True)
        with pytest.raises(ValueError, match="either data or fileobj"):
            bc.add("c")
        with pytest.raises(ValueError, match="expected 5 bytes"):
            bc.add(BarecatFileInfo("c", size=5), data=b"four")
        assert dict(bc.items()) == {"a/b": b"1"}
        assert bc.num_dirs == 2
    with Barecat(tmp_path / "w.barecat") as bc:
        assert bc.verify_integrity()


def test_a_file_system_is_read(path: Path) -> None:
    with Barecat(path) as bc:
        assert bc.exists("a")
        assert bc.isfile("a/d.txt")
        assert not bc.isfile("a")
        assert not bc.isdir("a/d.txt")
        assert sorted(bc.listdir()) == ["a", "e.txt", "empty", "f"]
        assert sorted(bc.listdir("a")) == [".hidden", "b", "d.txt"]
        for missing in ("nothing", "e.txt"):
            with pytest.raises(barecat.FileNotFoundBarecatError):
                bc.listdir(missing)
        assert sorted(info.path for info in bc.scandir("f")) == ["f/g.jpg", "f/h"]
        walked = {place: (sorted(dirs), sorted(files)) for place, dirs, files in bc.walk()}
        assert next(iter(walked)) == "."
        assert walked["."] == (["a", "empty", "f"], ["e.txt"])
        assert walked["f/h"] == ([], ["i.jpg"])
        assert walked["empty/inner"] == ([], [])
        assert [place for place, _, _ in bc.walk("f")] == ["f", "f/h"]
        for place, dirs, _ in bc.walk():
            assert place not in {"a", "a/b"}
            if place == ".":
                dirs.remove("a")


def test_reading_parts(path: Path) -> None:
    with Barecat(path) as bc:
        info = bc.index.lookup_file("a/d.txt")
        for item in ("a/d.txt", info):
            assert bc.read(item) == b"less deep"
            assert bc.read(item, 5) == b"deep"
            assert bc.read(item, 2, 3) == b"ss "
            assert bc.read(item, 2, 0) == b""
            assert bc.read(item, 100) == b""
            assert bc.read(item, 5, 100) == b"deep"
            buffer = bytearray(6)
            assert bc.readinto(item, buffer, 5) == 4
            assert buffer == b"deep\0\0"
        with pytest.raises(ValueError, match="not negative"):
            bc.read("e.txt", -1)
        with pytest.raises(barecat.FileNotFoundBarecatError):
            bc.read("nothing")
        names = [*FILES, *reversed(FILES), "e.txt"]
        assert bc.read_many(names) == [FILES[name] for name in names]
        assert bc.read_many([]) == []
        with pytest.raises(FileNotFoundError):
            bc.read_many(["e.txt", "nothing"])


def test_glob_is_pythons(path: Path, tmp_path: Path) -> None:
    root = tmp_path / "extracted"
    (root / "empty/inner").mkdir(parents=True)
    with Barecat(path) as bc:
        for name, data in bc.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        for pattern in (
            *("*", "*.txt", "a/*", "a/**", "**", "**/*", "**/*.jpg", "a/b", "a/b/", "*/", "**/", "f/**/", "[ef]*"),
            *(
                "f/*/i.jpg",
                "*/*",
                "?.txt",
                "a/.*",
                ".*",
                "nothing/*",
                "**/h/*.jpg",
                "e.txt/",
                "a/**/c.txt",
                "*/**/*.jpg",
            ),
        ):
            for recursive in (False, True):
                for hidden in (False, True):
                    expected = glob.glob(pattern, root_dir=root, recursive=recursive)
                    if hidden:
                        if sys.version_info < (3, 11):
                            continue
                        expected = glob.glob(pattern, root_dir=root, recursive=recursive, include_hidden=True)
                    found = bc.glob(pattern, recursive, hidden)
                    assert sorted(found) == sorted(expected), (pattern, recursive, hidden)
                    files = bc.globfiles(pattern, recursive, hidden)
                    assert sorted(files) == sorted(one for one in expected if (root / one).is_file() and one[-1] != "/")
        assert list(bc.iglob("e*")) == bc.glob("e*")
        assert list(bc.iglobfiles("*")) == ["e.txt"]


def test_a_file_system_is_changed(tmp_path: Path) -> None:
    with Barecat(tmp_path / "w.barecat", readonly=False) as bc:
        for name, data in FILES.items():
            bc[name] = data
        bc.mkdir("a", exist_ok=True)
        with pytest.raises(FileExistsError):
            bc.mkdir("a")
        with pytest.raises(FileExistsError):
            bc.mkdir("e.txt", exist_ok=True)
        bc.mkdir("new")
        assert bc.index.lookup_dir("new").mode == 0o755
        with pytest.raises(barecat.DirectoryNotEmptyBarecatError):
            bc.rmdir("a")
        bc.rmdir("new")
        for path in ("new", "nothing"):
            with pytest.raises(barecat.FileNotFoundBarecatError):
                bc.rmdir(path)
        with pytest.raises(NotADirectoryError):
            bc.rmdir("e.txt")
        with pytest.raises(IsADirectoryError):
            bc.remove("a")
        for change in (bc.rmdir, bc.rmtree):
            with pytest.raises(barecat.BarecatError, match="root"):
                change("")
        bc.rename("a", "z/y")
        assert bc["z/y/b/c.txt"] == b"deep"
        assert not bc.exists("a")
        bc.rename("e.txt", "q/e2.txt")
        assert bc["q/e2.txt"] == b"top"
        for old, new, error in (
            ("z", "z/inside", barecat.BarecatError),
            ("z", "q", FileExistsError),
            ("q/e2.txt", "z", FileExistsError),
            ("nothing", "n", FileNotFoundError),
            ("z", "q/e2.txt/below", NotADirectoryError),
            ("", "n", barecat.BarecatError),
            ("z", "../n", ValueError),
        ):
            with pytest.raises(error):
                bc.rename(old, new)
        bc.rename("z", "z")
        bc.rmtree("f")
        assert sorted(bc) == ["q/e2.txt", "z/y/.hidden", "z/y/b/c.txt", "z/y/d.txt"]
        assert bc.index.lookup_dir("z").num_files_tree == 3
        assert bc.index.lookup_dir("").num_subdirs == 2
        assert bc.verify_integrity()
        bc.update_file("q/e2.txt", data=b"longer than before")
        assert bc["q/e2.txt"] == b"longer than before"
        bc.update_file("q/e2.txt", BarecatFileInfo(mode=0o100600, mtime_ns=5), data=b"short")
        info = bc.index.lookup_file("q/e2.txt")
        assert (info.mode, info.mtime_ns, info.size) == (0o100600, 5, 5)
        with pytest.raises(FileNotFoundError):
            bc.update_file("nothing", data=b"")
    with Barecat(tmp_path / "w.barecat") as bc:
        assert bc.verify_integrity()
        assert bc["q/e2.txt"] == b"short"


def test_a_read_only_archive_refuses_changes(path: Path) -> None:
    before = {one.name: one.read_bytes() for one in path.parent.iterdir()}
    with Barecat(path) as bc:
        for change in (
            lambda: bc.__setitem__("n", b""),
            lambda: bc.__delitem__("e.txt"),
            lambda: bc.add("n", data=b""),
            lambda: bc.add_by_path(__file__),
            lambda: bc.mkdir("n"),
            lambda: bc.remove("e.txt"),
            lambda: bc.rename("e.txt", "n"),
            lambda: bc.rmtree("a"),
            lambda: bc.update_file("e.txt", data=b""),
            bc.clear,
            bc.defrag,
            lambda: bc.index.chmod("e.txt", 0),
            lambda: bc.index.remove_file("e.txt"),
        ):
            with pytest.raises(PermissionError, match="read-only"):
                change()
        for mode in ("w", "x", "a", "r+"):
            with pytest.raises(ValueError, match="read-only"):
                bc.open("e.txt", mode)
    assert {one.name: one.read_bytes() for one in path.parent.iterdir()} == before


def test_append_only(path: Path) -> None:
    with Barecat(path, readonly=False, append_only=True) as bc:
        bc["new"] = b"added"
        for change in (
            lambda: bc.__delitem__("e.txt"),
            lambda: bc.rename("e.txt", "n"),
            lambda: bc.update_file("e.txt", data=b""),
            lambda: bc.rmdir("empty/inner"),
            lambda: bc.rmtree("a"),
            lambda: bc.open("e.txt", "w"),
            bc.defrag,
        ):
            with pytest.raises(PermissionError, match="append-only"):
                change()
    with Barecat(path) as bc:
        assert dict(bc.items()) == {**FILES, "new": b"added"}


def test_opening(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Barecat(tmp_path / "nothing.barecat")
    assert not (tmp_path / "nothing.barecat").exists()
    with pytest.raises(FileExistsError):
        Barecat(path, readonly=False, exist_ok=False)
    for options in ({"overwrite": True}, {"append_only": True}, {"readonly": False, "threadsafe": True}):
        with pytest.raises(ValueError):
            Barecat(path, **options)  # type: ignore[arg-type]
    bc = Barecat(path)
    bc.close()
    bc.close()
    for use in (lambda: bc["e.txt"], lambda: len(bc), lambda: bc.index, lambda: list(bc)):
        with pytest.raises(ValueError, match="closed"):
            use()
    with Barecat(path, readonly=False, overwrite=True) as bc:
        assert len(bc) == 0
    assert barecat.exists(path)
    barecat.remove(path)
    assert not barecat.exists(path)
    assert list(tmp_path.iterdir()) == []


def test_close_commits_also_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Barecat(tmp_path / "w.barecat", readonly=False) as bc:
        bc["a"] = b"1"
        raise RuntimeError
    with Barecat(tmp_path / "w.barecat") as bc:
        assert dict(bc.items()) == {"a": b"1"}


def test_infos(path: Path, tmp_path: Path) -> None:
    info = BarecatFileInfo("/a//b", mode=0o644, mtime_ns=datetime(2024, 5, 6, 7, 8, 9, 123456))
    assert info.path == "a/b"
    assert info.mtime_dt == datetime(2024, 5, 6, 7, 8, 9, 123456)
    assert info.mtime_ns is not None
    assert info.mtime_ns % 10**9 == 123456000
    info.mtime_dt = None
    assert info.mtime_ns is None
    assert info.isfile()
    assert not info.isdir()
    info.fill_from_statresult(os.stat(__file__))
    assert info.size == os.stat(__file__).st_size
    info.offset = 10
    assert info.end == 10 + os.stat(__file__).st_size
    assert info.asdict()["offset"] == 10
    assert BarecatDirInfo("d", num_subdirs=1, num_files=2).num_entries == 3
    with Barecat(path) as bc:
        index = bc.index
        assert index.lookup("a/b").isdir()
        assert index.lookup("a/b/c.txt").isfile()
        assert index.lookup_files(["e.txt", "a/d.txt"])[1].path == "a/d.txt"
        for lookup in (index.lookup, index.lookup_file, index.lookup_dir):
            with pytest.raises(barecat.FileNotFoundBarecatError):
                lookup("nothing")
        tree = index.lookup_dir("a")
        assert (tree.num_subdirs, tree.num_files, tree.num_files_tree, tree.size_tree) == (1, 2, 3, 16)


def test_orders(path: Path) -> None:
    with Barecat(path) as bc:
        index = bc.index
        names = sorted(FILES, key=str.encode)
        assert list(index.iter_all_filepaths(Order.PATH)) == names
        assert list(index.iter_all_filepaths(Order.PATH | Order.DESC)) == names[::-1]
        places = [(info.shard, info.offset) for info in index.iter_all_fileinfos(Order.ADDRESS)]
        assert places == sorted(places)
        assert [(i.shard, i.offset) for i in index.iter_all_fileinfos(Order.ADDRESS | Order.DESC)] == places[::-1]
        assert sorted(index.iter_all_paths(Order.RANDOM)) == names
        assert set(index.iter_all_paths(include_dirs=True)) == {*names, *index.iter_all_dirpaths()}
        assert {info.path for info in index.iter_all_infos()} == {*names, *index.iter_all_dirpaths()}
        for listing in (index.iter_all_dirinfos, index.iter_all_dirpaths, index.iter_all_infos):
            with pytest.raises(ValueError, match="address"):
                listing(Order.ADDRESS)
        for order in (Order.DESC, Order.RANDOM | Order.DESC, Order.PATH | Order.ADDRESS):
            with pytest.raises(ValueError, match="order"):
                index.iter_all_fileinfos(order)
        # Other queries in between do not disturb an iteration.
        seen = []
        for info in index.iter_all_fileinfos(bufsize=1):
            seen.append(info.path)
            assert bc.read(info) == FILES[info.path]
            assert len(list(index.iter_all_filepaths())) == 6
        assert sorted(seen) == names


def test_the_index_alone(path: Path) -> None:
    with barecat.Index(path) as index:
        assert sorted(index.listdir_names("f")) == ["g.jpg", "h"]
        assert [info.path for info in index.list_subdir_dirinfos("f")] == ["f/h"]
        assert [info.path for info in index.list_direct_fileinfos("f")] == ["f/g.jpg"]
        assert {info.path for info in index.listdir_infos("f")} == {"f/g.jpg", "f/h"}
        assert index.get_last_file().path == "f/h/i.jpg"  # type: ignore[union-attr]
        assert index.logical_shard_end(0) == sum(map(len, FILES.values()))
        walked = {place.path: len(files) for place, _, files in index.walk_infos()}
        assert walked == {"": 1, "a": 2, "a/b": 1, "f": 1, "f/h": 1, "empty": 0, "empty/inner": 0}
        assert [info.path for info in index.iterglob_infos("f/*")] == ["f/h", "f/g.jpg"]
        assert index.verify_integrity()
    with barecat.Index(path, readonly=False) as writing:
        writing.chmod("e.txt", 0o100755)
        writing.chown("f", 7, 8)
        writing.update_mtime("e.txt", 12)
        with writing.bulk_mode(), writing.no_triggers():
            writing.add_files([BarecatFileInfo(f"bulk/{n}", shard=0, offset=0, size=0) for n in range(50)])
        writing.update_dirs()
        writing.update_treestats()
        writing.optimize()
        assert writing.num_files == 56
    with barecat.Index(path) as index:
        assert index.lookup_file("e.txt").mode == 0o100755
        assert index.lookup_file("e.txt").mtime_ns == 12
        assert index.lookup_dir("f").gid == 8
        assert index.verify_integrity()


def test_what_comes_from_the_disk(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "inner/file.bin").write_bytes(b"content")
    (source / "link").symlink_to("inner/file.bin")
    os.utime(source / "inner/file.bin", ns=(1, 1234567890123456789))
    os.utime(source / "inner", ns=(1, 987654321))
    with Barecat(tmp_path / "w.barecat", readonly=False) as bc:
        bc.add_by_path(source / "inner", "inner")
        bc.add_by_path(source / "inner/file.bin", "inner/file.bin")
        bc.add_by_path(source / "link", "link")
        bc.add_by_path(str(source / "link"))
        with pytest.raises(FileExistsError):
            bc.add_by_path(source / "inner", "inner")
        bc.add_by_path(source / "inner", "inner", dir_exist_ok=True)
        with pytest.raises(FileNotFoundError):
            bc.add_by_path(source / "nothing")
    with Barecat(tmp_path / "w.barecat") as bc:
        info: Any = bc.index.lookup("inner/file.bin")
        status = os.stat(source / "inner/file.bin")
        assert (info.mode, info.uid, info.gid, info.mtime_ns) == (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            1234567890123456789,
        )
        # The folder's own time, and not that of packing.
        assert bc.index.lookup_dir("inner").mtime_ns == 987654321
        assert bc["link"] == b"content"
        assert bc[str(source / "link").lstrip("/")] == b"content"
