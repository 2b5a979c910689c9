"""``pixcrawler barecat create`` and ``add``."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from barecat_commands import COMMAND, make_tree, ours, theirs
from pixcrawler.barecat import Barecat, creation
from pixcrawler.barecat.walking import Found, Walk


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Files in the folder ``src``, in which the commands run."""
    files = make_tree(tmp_path / "src")
    monkeypatch.chdir(tmp_path / "src")
    return files


def content(path: Path) -> dict[str, bytes]:
    with Barecat(path) as bc:
        assert bc.verify_integrity()
        return dict(bc.items())


def entries(path: Path) -> set[str]:
    with Barecat(path) as bc:
        return {*bc.files(), *bc.dirs()} - {""}


def on_disk(files: dict[str, bytes], *names: str) -> set[str]:
    return {path for name in names for path in files if path == name or path.startswith(f"{name}/")}


def test_what_is_stored_where_as_the_real_command(tree: dict[str, bytes], tmp_path: Path) -> None:
    for number, arguments in enumerate(
        (
            ["a", "zero", "empty", "sp ace", ".hidden"],
            ["./a/../a", "top.txt"],
            [str(tmp_path / "src/a/b")],
            ["a", "--exclude", "*.txt"],
            ["a", "--exclude", "**/*.txt"],
            ["a", "--exclude", "b"],
            ["a", "--exclude", "a/b"],
            ["a", "--exclude", "a/b/**"],
            ["a", "-T", "list"],
        )
    ):
        Path("list").write_bytes(b"zero\nempty\na/b/2.txt")
        mine, real = tmp_path / f"{number}-mine", tmp_path / f"{number}-real"
        if "-T" in arguments:
            arguments = arguments[1:]  # noqa: PLW2901
        ours("create", mine, *arguments)
        theirs("create", str(real), *arguments)
        assert entries(mine) == entries(real), arguments
        assert content(mine) == content(real), arguments
        for name in entries(real):
            with Barecat(mine) as one, Barecat(real) as two:
                first, second = one.index.lookup(name).asdict(), two.index.lookup(name).asdict()
            for field in ("mode", "uid", "gid", "size", "size_tree", "num_files_tree", "crc32c"):
                assert first.get(field) == second.get(field), (arguments, name, field)
        theirs("verify", str(mine))
        Path("list").unlink()


def test_D1_names_from_stdin(tree: dict[str, bytes], tmp_path: Path) -> None:
    names = subprocess.run(["find", "a", "-type", "f", "-print0"], capture_output=True, check=True).stdout
    for number, (arguments, stdin) in enumerate(
        (
            (["-0"], names),
            (["-0"], names.removesuffix(b"\0")),
            (["-0", "-T", "-"], names),
            (["-T", "-"], names.replace(b"\0", b"\n")),
        )
    ):
        path = tmp_path / f"{number}.barecat"
        ours("create", *arguments, path, "-s", "50G", stdin=stdin)
        assert set(content(path)) == on_disk(tree, "a")
        with Barecat(path) as bc:
            assert bc.shard_size_limit == 50 << 30
    # A folder in a list is its entry alone; a name that is not UTF-8 is an error that names it.
    ours("create", tmp_path / "f", "-T", "-", stdin=b"a\n\nzero")
    assert entries(tmp_path / "f") == {"a", "zero"}
    assert "\\xff.jpg" in ours("create", tmp_path / "g", "-0", stdin=b"zero\0\xff.jpg\0", code=1).stderr
    assert "gone" in ours("create", tmp_path / "h", "-0", stdin=b"gone", code=1).stderr
    # Nothing at all to store is an error of usage.
    ours("create", tmp_path / "i", code=2)


def test_D2_every_path_that_an_index_lists_can_be_read(tree: dict[str, bytes], tmp_path: Path) -> None:
    ours("create", tmp_path / "x", ".")
    with Barecat(tmp_path / "x") as bc:
        assert {path: bc[path] for path in list(bc.index.iter_all_paths())} == tree


def test_D3_a_folder_with_a_slash_is_stored_at_the_top(tree: dict[str, bytes], tmp_path: Path) -> None:
    ours("create", tmp_path / "x", f"{tmp_path}/src/")
    assert content(tmp_path / "x") == tree
    ours("create", tmp_path / "y", "a/", "zero")
    assert set(content(tmp_path / "y")) == {name.removeprefix("a/") for name in on_disk(tree, "a")} | {"zero"}
    # -C moves the paths alone, and "." is the folder itself.
    os.chdir(tmp_path)
    ours("create", "z", "-C", "src", ".")
    assert content(tmp_path / "z") == tree
    ours("create", "w", "-C", "src/a", "1.txt", "b")
    assert set(content(tmp_path / "w")) == {"1.txt", "b/2.txt", "b/c/deep.bin"}


def test_D4_the_old_name_of_an_index_is_found(tree: dict[str, bytes], tmp_path: Path) -> None:
    with Barecat(tmp_path / "x", readonly=False, index_suffix=True) as bc:
        bc["old"] = b"1"
    ours("add", tmp_path / "x", "zero")
    assert (tmp_path / "x-sqlite-index").exists()
    assert not (tmp_path / "x").exists()
    assert ours("list", tmp_path / "x").stdout == "old\nzero\n"
    ours("create", tmp_path / "x", "zero", code=1)
    for number, arguments in enumerate((["create"], ["add", "-c"])):
        path = tmp_path / f"old{number}"
        ours(*arguments, "--index-suffix", path, "zero")
        assert path.with_name(f"old{number}-sqlite-index").exists()
        assert not path.exists()
        assert theirs("list", path) == b"zero\n"
    ours("create", "-f", tmp_path / "x", "zero")
    assert not (tmp_path / "x-sqlite-index").exists()


def test_D5_W5_threads_make_the_same_archive(
    tree: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300):
        place = Path(f"many/{number % 3}/{number % 7}/{number % 2}/{number}")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(os.urandom(number * 50))
    Path("many/large").write_bytes(os.urandom(9 << 20))
    for threads in ("1", "2", "8"):
        # A path that is given twice is stored once.
        ours("create", "-j", threads, tmp_path / threads, "many", "a", "a/1.txt", "-s", "10M")
    shards = {
        threads: [(tmp_path / f"{threads}-shard-0000{shard}").read_bytes() for shard in (0, 1)]
        for threads in ("1", "2", "8")
    }
    assert shards["1"] == shards["2"] == shards["8"]
    assert content(tmp_path / "8").keys() == content(tmp_path / "1").keys()
    theirs("verify", str(tmp_path / "8"))
    # An error in a thread ends it all.
    read = creation._read_file

    def failing(found: Found) -> object:
        if found.path.endswith("/100"):
            raise PermissionError(errno.EACCES, "refused", found.place)
        return read(found)

    monkeypatch.setattr(creation, "_read_file", failing)
    for threads in ("1", "4"):
        assert "/100: refused" in ours("create", "-j", threads, tmp_path / f"e{threads}", "many", code=1).stderr
        assert len(content(tmp_path / f"e{threads}")) > 0


def test_W8_the_limit_is_stored_and_kept(tree: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "x"
    ours("create", "-j", "4", "-s", "11K", path, "a")
    ours("add", path, "sp ace", "-j", "4")
    with Barecat(path) as bc:
        assert bc.shard_size_limit == 11 << 10
    assert (tmp_path / "x-shard-00001").exists()
    ours("add", path, "zero", "-s", "20K")
    with Barecat(path) as bc:
        assert bc.shard_size_limit == 20 << 10
    # Less than what a shard has; a file that no shard can hold.
    ours("add", path, "top.txt", "-s", "1K", code=1)
    ours("create", tmp_path / "y", "a", "-s", "1K", code=1)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1KB", 1024), ("1KiB", 1024), ("1.5m", 3 << 19), ("50G", 50 << 30), ("1TiB", 1 << 40), (" 7 ", 7)],
)
def test_sizes(text: str, size: int, tree: dict[str, bytes], tmp_path: Path) -> None:
    ours("create", tmp_path / "x", "zero", "-s", text)
    with Barecat(tmp_path / "x") as bc:
        assert bc.shard_size_limit == size


@pytest.mark.parametrize("text", ["1P", "0", "", "KB", "-1", "1KK", "1BB", "0.2"])
def test_sizes_that_are_none(text: str, tree: dict[str, bytes], tmp_path: Path) -> None:
    ours("create", tmp_path / "x", "zero", "-s", text, code=2)
    assert not (tmp_path / "x").exists()


def test_nothing_is_written_or_overwritten_by_mistake(tree: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "x"
    ours("create", path, "a", "nothing", code=1)
    assert list(tmp_path.glob("x*")) == []
    ours("create", path, "top.txt")
    before = content(path)
    ours("create", path, "zero", code=1)
    ours("create", path, "-f", "nothing", code=1)
    ours("create", path, "zero", "-f", "--resume", code=2)
    ours("add", path, "../src/zero", code=1)
    ours("add", path, "top.txt", code=1)
    ours("add", path, "zero", "-C", "nowhere", code=2)
    assert content(path) == before
    assert "does not exist" in ours("add", tmp_path / "none", "zero", code=1).stderr
    assert not (tmp_path / "none").exists()
    ours("add", "-c", tmp_path / "none", "zero")
    ours("create", path, "zero", "-f")
    assert set(content(path)) == {"zero"}
    # Its short names; options anywhere.
    ours("c", "-f", path, "-j", "2", "zero", "--exclude", "x", "top.txt")
    ours("a", path, "-q", "a")
    assert set(content(path)) == {"zero", "top.txt", *on_disk(tree, "a")}


def test_what_is_no_file_is_skipped_with_a_count(tree: dict[str, bytes], tmp_path: Path) -> None:
    Path("odd").mkdir()
    os.mkfifo("odd/fifo")
    Path("odd/dangling").symlink_to("nowhere")
    Path("odd/self").symlink_to("self")
    Path("odd/up").symlink_to("..")
    Path("odd/file").symlink_to("../top.txt")
    Path("odd/folder").symlink_to("../a/b")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("odd/socket")
        told = ours("create", tmp_path / "x", "odd", "--exclude", "odd/up/*").stderr
    assert "Skipped 2 of the kind: dangling link." in told
    assert "Skipped 1 of the kind: FIFO." in told
    assert "Skipped 1 of the kind: socket." in told
    assert set(content(tmp_path / "x")) == {"odd/file", "odd/folder/2.txt", "odd/folder/c/deep.bin"}
    ours("create", tmp_path / "y", "odd/up/", "--exclude", "odd/fifo")
    assert len([name for name in content(tmp_path / "y") if name.endswith("top.txt")]) == 1


def test_an_archive_does_not_store_itself(tree: dict[str, bytes], tmp_path: Path) -> None:
    ours("create", "x.barecat", ".")
    ours("create", "-f", "x.barecat", ".", "-s", "20K")
    assert content(Path("x.barecat")) == tree


def test_an_include_does_not_stop_the_descent(tree: dict[str, bytes], tmp_path: Path) -> None:
    ours("create", tmp_path / "x", "a", "-i", "**/*.bin", "-i", "**/*.jpg")
    assert entries(tmp_path / "x") == {"a", "a/2.jpg", "a/b", "a/b/c", "a/b/c/deep.bin"}
    ours("create", tmp_path / "y", "a", "zero", "-i", "**/*.txt", "--exclude", "a/b")
    assert entries(tmp_path / "y") == {"a", "a/1.txt"}


def test_a_name_that_is_not_utf8_is_an_error_that_names_it(tree: dict[str, bytes], tmp_path: Path) -> None:
    Path(os.fsdecode(b"a/\xff.jpg")).write_bytes(b"1")
    assert "\\udcff.jpg" in ours("create", tmp_path / "x", "a", code=1).stderr


def make_many(folder: Path, count: int = 400) -> None:
    for number in range(count):
        place = folder / f"{number % 5}/{number:04d}.bin"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(number.to_bytes(2, "big") * 10_000)


SLOW = (
    "import sys, time\n"
    "from pixcrawler.barecat import creation\n"
    "read = creation._read_file\n"
    "def slow(found):\n"
    "    time.sleep(0.01)\n"
    "    return read(found)\n"
    "creation._read_file = slow\n"
    "creation._COMMIT_S = 0.1\n"
    "from pixcrawler.cli import main\n"
    "main(['barecat', *sys.argv[1:]], prog_name='pixcrawler')\n"
)


def committed(path: Path) -> int:
    with Barecat(path) as bc:
        return len(bc)


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_W4_an_interrupted_create_opens_and_goes_on(kill: signal.Signals, tmp_path: Path) -> None:
    make_many(tmp_path / "src")
    path, whole = tmp_path / "x", tmp_path / "whole"
    arguments = ["-j", "2", "-s", "1M", "-C", str(tmp_path / "src"), "."]
    process = subprocess.Popen(
        [COMMAND[0], "-c", SLOW, "create", str(path), *arguments], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "x-shard-00001").exists() or not committed(path):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(kill)
    _, told = process.communicate(timeout=20)
    assert process.returncode == (130 if kill == signal.SIGINT else -signal.SIGKILL), told
    assert "Traceback" not in told
    before = content(path)
    assert 0 < len(before) < 400
    ours("verify", path)
    ours("create", path, *arguments, code=1)
    told = ours("create", path, *arguments, "--resume").stderr
    assert f"Kept {len(before)} files" in told
    ours("create", whole, *arguments)
    # The same archive as if nothing had happened.
    assert content(path) == content(whole)
    for shard in tmp_path.glob("whole-shard-*"):
        assert Path(str(shard).replace("whole", "x")).read_bytes() == shard.read_bytes()
    assert theirs("verify", str(path)).startswith(b"Verified 400 files")


def test_resume_replaces_what_changed(tree: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "x"
    ours("create", path, "a", "zero", "--resume")
    Path("a/1.txt").write_bytes(b"changed")
    Path("a/new").write_bytes(b"new")
    assert "Kept 4 files" in ours("create", path, "a", "zero", "--resume").stderr
    wanted = {name: Path(name).read_bytes() for name in [*on_disk(tree, "a"), "zero", "a/new"]}
    assert content(path) == wanted


def test_ctrl_c_waits_for_no_disk_and_breaks_no_statistics(tmp_path: Path) -> None:
    """Interrupted at every moment of the walk, the archive is sound."""
    make_many(tmp_path / "src", 30)
    for point in (1, 7, 29):
        path = tmp_path / f"{point}.barecat"

        def interrupt(done: int, _total: int | None, point: int = point) -> None:
            if done == point:
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            creation.create(str(path), Walk(str(path), [f"{tmp_path}/src/"]), threads=2, on_progress=interrupt)
        assert len(content(path)) == point
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_file_that_shrinks_or_grows_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = tmp_path / "src/large"
    large.parent.mkdir()
    large.write_bytes(b"1" * (9 << 20))
    opened = creation._open

    def cutting(place: str) -> object:
        file = opened(place)
        monkeypatch.setattr(creation.os, "fstat", lambda _: before)
        return file

    before = os.stat(large)
    large.write_bytes(b"1" * (6 << 20))
    monkeypatch.setattr(creation, "_open", cutting)
    with pytest.raises(creation.BarecatError, match="was cut while it was read"):
        creation.create(str(tmp_path / "x"), Walk("x", [f"{large.parent}/"]))
    monkeypatch.undo()
    assert content(tmp_path / "x") == {}
    assert (tmp_path / "x-shard-00000").stat().st_size == 0
