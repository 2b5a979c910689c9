"""``pixcrawler list`` and ``info``: what they print for people, through pipes and for programs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from cli.command import assert_one_what_and_one_hint, run, run_on_terminal
from faulty_server import serve_job
from server.helpers import make_images
from support import numbered, write_zip, zip_of

if TYPE_CHECKING:
    from pathlib import Path

    from faulty_server import FaultyServer
    from server.conftest import Served

COLUMNS = ("id", "name", "project_id", "status", "progress", "num_images", "num_chunks", "size_bytes", "created_at")
JOB: dict[str, Any] = {
    "id": "job_abc123",
    "name": "Animals",
    "project_id": "pets",
    "status": "completed",
    "created_at": "2026-01-15T09:30:00.25Z",
    "num_images": 10_000,
    "num_chunks": 1,
    "size_bytes": 2_500_000_000,
    "labels": [{"name": "cat", "count": 4000}, {"name": "dog", "count": 3000}, {"name": "bird", "count": 3000}],
    "tags": ["a", "b"],
}


@pytest.fixture
def api(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> FaultyServer:
    """An API with one finished job of the guide's figures, and a running one of which little is known."""
    serve_job(server, "job_abc123", {"c0": zip_of(numbered(2))})
    server.documents["/api/v1/jobs/job_abc123"].update(JOB)
    running = {"id": "job_r", "status": "running", "progress": 41.5}
    server.documents["/api/v1/jobs/job_r"] = running
    server.documents["/api/v1/jobs"] = {"items": [JOB, running], "total": 2}
    monkeypatch.setenv("PIXCRAWLER_BASE_URL", server.url)
    monkeypatch.setenv("TZ", "UTC")
    return server


def test_list_of_a_served_store(logged_in: Served) -> None:
    lines = run("list").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == [logged_in.new.id, logged_in.old.id]
    assert [job["id"] for job in json.loads(run("list", "--project", "animals", "--json").stdout)] == [logged_in.old.id]
    nothing = run("list", "--status", "failed", "--json")
    assert (json.loads(nothing.stdout), nothing.stderr) == ([], "No jobs.\n")
    assert run("list", "--tag", "nothing", "-q").stderr == ""


def test_list_through_a_pipe_has_the_documented_columns(api: FaultyServer) -> None:
    done = run("list")
    assert done.stdout == (
        "job_abc123\tAnimals\tpets\tcompleted\t100\t10000\t1\t2500000000\t2026-01-15T09:30:00+00:00\ta,b\n"
        "job_r\tjob_r\t\trunning\t41.5\t\t\t\t\t\n"
    )
    documents = json.loads(run("list", "--json").stdout)
    assert set(COLUMNS) | {"tags", "labels", "version", "image_size", "updated_at", "chunk_size"} == set(documents[0])
    assert [documents[0][name] for name in ("created_at", "status", "progress")] == [
        "2026-01-15T09:30:00.250000+00:00",
        "completed",
        100.0,
    ]


def test_list_on_a_terminal_is_a_table_whose_ids_are_whole(api: FaultyServer) -> None:
    for columns in (80, 200):
        code, shown = run_on_terminal("list", columns=columns)
        plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
        assert code == 0
        assert "job_abc123" in plain
        assert "running 42 %" in plain
        assert "2.5 GB" in plain
        assert "10,000" in plain
        assert max(map(len, plain.splitlines())) <= columns


def test_info_prints_the_fields_of_the_guide(api: FaultyServer) -> None:
    done = run("info", "job_abc123")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Dataset: Animals\n"
        "Status: completed\n"
        "Images: 10,000\n"
        "Chunks: 1\n"
        "Size: 2.5 GB\n"
        "Created: 2026-01-15 09:30\n"
        "Labels: cat, dog, bird (3 classes)\n"
    )
    document = json.loads(run("info", "job_abc123", "--json").stdout)
    assert document["job_id"] == "job_abc123"
    assert (document["project_id"], document["progress"], document["num_images"]) == ("pets", 100.0, 10_000)
    assert document["labels"][0] == {"name": "cat", "count": 4000}
    assert document["classes"] == ["bird", "cat", "dog"]


def test_info_of_an_unfinished_job(api: FaultyServer) -> None:
    done = run("info", "job_r")
    assert done.returncode == 0
    assert done.stdout.splitlines()[:3] == ["Dataset: job_r", "Status: running (42 %)", "Images: -"]
    api.documents["/api/v1/jobs/job_r"].update(status="of the future", num_images=7)
    assert "Status: unknown\nImages: 7\n" in run("info", "job_r").stdout


def test_info_of_a_job_with_many_labels(api: FaultyServer) -> None:
    labels = [{"name": f"n{i}", "count": 1} for i in range(1000)]
    api.documents["/api/v1/jobs/job_abc123"]["labels"] = labels
    last = run("info", "job_abc123").stdout.splitlines()[-1]
    assert last.startswith("Labels: n0, n1, ")
    assert last.endswith("n19, ... (1,000 classes)")
    api.documents["/api/v1/jobs/job_abc123"]["labels"] = labels[:1]
    assert run("info", "job_abc123").stdout.endswith("Labels: n0 (1 class)\n")


def test_info_of_a_served_job_and_of_local_datasets(logged_in: Served, tmp_path: Path) -> None:
    shown = run("info", logged_in.old.id)
    assert "Labels: cat, dog (2 classes)" in shown.stdout
    document = json.loads(run("info", logged_in.old.id, "--json").stdout)
    assert (document["num_images"], document["image_size"]) == (10, [12, 16])
    images = make_images(tmp_path / "images")
    assert json.loads(run("info", images, "--json").stdout)["num_images"] == 5
    zipped = run("info", write_zip(tmp_path / "c.zip", numbered(4))).stdout
    assert "Images: 4\nChunks: 1\n" in zipped
    assert "Labels: label0, label1, label2 (3 classes)" in zipped


def test_no_such_thing(logged_in: Served, tmp_path: Path) -> None:
    for target in ("job_none", tmp_path / "nothing.zip"):
        done = run("info", target)
        assert (done.returncode, done.stdout) == (1, "")
        assert_one_what_and_one_hint(done.stderr)
