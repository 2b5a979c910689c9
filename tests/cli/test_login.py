"""``pixcrawler login``, ``logout`` and ``whoami``, and the ways in which a key comes to a command."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli.command import assert_one_what_and_one_hint, run, run_on_terminal
from faulty_server import Fault, FaultyServer
from pixcrawler import AuthenticationError, PixCrawlerClient, _credentials

if TYPE_CHECKING:
    from server.conftest import Served

KEY = "canary-key-0123456789"


@pytest.fixture
def api(server: FaultyServer) -> FaultyServer:
    """An API with no jobs; it takes any key."""
    server.documents["/api/v1/jobs"] = {"items": [], "total": 0}
    return server


def sent(server: FaultyServer) -> str | None:
    """The last request's key."""
    return server.seen[-1].headers.get("authorization")


def modes() -> tuple[int, int]:
    path = _credentials.credentials_path()
    return stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)


def stored() -> Any:
    return json.loads(_credentials.credentials_path().read_text())


def test_login_through_a_pipe_then_everything_uses_it(served: Served) -> None:
    done = run("login", "--base-url", served.url, input=f"{served.key}\n")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"Logged in to {served.url}. The key is in ")
    assert served.key not in done.stderr
    assert modes() == (0o600, 0o700)
    assert stored() == {"api_key": served.key, "base_url": served.url}
    assert len(run("list").stdout.splitlines()) == 2
    with PixCrawlerClient() as client:
        assert len(client.list_jobs()) == 2
    shown = run("whoami")
    assert shown.stdout == f"API: {served.url}\nKey: *** (from `pixcrawler login`)\nAccepted: yes\n"
    assert run("logout").stderr == "Logged out.\n"
    assert not _credentials.credentials_path().exists()
    again = run("logout")
    assert (again.returncode, again.stderr) == (0, "Not logged in.\n")


def test_login_asks_without_showing_the_key(api: FaultyServer) -> None:
    code, shown = run_on_terminal("login", "--base-url", api.url, typed=f"{KEY}\n", at=": ")
    assert code == 0, shown
    assert f"API key for {api.url}: " in shown.replace("\r", "")
    assert "Logged in" in shown
    assert KEY not in shown
    assert stored()["api_key"] == KEY
    assert (len(api.seen), sent(api)) == (1, f"Bearer {KEY}")
    assert "size=1" in api.seen[0].target


def test_ctrl_c_while_it_asks(api: FaultyServer) -> None:
    code, shown = run_on_terminal("login", "--base-url", api.url, typed="\x03", at=": ")
    assert code == 130
    assert "Error: interrupted" in shown
    assert api.seen == []


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault(status=401), 1),
        (Fault(status=403), 1),
        (Fault(cut_after=-1), 3),
        (Fault(redirect="http://127.0.0.1:1/"), 3),
    ],
    ids=str,
)
def test_nothing_is_kept_of_a_key_that_is_not_accepted(api: FaultyServer, fault: Fault, code: int) -> None:
    run("login", "--base-url", api.url, input="the-first-key")
    api.always[""] = fault
    done = run("login", "--base-url", api.url, input=KEY)
    assert done.returncode == code
    assert_one_what_and_one_hint(done.stderr)
    assert KEY not in done.stderr
    assert stored()["api_key"] == "the-first-key"


@pytest.mark.parametrize("typed", ["", "\n", "two words", "\x1b[31m", "\xe9", "\xff" * 9, "x\0y"])
def test_what_cannot_be_a_key(api: FaultyServer, typed: str) -> None:
    done = run("login", "--base-url", api.url, input=typed)
    assert done.returncode == 2
    assert_one_what_and_one_hint(done.stderr)
    assert api.seen == []


def test_login_again_is_for_the_same_api_and_replaces_at_once(api: FaultyServer) -> None:
    run("login", "--base-url", api.url, input="the-first-key")
    path = _credentials.credentials_path()
    os.link(path, path.parent / "before")
    assert run("login", "--api-key", KEY).returncode == 0
    assert sent(api) == f"Bearer {KEY}"
    assert stored() == {"api_key": KEY, "base_url": api.url}
    assert "the-first-key" in (path.parent / "before").read_text(), "the old file was not written to"
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["before", "credentials.json"]


def test_a_login_that_cannot_be_written_leaves_what_was(api: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    run("login", "--base-url", api.url, input="the-first-key")

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        _credentials.write_login(_credentials.Credentials(KEY, api.url))
    assert stored()["api_key"] == "the-first-key"
    assert [entry.name for entry in _credentials.credentials_path().parent.iterdir()] == ["credentials.json"]


def test_a_folder_that_is_a_file_is_an_error_of_the_disk(api: FaultyServer, tmp_path: Path) -> None:
    (tmp_path / "config-home").write_text("")
    done = run("login", "--base-url", api.url, input=KEY)
    assert done.returncode == 5
    assert_one_what_and_one_hint(done.stderr)
    assert run("list", "--base-url", api.url).returncode == 0, "and means no login"


def test_the_ways_of_a_key_and_their_order(api: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def whoami(*arguments: str | Path, **options: Any) -> tuple[str, Any]:
        done = run("whoami", "--json", *arguments, **options)
        assert done.returncode == 0, done.stderr
        return str(sent(api)).removeprefix("Bearer "), json.loads(done.stdout)["key_source"]

    monkeypatch.setenv("PIXCRAWLER_BASE_URL", api.url)
    assert whoami() == ("None", None)
    run("login", input="of-login")
    assert whoami() == ("of-login", "login")
    (tmp_path / "key").write_text("\ufeffof-file\r\na comment\n")
    monkeypatch.setenv("PIXCRAWLER_API_KEY_FILE", str(tmp_path / "key"))
    assert whoami() == ("of-file", "PIXCRAWLER_API_KEY_FILE")
    monkeypatch.setenv("PIXCRAWLER_API_KEY", "of-environment")
    assert whoami() == ("of-environment", "PIXCRAWLER_API_KEY")
    assert whoami("--api-key", "given") == ("given", "argument")
    assert whoami("--api-key-file", tmp_path / "key") == ("of-file", "argument")
    assert whoami("--api-key", "-", input="of-pipe\n") == ("of-pipe", "argument")
    noted = run("login", input="x-key").stderr
    assert "PIXCRAWLER_API_KEY is set and goes before this login." in noted
    assert "PIXCRAWLER_API_KEY_FILE is set" in noted


def test_whoami_of_a_refused_key_and_of_an_api_that_is_away(api: FaultyServer) -> None:
    api.always[""] = Fault(status=401)
    done = run("whoami", "--base-url", api.url, "--api-key", KEY)
    assert (done.returncode, done.stdout.splitlines()[2]) == (1, "Accepted: no")
    assert_one_what_and_one_hint(done.stderr)
    api.always[""] = Fault(cut_after=-1)
    done = run("whoami", "--base-url", api.url, "--api-key", KEY, "--json")
    assert (done.returncode, json.loads(done.stdout)["accepted"]) == (3, None)
    assert_one_what_and_one_hint(done.stderr)
    assert KEY not in done.stdout + done.stderr


def test_key_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").write_text("\nkey\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "two").write_text("a key\n")
    for name, code in (("empty", 1), ("binary", 1), ("two", 2), ("nothing", 2), (".", 2)):
        done = run("list", "--api-key-file", tmp_path / name)
        assert done.returncode == code, done.stderr
        assert_one_what_and_one_hint(done.stderr)
    for name in ("empty", "binary", "nothing", "."):
        monkeypatch.setenv("PIXCRAWLER_API_KEY_FILE", str(tmp_path / name))
        with pytest.raises(AuthenticationError) as caught:
            PixCrawlerClient()
        assert caught.value.code == "key_file"
        PixCrawlerClient("given", "https://h.example").close()
    monkeypatch.setenv("PIXCRAWLER_API_KEY_FILE", str(tmp_path / "two"))
    with pytest.raises(ValueError, match="PIXCRAWLER_API_KEY_FILE: api_key must be"):
        PixCrawlerClient()


@pytest.mark.parametrize(
    ("name", "value"), [("PIXCRAWLER_BASE_URL", "ftp://u:canary@h"), ("PIXCRAWLER_API_KEY", "canary\xe9")]
)
def test_a_wrong_variable_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    done = run("list")
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {name}: ")
    assert "canary" not in done.stderr
    assert_one_what_and_one_hint(done.stderr)


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        message = "Could not determine home directory."
        raise RuntimeError(message)

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    assert _credentials.resolve(None, None).api_key is None
    with pytest.raises(FileNotFoundError, match="no home folder"):
        _credentials.write_login(_credentials.Credentials(KEY, "https://h.example"))
