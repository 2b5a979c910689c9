"""The command line, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import httpx
import pytest
from click.testing import CliRunner

from pixcrawler.cli import main
from pixcrawler.cli._errors import needs_extra
from pixcrawler.exceptions import IntegrityError, NetworkError, NotFoundError
from pixcrawler.server.store import Store
from server.helpers import image_bytes, make_images

if TYPE_CHECKING:
    from pathlib import Path

    from server.conftest import Served

COMMAND = [sys.executable, "-c", "from pixcrawler.cli import main; main(prog_name='pixcrawler')"]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=50)


def test_pack_shows_the_key_of_a_new_store_once(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    (images / "note\x1b[31m.txt").write_text("text")
    first = run(
        "pack", images, "--store", tmp_path / "store", "--name", "n", "--tag", "a", "--tag", "b", "--project", "p"
    )
    assert first.returncode == 0
    (key,) = (word for word in first.stdout.split() if word.startswith("pxc_"))
    assert "Packed 5 images" in first.stdout
    assert "note\\x1b[31m.txt" in first.stderr
    assert "not_an_image" in first.stderr
    assert "\x1b" not in first.stdout + first.stderr
    second = run("pack", images, "--store", tmp_path / "store", "--name", "n", "--json")
    assert "pxc_" not in second.stdout + second.stderr
    document = json.loads(second.stdout)
    assert (document["job"]["num_images"], document["key"], len(document["refused"])) == (5, None, 1)
    with Store(tmp_path / "store") as store:
        assert store.accepts_key(key)
        assert store.catalogue.list_jobs(project_id="p")[0][0].tags == ("a", "b")


def test_list_and_info_of_a_served_store(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXCRAWLER_API_KEY", served.key)
    monkeypatch.setenv("PIXCRAWLER_BASE_URL", served.url)
    table = run("list").stdout
    assert table.index(served.new.id) < table.index(served.old.id)
    assert "animals" in table
    assert [job["id"] for job in json.loads(run("list", "--project", "animals", "--json").stdout)] == [served.old.id]
    assert json.loads(run("list", "--status", "failed", "--json").stdout) == []
    shown = run("info", served.old.id)
    assert shown.returncode == 0, shown.stderr
    assert "cat (5), dog (5)" in shown.stdout
    document = json.loads(run("info", served.old.id, "--json").stdout)
    assert (document["job_id"], document["num_images"], document["image_size"]) == (served.old.id, 10, [12, 16])


def test_info_of_a_folder(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    assert json.loads(run("info", images, "--json").stdout)["num_images"] == 5


def test_errors_are_one_line_with_an_exit_code(served: Served, tmp_path: Path) -> None:
    access = ("--api-key", served.key, "--base-url", served.url)
    (tmp_path / "images").mkdir()
    store = ("--store", tmp_path / "store", "--name")
    cases = [
        (1, ("info", "job_none", *access)),
        (1, ("list", "--api-key", "pxc_wrong", "--base-url", served.url)),
        (1, ("serve", "--store", tmp_path / "nothing")),
        (1, ("pack", tmp_path / "images", *store, "n")),
        (2, ("pack", tmp_path / "nothing", *store, "n")),
        (2, ("pack", tmp_path / "images", *store, "a\nb")),
        (2, ("list", "--status", "done")),
        (2, ("serve", "--store", served.store, "--port", "99999")),
    ]
    for code, arguments in cases:
        done = run(*arguments)
        assert done.returncode == code, done.stderr
        *_, last = done.stderr.splitlines()
        assert last.startswith("Error: ")
        assert "Traceback" not in done.stderr
        assert served.key not in done.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError("d", code="not_found"), 1),
        (NetworkError("d", code="connection"), 3),
        (IntegrityError("d", code="chunk_integrity"), 4),
        (OSError(28, "No space left on device", "a\x1b"), 5),
        (OSError(13, "Permission denied"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(32, "Broken pipe"), 0),
    ],
)
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("pixcrawler.client.PixCrawlerClient", fail)
    monkeypatch.setattr("pixcrawler.cli._errors._forget_stdout", lambda: None)
    done = CliRunner().invoke(main, ["list"])
    assert done.exit_code == code
    assert len(done.stderr.splitlines()) == (0 if code == 0 else 1)
    assert "\x1b" not in done.stderr


def test_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixcrawler.client.PixCrawlerClient", None)
    assert isinstance(CliRunner().invoke(main, ["list"]).exception, TypeError)


def test_closed_stdout_is_quiet(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXCRAWLER_API_KEY", served.key)
    monkeypatch.setenv("PIXCRAWLER_BASE_URL", served.url)
    for arguments in (["list"], ["list", "--json"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([*COMMAND, *arguments], stdout=writer, stderr=subprocess.PIPE, check=False)
        os.close(writer)
        assert done.stderr == b""


def test_missing_extra_says_what_to_install() -> None:
    with pytest.raises(Exception, match=r'pip install "pixcrawler-sdk\[server\]"'), needs_extra("server"):
        raise ModuleNotFoundError(name="fastapi")
    with pytest.raises(ModuleNotFoundError), needs_extra("server"):
        raise ModuleNotFoundError(name="pixcrawler.gone")


def test_serve_until_ctrl_c(tmp_path: Path) -> None:
    run("pack", make_images(tmp_path / "images"), "--store", tmp_path / "store", "--name", "n")
    command = [*COMMAND, "serve", "--store", tmp_path / "store", "--host", "0.0.0.0", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith("Serving ")
        port = line.split()[3].rpartition(":")[2]
        assert httpx.get(f"http://127.0.0.1:{port}/api/v1/jobs", trust_env=False).status_code == 401
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert "unencrypted" in process.stderr.read()


def test_names_from_outside_are_escaped(tmp_path: Path, served: Served) -> None:
    images = tmp_path / "images"
    (images / "[bold]x\x1b]8;;evil\x07").mkdir(parents=True)
    (images / "[bold]x\x1b]8;;evil\x07" / "1.jpg").write_bytes(image_bytes())
    shown = run("info", images).stdout
    assert "[bold]x" in shown
    assert "\x1b" not in shown


def test_import_is_light() -> None:
    heavy = "{'fastapi', 'httpx', 'numpy', 'rich', 'sqlite3', 'uvicorn', 'zipfile'}"
    code = f"import sys, pixcrawler.cli; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_command_has_help() -> None:
    assert {"info", "list", "pack", "serve"} <= set(main.commands)
    for name, command in main.commands.items():
        assert command.help, name
        assert all(option.help for option in command.params if isinstance(option, click.Option)), name
        assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


def test_key_is_not_shown_in_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXCRAWLER_API_KEY", "pxc_canary")
    assert "canary" not in CliRunner().invoke(main, ["list", "--help"]).output
