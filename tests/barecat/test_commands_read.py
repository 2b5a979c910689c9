"""``pixcrawler barecat list, cat, extract, verify, find, tree, du, index-to-csv, to-ncdu-json, defrag``."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import stat
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from barecat_commands import COMMAND, make_tree, ours, theirs
from cli.command import run_on_terminal
from pixcrawler.barecat import Barecat, BarecatFileInfo
from pixcrawler.cli import main


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of the tree in the folder ``src`` beside it."""
    make_tree(tmp_path / "src")
    monkeypatch.chdir(tmp_path)
    ours("create", "x", "src/")
    return tmp_path / "x"


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE config SET value_int = 0 WHERE key = 'use_triggers'")
        connection.execute(statement, values)
        connection.execute("UPDATE config SET value_int = 1 WHERE key = 'use_triggers'")


def flip(path: Path, name: str) -> None:
    with Barecat(path) as bc:
        info = bc.index.lookup_file(name)
    with open(f"{path}-shard-0000{info.shard}", "r+b") as shard:
        shard.seek(info.offset or 0)
        byte = shard.read(1)
        shard.seek(info.offset or 0)
        shard.write(bytes([byte[0] ^ 1]))


# Options, and what follows the archive: the real command takes no path after an option behind it.
SAME_OUTPUT = [
    ("list", ""),
    ("list -l", ""),
    ("list -l", "a"),
    ("list", "a/1.txt a empty"),
    ("list -l", "a/1.txt"),
    ("list", "a/*"),
    ("list", "a/"),
    ("list", "**/*"),
    ("list --jsonl", ""),
    ("list -R", ""),
    ("list -lR", ""),
    ("list -R", "a"),
    ("list -R --jsonl", ""),
    ("find", ""),
    ("find", "a"),
    ("find", "a/1.txt"),
    ("find -type f", ""),
    ("find -type d -maxdepth 1", ""),
    ("find -name *.txt", ""),
    ("find -path a/*", ""),
    ("find -size +1k", ""),
    ("find -size 3", ""),
    ("find -maxdepth 0", "a"),
    ("tree", ""),
    ("tree", "a"),
    ("tree -L 1", ""),
    ("tree -d", ""),
    ("tree -d -L 2", "a"),
    ("du", ""),
    ("du -a", ""),
    ("du -s", ""),
    ("du -H", "a"),
    ("du -d 1", ""),
    ("index-to-csv", ""),
    ("cat", "a/2.jpg"),
    ("verify", ""),
    ("verify --quick", ""),
]
IN_ORDER = {"tree", "cat", "verify", "index-to-csv"}


@pytest.mark.parametrize(("command", "paths"), SAME_OUTPUT)
def test_the_same_output_as_the_real_command(command: str, paths: str, archive: Path) -> None:
    real = theirs(*command.split(), "x", *paths.split())
    for arguments in (
        [*command.split(), "x", *paths.split()],
        [command.split(maxsplit=1)[0], "x", *paths.split(), *command.split()[1:]],
    ):
        mine = ours(*arguments).stdout_bytes
        if command.split(maxsplit=1)[0] in IN_ORDER:
            assert mine == real
        else:
            # That one lists in no order.
            assert sorted(mine.splitlines()) == sorted(real.splitlines())


def test_ncdu(archive: Path) -> None:
    def normal(text: str) -> Any:
        def sort(folder: list[Any]) -> list[Any]:
            head, *entries = folder
            return [head, *sorted((sort(one) if isinstance(one, list) else one for one in entries), key=str)]

        return sort(json.loads(text)[3])

    assert normal(ours("to-ncdu-json", "x").stdout) == normal(theirs("to-ncdu-json", "x").decode())


def test_listings_are_sorted_and_fit_for_pipes(archive: Path) -> None:
    assert ours("ls", "x").stdout.split("\n") == [".hidden/", "a/", "empty/", "sp ace/", "top.txt", "zero", ""]
    names = ours("l", "x", "-R", "-0").stdout.split("\0")[:-1]
    assert names == sorted(names)
    assert len(names) == 8
    assert ours("t", "x", "sp ace/ü[1]*?.txt").stdout == "sp ace/ü[1]*?.txt\n"
    assert ours("list", "-R", "x", "a/*").stdout.split() == ["a/1.txt", "a/2.jpg", "a/b/2.txt", "a/b/c/deep.bin"]
    found = ours("find", "-type", "f", "x", "a", "-print0").stdout.split("\0")[:-1]
    # The real find prints what it begins at in front of each.
    real = subprocess.run(["find", "a", "-type", "f", "-print0"], cwd="src", capture_output=True, check=True).stdout
    assert sorted(found) == sorted(real.decode().split("\0")[:-1])
    assert ours("find", "x", "-size", "-10", "-type", "f").stdout.split("\n")[:2] == [".hidden/.file", "a/b/2.txt"]
    assert ours("du", "x", "a/1.txt").stdout == "3000\ta/1.txt\n"
    for wrong in ("find x -size many", "find x -type q", "find x -maxdepth -1", "tree x -L x", "list", "list x --no"):
        ours(*wrong.split(), code=2)


def test_what_is_not_there(archive: Path) -> None:
    result = ours("list", "x", "nope", "zero", "no*", code=1)
    assert result.stdout == "zero\n"
    assert "nope, no*" in result.stderr
    for command in ("find", "tree", "du", "cat", "extract", "list"):
        assert "nope" in ours(command, "x", "nope", code=1).stderr
        assert ours(command, "none", "nope", code=1).stdout == ""
        assert not Path("none").exists()
    for command in ("verify", "index-to-csv", "to-ncdu-json", "defrag"):
        ours(command, "none", code=1)
        assert not Path("none").exists()
    ours("cat", "x", "a", code=1)
    # A text is no index.
    Path("text").write_text("not an index" * 1000)
    for command in ("verify", "list", "defrag", "to-ncdu-json"):
        ours(command, "text", code=1)


def test_listings_need_the_index_alone(archive: Path) -> None:
    Path("x-shard-00000").unlink()
    for command in ("list", "find", "tree", "du", "index-to-csv", "to-ncdu-json"):
        assert (
            "2.jpg" in ours(command, *(["-R"] if command == "list" else []), *(["-a"] * (command == "du")), "x").stdout
        )


def test_what_is_unknown_of_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with Barecat(path, readonly=False) as bc:
        bc["f"] = b"12"
        bc.add(BarecatFileInfo("tar", mode=0o755, uid=2**31 - 7, gid=12, mtime_ns=-1), data=b"")
        bc.add(BarecatFileInfo("late", mtime_ns=2**63 - 1), data=b"")
    lines = ours("list", "-l", path).stdout.splitlines()
    assert lines[1] == "----------    1 -        -               2              f"
    assert lines[3].startswith("-rwxr-xr-x    1 2147483641 ")
    assert json.loads(ours("list", "--jsonl", path).stdout.splitlines()[0])["mtime_ns"] is None


def test_names_on_a_terminal_are_escaped(tmp_path: Path) -> None:
    import pty

    with Barecat(tmp_path / "x", readonly=False) as bc:
        bc["evil\x1b[31m\n\x9b"] = b"1"
    assert ours("list", tmp_path / "x").stdout == "evil\x1b[31m\n\x9b\n"
    reader, writer = pty.openpty()
    subprocess.run([*COMMAND, "list", tmp_path / "x"], stdout=writer, check=True, timeout=60)
    os.close(writer)
    shown = os.read(reader, 1000).decode()
    os.close(reader)
    assert shown.strip().isprintable()


# Extraction.


def tree_of(folder: Path) -> dict[str, tuple[int, int, bytes | None]]:
    """Modes, times and contents of what is below a folder."""
    return {
        str(path.relative_to(folder)): (
            stat.S_IMODE(path.stat().st_mode),
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
        for path in folder.rglob("*")
    }


def test_extract_makes_the_same_tree(archive: Path) -> None:
    ours("extract", "x", "-C", "out/deep")
    assert tree_of(Path("out/deep")) == tree_of(Path("src"))
    # Over what is there; a file that others have open keeps its content for them.
    Path("out/deep/top.txt").write_bytes(b"old")
    with open("out/deep/top.txt", "rb") as file:
        ours("x", "x", "-C", "out/deep")
        assert file.read() == b"old"
    assert tree_of(Path("out/deep")) == tree_of(Path("src"))
    # What tar makes of what was extracted is what it makes of the source.
    tar = [
        subprocess.run(["tar", "c", "--sort=name", "-C", folder, "."], capture_output=True, check=True).stdout.replace(
            b"\0", b""
        )[2000:]
        for folder in ("src", "out/deep")
    ]
    assert tar[0] == tar[1]


def test_extract_what_is_asked_for(archive: Path) -> None:
    assert ours("extract", "x", "a/2.jpg").stdout_bytes == Path("src/a/2.jpg").read_bytes()
    assert not Path("a").exists()
    cases: list[tuple[list[str], set[str]]] = [
        (["a/b"], {"a/b/2.txt", "a/b/c/deep.bin"}),
        (["a/1.txt", "zero", "a/1.txt"], {"a/1.txt", "zero"}),
        (["a", "a/b"], {"a/1.txt", "a/2.jpg", "a/b/2.txt", "a/b/c/deep.bin"}),
        (["--pattern", "**/*.txt"], {"top.txt", "a/1.txt", "a/b/2.txt", "sp ace/ü[1]*?.txt"}),
        (["-x", "a/**", "-x", "*ace/**", "-x", ".*/*"], {"zero", "top.txt"}),
        (["-i", "a/1.txt", "-x", "a/*", "a"], {"a/1.txt", "a/b/2.txt", "a/b/c/deep.bin"}),
        (["-x", "a/*", "-i", "a/1.txt", "a"], {"a/b/2.txt", "a/b/c/deep.bin"}),
    ]
    for number, (arguments, wanted) in enumerate(cases):
        ours("extract", "x", *arguments, "-C", str(number))
        assert {name for name, (_, _, data) in tree_of(Path(str(number))).items() if data is not None} == wanted
    ours("extract", "x", "--pattern", "*", "-i", "*", code=2)
    assert not Path("empty").exists()


@pytest.mark.parametrize("evil", ["../evil", "/tmp/evil", "a/../../evil", "..", "e\0vil", "a//evil", "./evil"])
def test_W10_a_row_does_not_leave_the_folder(evil: str, archive: Path, tmp_path: Path) -> None:
    change(archive, "UPDATE files SET path = ? WHERE path = 'top.txt'", evil)
    Path("work").mkdir()
    before = set(tmp_path.iterdir())
    result = ours("extract", "x", "-C", "work/out", code=1)
    assert "1 entry was not extracted" in result.stderr
    assert set(tmp_path.iterdir()) == before
    assert set(tmp_path.joinpath("work").iterdir()) == {tmp_path / "work/out"}
    # All else is there.
    assert len([1 for _, _, data in tree_of(Path("work/out")).values() if data is not None]) == 7
    assert not Path("/tmp/evil").exists()
    change(archive, "UPDATE dirs SET path = ? WHERE path = 'empty'", evil)
    ours("extract", "x", "-C", "work/out", code=1)
    assert set(tmp_path.iterdir()) == before


def test_W10_a_link_does_not_lead_out_of_the_folder(archive: Path, tmp_path: Path) -> None:
    Path("outside/b").mkdir(parents=True)
    Path("outside/file").write_bytes(b"mine")
    Path("out").mkdir()
    Path("out/a").symlink_to(tmp_path / "outside")
    Path("out/top.txt").symlink_to(tmp_path / "outside/file")
    result = ours("extract", "x", "-C", "out", code=1)
    assert "symbolic link" in result.stderr
    assert sorted(path.name for path in Path("outside").rglob("*")) == ["b", "file"]
    assert Path("outside/file").read_bytes() == b"mine"
    # A link in a file's place is replaced itself.
    assert not Path("out/top.txt").is_symlink()
    # The folder itself may be one.
    Path("link").symlink_to("real")
    Path("real").mkdir()
    ours("extract", "x", "-C", "link")
    assert tree_of(Path("real")) == tree_of(Path("src"))


def test_extract_checks_each_file(archive: Path) -> None:
    flip(archive, "a/1.txt")
    Path("out/a").mkdir(parents=True)
    Path("out/a/1.txt").write_bytes(b"before")
    assert "a/1.txt" in ours("extract", "x", "-C", "out", code=1).stderr
    assert Path("out/a/1.txt").read_bytes() == b"before"
    assert len([path for path in Path("out").rglob("*") if path.is_file()]) == 8
    for command in ("cat", "extract"):
        assert ours(command, "x", "a/1.txt", code=1).stdout == ""
    # A folder in a file's place, a file in a folder's place.
    Path("other/a").mkdir(parents=True)
    Path("other/a/2.jpg").mkdir()
    Path("other/a/b").write_bytes(b"")
    assert "entries were not extracted" in ours("extract", "x", "-C", "other", code=1).stderr
    assert not list(Path("other").rglob(".pixcrawler*"))


def test_large_files(tmp_path: Path) -> None:
    data = os.urandom(9 << 20)
    with Barecat(tmp_path / "x", readonly=False) as bc:
        bc["large"] = data
        bc["small"] = b"1"
    assert ours("cat", tmp_path / "x", "large").stdout_bytes == data
    ours("extract", tmp_path / "x", "-C", tmp_path / "out")
    assert (tmp_path / "out/large").read_bytes() == data
    flip(tmp_path / "x", "large")
    assert "CRC32C" in ours("cat", tmp_path / "x", "large", code=1).stderr
    ours("extract", tmp_path / "x", "-C", tmp_path / "out", code=1)
    assert (tmp_path / "out/large").read_bytes() == data
    os.truncate(tmp_path / "x-shard-00000", 8 << 20)
    assert ours("cat", tmp_path / "x", "large", code=1).stdout_bytes == b""


# Checks and upkeep.


def test_verify_says_what_is_wrong(archive: Path) -> None:
    for threads in ("1", "3"):
        assert ours("verify", "x", "-j", threads).stdout == "Verified 8 files (13.0K), all checksums OK.\n"
    flip(archive, "a/2.jpg")
    result = ours("verify", "x", code=1)
    assert result.stdout == "CRC32C mismatch for file: a/2.jpg\n"
    assert result.stderr == "Error: CRC32C verification failed.\n"
    assert theirs("verify", "x", code=1) == result.stdout_bytes
    assert ours("verify", "--quick", "x").stdout_bytes == theirs("verify", "--quick", "x")
    change(archive, "UPDATE dirs SET num_files = 7 WHERE path = 'a'")
    result = ours("verify", "x", code=1)
    assert result.stderr == "Error: CRC32C verification failed. Index integrity errors were found.\n"
    assert ours("verify", "--quick", "x", code=1).stderr == "Error: Integrity verification failed.\n"
    flip(archive, "a/2.jpg")
    assert ours("verify", "x", code=1).stderr == "Error: Index integrity errors were found.\n"


def test_W4_W5_W7_verify_finds_a_cut_or_missing_shard_and_names_orphans(archive: Path) -> None:
    with open("x-shard-00000", "ab") as shard:
        shard.write(b"orphaned" * 100)
    result = ours("verify", "x")
    assert "800 bytes of the shards belong to no file" in result.stderr
    assert ours("verify", "x", "-q").stderr == ""
    change(archive, "UPDATE files SET crc32c = NULL")
    os.truncate("x-shard-00000", 5000)
    for options in ([], ["--quick"], ["-j", "4"]):
        assert "failed." in ours("verify", "x", *options, code=1).stderr
    Path("x-shard-00000").unlink()
    for options in ([], ["--quick"], ["-j", "4"]):
        assert "a/1.txt" in ours("verify", "x", *options, code=1).stdout


def test_defrag(archive: Path) -> None:
    with Barecat(archive, readonly=False) as bc:
        bc.remove("a/1.txt")
        bc["end"] = b"5" * 1000
    mine = ours("defrag", "x", "-n").stdout
    for line in mine.splitlines():
        assert line in theirs("defrag", "-n", "x").decode().splitlines()
    assert re.search("Number of gaps: +1\n", mine)
    before = archive.with_name("x-shard-00000").stat().st_size
    assert ours("defrag", "x", "--quick", "--max-seconds", "0").stdout == "Freed 0\n"
    assert ours("defrag", "x", "--quick").stdout == "Freed 1003\n"
    assert ours("defrag", "x", "--smart").stdout == "Freed 2.0K\n"
    assert archive.with_name("x-shard-00000").stat().st_size == before - 3000
    ours("verify", "x")
    theirs("verify", "x")
    ours("defrag", "x", "--quick", "--smart", code=2)


def test_every_command_says_what_it_cannot_do(archive: Path) -> None:
    """One line and exit code 1 where another process writes, without a traceback."""
    Path("x-shard-00000").rename("moved")
    Path("x-shard-00000").symlink_to("moved")
    for arguments in (["add", "x", "src/zero"], ["defrag", "x"], ["create", "--resume", "x", "src/"]):
        assert "symbolic link" in ours(*arguments, code=1).stderr
    result = CliRunner().invoke(main, ["barecat"])
    assert result.exit_code == 0
    assert "defrag" in result.output
    ours("nothing", code=2)


def test_a_reader_of_stdout_that_goes_away_is_no_error(archive: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "cat", "x", "a/b/c/deep.bin"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_progress_is_shown_on_a_terminal_alone(archive: Path) -> None:
    for arguments in (["create", "y", "src"], ["extract", "x", "-C", "out"], ["verify", "x"]):
        code, shown = run_on_terminal("barecat", *arguments)
        assert code == 0
        assert "\x1b[" in shown
    code, shown = run_on_terminal("barecat", "-q", "create", "z", "src")
    assert (code, shown) == (0, "")
    done = subprocess.run([*COMMAND, "verify", "x"], capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
