"""``pixcrawler doctor``: what it looks at, and what it says of each problem."""

from __future__ import annotations

import importlib.metadata
import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from cli.command import assert_one_what_and_one_hint, run
from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import _native, doctor
from pixcrawler.cli import main
from support import numbered, run_child, zip_of

if TYPE_CHECKING:
    from server.conftest import Served

NAMES = ["version", "build", "cores", "memory", "frameworks", "login", "API"]


def checks(*arguments: str, code: int = 0, **options: Any) -> dict[str, Any]:
    done = CliRunner().invoke(main, ["doctor", "--json", *arguments], **options)
    assert done.exit_code == code, done.output
    document = json.loads(done.stdout)
    assert document["healthy"] is (code == 0)
    for check in document["checks"]:
        assert (check["problem"] is None) == (check["remedy"] is None), check
    return {check["name"]: check for check in document["checks"]}


def test_a_healthy_machine(logged_in: Served) -> None:
    found = checks(logged_in.new.id)
    assert list(found) == [*NAMES, "speed"]
    assert found["build"]["facts"] == dict(_native.build_info())
    assert found["cores"]["facts"]["usable"] >= 1
    assert found["frameworks"]["facts"]["numpy"] == importlib.metadata.version("numpy")
    assert found["login"]["facts"] == {"base_url": logged_in.url, "key_source": "PIXCRAWLER_API_KEY"}
    assert 0 < found["API"]["facts"]["latency_s"] < 10
    assert found["speed"]["facts"]["bytes"] == logged_in.new.size_bytes
    shown = run("doctor")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [line.split(":")[0] for line in shown.stdout.splitlines()] == [f"ok  {name}" for name in NAMES]
    assert logged_in.key not in shown.stdout


def test_without_a_key(server: FaultyServer) -> None:
    server.always[""] = Fault(status=401)
    found = checks("--base-url", server.url, code=1)
    assert found["login"]["problem"] == "there is no API key"
    assert found["API"]["problem"] is None, "it answers, and what is missing was told"
    assert [check["name"] for check in found.values() if check["problem"]] == ["login"]
    assert list(checks("--offline", "--base-url", server.url, code=1)) == NAMES[:-1]
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (Fault(status=401), "The API key is missing or wrong"),
        (Fault(status=503), "The server failed"),
        (Fault(cut_after=-1), "The server cannot be reached"),
        (Fault(redirect="ftp://h/"), "redirect"),
    ],
    ids=str,
)
def test_an_api_that_is_not_well(server: FaultyServer, fault: Fault, problem: str) -> None:
    server.always[""] = fault
    found = checks("--base-url", server.url, "--api-key", "canary-key", code=1)
    assert problem in found["API"]["problem"]
    assert "canary" not in json.dumps(found)
    assert len(server.seen) == 1, "asked once"


def test_a_job_whose_chunks_do_not_come(server: FaultyServer) -> None:
    serve_job(server, "j", {"c0": zip_of(numbered(2))})
    server.documents["/api/v1/jobs"] = {"items": [], "total": 0}
    server.always["/data/c0.zip"] = Fault(status=404)
    found = checks("j", "--base-url", server.url, "--api-key", "canary-key", code=1)
    assert found["speed"]["problem"].startswith("The chunk could not be downloaded")
    assert checks("none", "--base-url", server.url, "--api-key", "canary-key", code=1)["speed"]["problem"]


def test_problems_of_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    build = {**_native.build_info(), "profile": "debug"}
    monkeypatch.setattr(_native, "build_info", lambda: build)
    monkeypatch.setattr(doctor, "available_bytes", lambda: 100_000_000)
    monkeypatch.setattr(doctor, "_least_versions", lambda: {"numpy": "99.1", "pillow": "1.0"})
    found = checks("--offline", "--api-key", "x", "--base-url", "http://127.0.0.1:1", code=1)
    assert "debug build" in found["build"]["problem"]
    assert found["memory"]["problem"] == "less than 512 MB are available"
    assert "numpy" in found["frameworks"]["problem"]
    assert "pillow" not in found["frameworks"]["problem"]
    assert found["frameworks"]["remedy"] == 'pip install --upgrade "numpy>=99.1"'
    build.update(profile="release", jpeg_simd=False)
    assert "nasm" in checks("--offline", "--api-key", "x", code=1)["build"]["remedy"]


def test_oldest_versions_are_those_of_the_package() -> None:
    least = doctor._least_versions()
    if not least:
        pytest.skip("pixcrawler-sdk is not installed")
    assert least["torch"] == "2.2"
    assert least["numpy"] == "1.26"
    assert doctor._numbers("2.15.0+cu130") == (2, 15, 0)
    assert doctor._numbers("unknown") == ()


def test_a_broken_login_is_a_problem_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXCRAWLER_BASE_URL", "nonsense")
    found = checks(code=1)
    assert found["login"]["problem"].startswith("PIXCRAWLER_BASE_URL: base_url must be")
    assert list(found) == NAMES[:-1]


def test_no_framework_is_imported() -> None:
    code = """
    import sys
    from pixcrawler.doctor import examine
    list(examine("key", "http://127.0.0.1:1"))
    heavy = {"torch", "tensorflow", "keras", "jax", "pandas", "pyarrow", "datasets", "sklearn", "PIL"}
    print(sorted(heavy & set(sys.modules)))
    """
    assert run_child(code) == "[]\n"


def test_wrong_arguments() -> None:
    done = run("doctor", "--base-url", "nonsense")
    assert done.returncode == 2
    assert_one_what_and_one_hint(done.stderr)
