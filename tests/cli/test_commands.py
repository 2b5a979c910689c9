"""The command line, as a user runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import httpx
import pytest
from click.testing import CliRunner

from cli.command import COMMAND, assert_one_what_and_one_hint, run
from pixcrawler.cli import main
from pixcrawler.cli._errors import CommandError, needs_extra
from pixcrawler.exceptions import DownloadError, IntegrityError, NetworkError, NotFoundError
from pixcrawler.server.store import Store
from server.helpers import make_images

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError("d\x1b", code="not_found"), 1),
        (NetworkError("d", code="connection"), 3),
        (IntegrityError("d", code="chunk_integrity"), 4),
        (DownloadError("d", code="file_io"), 5),
        (OSError(28, "No space left on device", "a\x1b"), 5),
        (OSError(13, "Permission denied", "a\nb"), 5),
        (OSError(24, "Too many open files"), 1),
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
    if code == 0:
        assert done.stderr == ""
    else:
        assert_one_what_and_one_hint(done.stderr, hint=code != 130)


def test_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixcrawler.client.PixCrawlerClient", None)
    assert isinstance(CliRunner().invoke(main, ["list"]).exception, TypeError)


def test_missing_extra_says_what_to_install() -> None:
    with pytest.raises(CommandError, match="fastapi is not installed") as caught, needs_extra("server"):
        raise ModuleNotFoundError(name="fastapi")
    assert caught.value.to_do == 'pip install "pixcrawler-sdk[server]"'
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
        noted = process.stderr.read()
        assert "unencrypted" in noted
        assert "List its jobs with" in noted


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
