"""``pixcrawler verify`` as a user runs it: what it prints where, and its exit codes."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from cli import command
from pixcrawler import ChunkReport, Problem, VerifyReport
from pixcrawler.cli import main
from pixcrawler.exceptions import NetworkError
from support import encode, numbered, picture, write_zip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

JPEG = encode(picture(40, 30), "JPEG")
run = functools.partial(command.run, "verify")
COMMAND = [*command.COMMAND, "verify"]


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A chunk of 30 good members and of 30 bad ones of three kinds, one of whose names is not for terminals."""
    bad = [b"", JPEG[:-200], b"8BPS" + bytes(40)]
    members = {**numbered(30), **{f"bad/{number:02d}.jpg": bad[number % 3] for number in range(29)}}
    return write_zip(tmp_path / "c.zip", {**members, "bad/\x1b]8;;evil\x07\u202e.jpg": b""})


def test_all_is_well(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "c.zip", {**numbered(30), "a.jpg": JPEG})
    done = run(path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "All is well." in done.stdout
    shown = {line.split("  ")[0].strip(): line for line in done.stdout.splitlines()}
    assert "31 images in 1 chunk" in shown["checked"]
    assert "png 30, jpeg 1" in shown["formats"]
    assert "6 x 5 to 40 x 30" in shown["sizes"]
    assert "upright 31" in shown["orientation"]


def test_bad_members_are_listed_by_kind(damaged: Path) -> None:
    done = run(damaged)
    assert (done.returncode, done.stderr) == (1, "")
    assert "not_an_image (" in done.stdout
    assert "truncated_image (10): The image's data ends too early." in done.stdout
    listed = [line for line in done.stdout.splitlines() if line.startswith("    bad/")]
    assert len(listed) <= 20
    assert "more; --all lists them" in done.stdout
    everything = run(damaged, "--all").stdout
    assert sum(line.startswith("    bad/") for line in everything.splitlines()) == 30
    assert "more; --all" not in everything
    assert r"bad/\x1b]8;;evil\x07\u202e.jpg" in everything
    assert "\x1b" not in everything


def test_json_is_one_document_and_nothing_else(damaged: Path, tmp_path: Path) -> None:
    done = run(damaged, "--json", "--repair", tmp_path / "out")
    assert (done.returncode, done.stderr) == (1, "")
    document = json.loads(done.stdout)
    assert (document["good"], document["bad"], document["unchecked"], document["is_clean"]) == (30, 30, 0, False)
    (chunk,) = document["chunks"]
    assert (chunk["chunk_id"], chunk["entries"], chunk["error"]) == ("c.zip", 60, None)
    assert len(chunk["bad"]) == 30
    assert set(chunk["bad"][0]) == {"chunk_id", "member", "code", "detail", "reason"}
    assert document["repair"]["removed"] == 30
    assert document["formats"] == {"png": 30}
    clean = run(tmp_path / "out", "--json")
    assert clean.returncode == 0
    assert json.loads(clean.stdout)["is_clean"] is True


def test_repair_says_what_it_wrote(damaged: Path, tmp_path: Path) -> None:
    (tmp_path / "chunks").mkdir()
    damaged.rename(tmp_path / "chunks" / "c.zip")
    (tmp_path / "chunks" / "d.zip").write_bytes(b"no zip")
    done = run(tmp_path / "chunks", "--repair", tmp_path / "out")
    assert done.returncode == 4
    assert "1 of them broken as a whole" in done.stdout
    assert "Wrote 1 chunk to" in done.stdout
    assert "without 30 bad members." in done.stdout
    assert "not written: d.zip" in done.stdout
    again = run(tmp_path / "chunks", "--repair", tmp_path / "out")
    assert again.returncode == 2
    assert again.stdout == ""
    assert "new or empty folder" in again.stderr


def test_truncated_images_may_be_kept(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "c.zip", {"a.jpg": JPEG[:-200]})
    assert run(path).returncode == 1
    assert run(path, "--keep-truncated").returncode == 0


def test_exit_codes_of_what_cannot_be_checked(tmp_path: Path) -> None:
    (tmp_path / "not.zip").write_bytes(b"<html>")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(JPEG)
    (tmp_path / "images" / "metadata.jsonl").write_bytes(b"{")
    cases: list[tuple[int, tuple[str | Path, ...]]] = [
        (1, (tmp_path / "nothing.zip",)),
        (2, ()),
        (2, (tmp_path / "not.zip", "--repair", tmp_path / "not.zip")),
        (4, (tmp_path / "not.zip",)),
        (4, (tmp_path / "images",)),
    ]
    for code, arguments in cases:
        done = run(*arguments)
        assert done.returncode == code, (arguments, done.stderr)
        assert "Traceback" not in done.stderr


def report(codes: dict[str, list[str]]) -> VerifyReport:
    """A report with problems of these codes."""
    problems = {kind: tuple(Problem("c", "m", code, "d", "r") for code in some) for kind, some in codes.items()}
    error = problems["error"][0] if "error" in problems else None
    chunk = ChunkReport("c", 1, 1, 1, problems.get("bad", ()), problems.get("unchecked", ()), error)
    return VerifyReport("j", (chunk,), {}, {}, {}, {}, None, None, 0.0)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({}, 0),
        ({"bad": ["corrupt"]}, 1),
        ({"bad": ["crc"]}, 1),
        ({"bad": ["limit_pixels"]}, 1),
        ({"unchecked": ["limit_memory"]}, 1),
        ({"unchecked": ["download_failed"], "bad": ["crc"]}, 3),
        ({"error": ["connection"]}, 3),
        ({"error": ["rate_limited"]}, 3),
        ({"error": ["chunk_integrity"], "bad": ["corrupt"]}, 4),
        ({"error": ["limit_entries"]}, 4),
        ({"error": ["not_a_zip"]}, 4),
        ({"error": ["image_count"], "unchecked": ["download_failed"]}, 3),
        ({"unchecked": ["file_io"], "error": ["not_a_zip"]}, 5),
    ],
)
def test_exit_code_of_a_report(
    monkeypatch: pytest.MonkeyPatch, codes: dict[str, list[str]], expected: int, tmp_path: Path
) -> None:
    monkeypatch.setattr("pixcrawler.verify.verify_dataset", lambda *_, **__: report(codes))
    done = CliRunner().invoke(main, ["verify", "job"])
    assert done.exit_code == expected, done.output
    assert ("All is well." in done.output) == (expected == 0)


def test_network_and_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(error: Exception) -> Callable[..., Any]:
        def fail(*_: object, **__: object) -> None:
            raise error

        return fail

    for error, code in ((NetworkError("d", code="connection"), 3), (OSError(28, "No space left on device"), 5)):
        monkeypatch.setattr("pixcrawler.verify.verify_dataset", failing(error))
        assert CliRunner().invoke(main, ["verify", "job"]).exit_code == code


def test_a_bar_only_on_a_terminal(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "c.zip", numbered(30))
    assert run(path).stderr == ""
    pty = pytest.importorskip("pty")
    reader, writer = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(
        [*COMMAND, path], stdout=subprocess.PIPE, stderr=writer, check=False, timeout=50, env=environment
    )
    shown = os.read(reader, 1 << 16).decode()
    os.close(writer)
    os.close(reader)
    assert "verifying" in shown
    assert "30/30" in shown
    assert b"\x1b" not in done.stdout


def test_closed_stdout_is_quiet(damaged: Path) -> None:
    for arguments in ([damaged], [damaged, "--json"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([*COMMAND, *arguments], stdout=writer, stderr=subprocess.PIPE, check=False, timeout=50)
        os.close(writer)
        assert done.stderr == b""


def test_ctrl_c_ends_it(damaged: Path, tmp_path: Path) -> None:
    code = """
    import os, signal, sys
    from pixcrawler import verify
    from pixcrawler.cli import main
    add = verify._Findings.add
    def interrupted(self, piece):
        os.kill(os.getpid(), signal.SIGINT)
        add(self, piece)
    verify._Findings.add = interrupted
    main(["verify", *sys.argv[1:]], prog_name="pixcrawler")
    """
    command = [sys.executable, "-c", textwrap.dedent(code), damaged, "--repair", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 130, done.stderr
    assert done.stdout == ""
    assert done.stderr.strip().splitlines()[-1] == "Error: interrupted"
    assert list((tmp_path / "out").iterdir()) == []
