"""L01 to L03 and L06: exit codes, what is printed where, what comes from outside, the login file."""

from __future__ import annotations

import functools
import json
import os
import re
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli.command import COMMAND, assert_one_what_and_one_hint, run, run_on_terminal
from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import _credentials
from server.helpers import image_bytes, make_images
from support import numbered, run_child, write_zip, zip_of

if TYPE_CHECKING:
    from server.conftest import Served

KEY = "canary-key-0123456789"
# Colours, a link (OSC 8), a line end, a bell, a reversed direction.
EVIL = "\x1b[31mred\x1b]8;;http://evil.example\x07link\x1b]8;;\x07\nsecond\tline\u202e\x9b1m"
HEAVY = "{'numpy', 'httpx', 'httpcore', 'rich', 'fastapi', 'uvicorn', 'sqlite3', 'zipfile', 'ssl', 'asyncio', 'PIL'}"


def assert_plain(text: str) -> None:
    """Fit for a terminal: printable but for line ends and tabs."""
    assert re.sub(r"[\n\t]", "", text).isprintable(), text


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A chunk of two good images and one bad one."""
    return write_zip(tmp_path / "broken.zip", {**numbered(2), "bad.jpg": b"\xff\xd8\xffcut"})


def test_L01_exit_codes_with_a_real_server(logged_in: Served, broken: Path, tmp_path: Path) -> None:
    (tmp_path / "not.zip").write_bytes(b"<html>")
    (tmp_path / "images").mkdir()
    store = ("--store", tmp_path / "store", "--name")
    no_such_server = ("--base-url", "http://127.0.0.1:1", "--api-key", "x")
    cases: list[tuple[int, tuple[str | Path, ...]]] = [
        (0, ("list",)),
        (0, ("info", logged_in.old.id)),
        (0, ("verify", logged_in.old.id)),
        (1, ("info", "job_none")),
        (1, ("list", "--api-key", "pxc_wrong")),
        (1, ("verify", broken)),
        (1, ("serve", "--store", tmp_path / "nothing")),
        (1, ("pack", tmp_path / "images", *store, "n")),
        (2, ("pack", tmp_path / "nothing", *store, "n")),
        (2, ("pack", tmp_path / "images", *store, "a\nb")),
        (2, ("pack", tmp_path / "images", *store, "n", "--chunk-size", "0")),
        (2, ("list", "--status", "done")),
        (2, ("list", "--base-url", "nonsense")),
        (2, ("list", "--base-url")),
        (2, ("list", "--api-key", "two words")),
        (2, ("list", "unexpected")),
        (2, ("info", "file:///x")),
        (2, ("info", "")),
        (2, ("verify", "..")),
        (2, ("nothing",)),
        (2, ("--nothing",)),
        (2, ("serve", "--store", logged_in.store, "--port", "99999")),
        (3, ("whoami", *no_such_server)),
        (4, ("verify", tmp_path / "not.zip")),
        (4, ("info", tmp_path / "not.zip")),
    ]
    for code, arguments in cases:
        done = run(*arguments)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        assert logged_in.key not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        # What verify finds is its result, not its failure.
        if code and arguments[0] != "verify":
            assert_one_what_and_one_hint(done.stderr)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (1, Fault(status=401)),
        (1, Fault(status=404)),
        (1, Fault(status=409)),
        (3, Fault(status=400)),
        (3, Fault(status=500)),
        (3, Fault(status=429, headers={"Retry-After": "0"})),
        (3, Fault(cut_after=-1)),
        (3, Fault(cut_after=3, reset=True)),
        (3, Fault(redirect="ftp://h/")),
        (3, Fault(raw=b"SSH-2.0-x\r\n")),
    ],
    ids=str,
)
def test_L01_exit_codes_with_a_faulty_server(server: FaultyServer, code: int, fault: Fault) -> None:
    server.documents["/api/v1/jobs"] = {"items": [], "total": 0}
    server.always[""] = fault
    done = run("list", "--base-url", server.url, "--api-key", KEY)
    assert (done.returncode, done.stdout) == (code, "")
    assert_one_what_and_one_hint(done.stderr)


def test_L01_a_chunk_that_is_not_the_catalogue_s(server: FaultyServer) -> None:
    serve_job(server, "j", {"c0": zip_of(numbered(3))})
    access = ("--base-url", server.url, "--api-key", KEY)
    server.documents["/api/v1/jobs/j"]["chunks"][0]["sha256"] = "0" * 64
    done = run("verify", "j", *access)
    assert (done.returncode, done.stderr) == (4, "")
    assert "chunk_integrity" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_L01_a_full_disk(logged_in: Served) -> None:
    for arguments in (["list"], ["list", "--json"], ["info", logged_in.new.id], ["--help"], ["completion", "zsh"]):
        with Path("/dev/full").open("w") as full:
            done = run(*arguments, stdout=full)
        assert done.returncode == 5, arguments
        assert_one_what_and_one_hint(done.stderr)

    def limit_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))

    done = run("login", input=f"{logged_in.key}\n", preexec_fn=limit_files)
    assert done.returncode == 5, done.stderr
    assert_one_what_and_one_hint(done.stderr)
    assert list(_credentials.credentials_path().parent.iterdir()) == []


@pytest.mark.parametrize("command", ["list", "info", "verify", "whoami", "doctor"])
def test_L01_ctrl_c(server: FaultyServer, command: str) -> None:
    server.always[""] = Fault(stall_after=-1)
    arguments = [*COMMAND, command, *(["j"] if command in {"info", "verify"} else [])]
    access = {"PIXCRAWLER_BASE_URL": server.url, "PIXCRAWLER_API_KEY": KEY}
    with subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **access},
    ) as process:
        while not server.seen and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "Error: interrupted\n"
    assert "Traceback" not in out


def test_L02_stdout_is_one_document(logged_in: Served, broken: Path, tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    (images / "note.txt").write_text("no image")
    for arguments in (
        ("list",),
        ("info", logged_in.old.id),
        ("verify", broken),
        ("whoami",),
        ("doctor",),
        ("pack", images, "--store", tmp_path / "store", "--name", "n"),
    ):
        done = run("-v", *arguments, "--json")
        assert done.returncode == (1 if arguments[0] == "verify" else 0)
        assert json.loads(done.stdout)


def test_L02_errors_leave_stdout_empty(logged_in: Served) -> None:
    for arguments in (["info", "job_none"], ["info", "job_none", "--json"], ["list", "--api-key", "x", "--json"]):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (1, "")


def test_L02_closed_stdout_is_quiet(logged_in: Served, broken: Path) -> None:
    for arguments in (["list"], ["list", "--json"], ["info", logged_in.old.id], ["verify", broken], ["--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = run(*arguments, stdout=writer)
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, ""), arguments


def test_L02_no_stdout_or_stderr_at_all(logged_in: Served, broken: Path) -> None:
    for arguments in (["list"], ["list", "--json"], ["verify", broken]):
        for closed in (1, 2):
            done = run(*arguments, preexec_fn=functools.partial(os.close, closed))
            assert done.returncode == (arguments[0] == "verify"), (arguments, done.stderr)
            assert "Traceback" not in done.stderr


def test_L02_a_bar_only_on_a_terminal(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "c.zip", numbered(30))
    code, shown = run_on_terminal("verify", path)
    assert (code, "verifying" in shown, "30/30" in shown) == (0, True, True)
    code, shown = run_on_terminal("verify", path, "-q")
    assert (code, "verifying" in shown, "All is well." in shown) == (0, False, True)
    assert run("verify", path).stderr == ""


def test_L02_quiet_and_verbose_stand_before_or_after_the_command(logged_in: Served, tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    pack = ("pack", images, "--store", tmp_path / "store", "--name", "n")
    assert "Serve it with" in run(*pack).stderr
    for arguments in (("-q", *pack), (*pack, "-q"), (*pack, "--quiet")):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Packed 5 images")
    plain = run("list")
    assert plain.stderr == ""
    for arguments in (("-v", "list"), ("list", "--verbose"), ("-q", "list", "-v")):
        done = run(*arguments)
        assert done.stdout == plain.stdout
        assert done.stderr == f"Debug: GET {logged_in.url}/api/v1/jobs: 200\n"


def test_L02_verbose_tells_of_retries_without_secrets(server: FaultyServer) -> None:
    server.documents["/api/v1/jobs"] = {"items": [], "total": 0}
    echo = f"Bearer {KEY}, http://u:{KEY}@h/x?sig={KEY}"
    server.fail("/api/v1/jobs", Fault(status=503, body=echo.encode()))
    done = run("list", "-v", "-q", "--base-url", server.url, "--api-key", KEY)
    assert done.returncode == 0
    get, again, get_again = done.stderr.splitlines()
    assert get.endswith(": 503")
    assert again.startswith("Debug: trying again in ")
    assert get_again.endswith(": 200")
    assert "canary" not in done.stderr


def test_L02_a_terminal_that_cannot_show_a_name(server: FaultyServer) -> None:
    server.documents["/api/v1/jobs"] = {"items": [{"id": "j", "name": "Katze \u732b"}], "total": 1}
    done = run("list", "--base-url", server.url, "--api-key", KEY, env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert (done.returncode, done.stdout.split("\t")[:2]) == (0, ["j", r"Katze \u732b"])


def test_L03_names_and_messages_of_a_server_are_escaped(server: FaultyServer) -> None:
    serve_job(server, "j", {"c0": zip_of({**numbered(1), f"{EVIL}.jpg": b"no image"})})
    job = server.documents["/api/v1/jobs/j"]
    texts = {"name": EVIL, "project_id": EVIL, "tags": [EVIL], "labels": [{"name": EVIL, "count": 1}], "status": EVIL}
    access = ("--base-url", server.url, "--api-key", KEY)
    verified = run("verify", "j", *access)
    assert verified.returncode == 1, verified.stderr
    assert r"\x1b]8;;" in verified.stdout
    assert_plain(verified.stdout)
    listed = {key: value for key, value in {**job, **texts}.items() if key != "chunks"}
    server.documents["/api/v1/jobs"] = {"items": [{**listed, "id": f"j{EVIL}"}, listed], "total": 2}
    job.update(texts)
    done = run("list", *access)
    assert len(done.stdout.splitlines()) == 2, "a line is a job"
    assert {line.count("\t") for line in done.stdout.splitlines()} == {9}
    assert done.stdout.startswith(r"j\x1b[31mred\x1b]8;;http://evil.example\x07link")
    assert_plain(done.stdout)
    shown = run("info", "j", *access).stdout
    assert len(shown.splitlines()) == 7
    assert_plain(shown)
    _, table = run_on_terminal("list", *access, columns=300)
    assert "\x1b]8" not in table
    assert "\x07" not in table
    assert "\u202e" not in table
    assert json.loads(run("info", "j", "--json", *access).stdout)["name"] == EVIL
    for fault in (
        Fault(status=404, body=json.dumps({"error": {"message": EVIL}}).encode()),
        Fault(status=400, body=EVIL.encode()),
        Fault(redirect="ftp://h/\x1b[31m"),
        Fault(raw=b"HTTP/1.1 200 \x1b[31m\r\n\x1b]8;;: x\r\n\r\n"),
    ):
        server.always[""] = fault
        for arguments in (("info", "j"), ("info", f"job{EVIL}"), ("whoami",)):
            failed = run(*arguments, *access)
            assert failed.returncode in {1, 3}
            assert_one_what_and_one_hint(failed.stderr)


def test_L03_names_of_this_machine_are_escaped(tmp_path: Path) -> None:
    name = EVIL.replace("/", ":")
    images = tmp_path / f"folder{name}" / f"[bold]{name}"
    images.mkdir(parents=True)
    (images / "1.jpg").write_bytes(image_bytes())
    (images / f"note{name}.txt").write_text("no image")
    folder = images.parent
    for code, arguments in (
        (0, ("info", folder)),
        (1, ("verify", folder)),
        (0, ("pack", folder, "--store", folder / "store", "--name", "n")),
        (2, (f"command{EVIL}",)),
        (2, ("list", f"--option{EVIL}")),
        (2, ("list", "--status", EVIL)),
        (2, ("list", "--base-url", EVIL)),
        (2, ("list", "--api-key-file", folder / "nothing")),
        (1, ("info", folder / "nothing.zip")),
        (5, ("pack", folder, "--store", images / "1.jpg" / "store", "--name", "n")),
    ):
        done = run(*arguments)
        assert done.returncode == code, (arguments, done.stderr)
        assert_plain(done.stdout + done.stderr)
    assert "[bold]" in run("info", folder).stdout


def login_file(content: bytes, mode: int = 0o600) -> Path:
    path = _credentials.credentials_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff",
        b"[]",
        b'{"api_key": 5}',
        b'{"api_key": "canary"',
        b'{"api_key": "can ary"}',
        b'{"api_key": "canary", "base_url": "ftp://u:canary@h"}',
        b"[" * 60_000,
        b'{"api_key": "' + b"canary" * 20_000 + b'"}',
    ],
    ids=range(9),
)
def test_L06_a_malformed_login_file(content: bytes) -> None:
    path = login_file(content)
    done = run("list")
    assert (done.returncode, done.stdout) == (1, "")
    assert str(path) in done.stderr
    assert "[login_file]" in done.stderr
    assert "pixcrawler login" in done.stderr
    assert "canary" not in done.stderr
    assert_one_what_and_one_hint(done.stderr)


def test_L06_a_malformed_login_file_can_be_replaced_or_removed(
    logged_in: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = login_file(b"no login")
    assert run("list").returncode == 0, "key and address of the environment need no file"
    monkeypatch.delenv("PIXCRAWLER_API_KEY")
    assert run("list").returncode == 1
    assert run("logout").returncode == 0
    assert not path.exists()
    login_file(b"no login", 0o644)
    done = run("login", input=logged_in.key)
    assert done.returncode == 0, "at the environment's address, and nowhere else"
    assert f"Logged in to {logged_in.url}" in done.stderr
    assert run("list").returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_L06_a_login_file_that_others_can_read_warns(server: FaultyServer, mode: int) -> None:
    server.documents["/api/v1/jobs"] = {"items": [{"id": "j"}], "total": 1}
    path = login_file(json.dumps({"api_key": KEY, "base_url": server.url}).encode(), mode)
    done = run("list")
    assert (done.returncode, done.stdout.split("\t")[0]) == (0, "j")
    assert done.stderr == f"Warning: {path} can be read by other users; run: chmod 600 {path}\n"
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"


def test_L06_unknown_fields_of_a_login_file_warn(server: FaultyServer) -> None:
    server.documents["/api/v1/jobs"] = {"items": [], "total": 0}
    fields: dict[str, Any] = {"api_key": KEY, "base_url": server.url, "proxy": "canary-value", f"x{EVIL}": 1}
    path = login_file(json.dumps(fields).encode())
    done = run("list", "-q")
    assert done.returncode == 0
    assert done.stderr.startswith(f"Warning: {path} has fields that are not used: proxy, x")
    assert len(done.stderr.splitlines()) == 1
    assert_plain(done.stderr)
    assert "canary" not in done.stderr


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], [], ["list", "--help"]], ids=" ".join)
def test_help_and_version_load_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
    import sys
    from pixcrawler.cli import main
    try:
        main({arguments!r}, prog_name="pixcrawler")
    except SystemExit as end:
        assert not end.code, end.code
    loaded = {HEAVY} | {{"torch", "pandas", "importlib.metadata"}}
    print("loaded:", sorted(loaded & set(sys.modules)))
    """
    shown = run_child(code)
    assert shown.endswith("loaded: []\n"), shown
    assert len(shown.splitlines()) >= 2
