"""The wire contract on a real socket, spoken by a plain HTTP client."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pixcrawler.exceptions import StoreError
from pixcrawler.server.run import ServerProcess, is_loopback
from pixcrawler.server.store import JobSpec, Store

if TYPE_CHECKING:
    from server.conftest import Served


def first_chunk(served: Served) -> tuple[str, bytes]:
    """The url of a chunk, and its bytes on disk."""
    chunk = served.client.get(f"/api/v1/jobs/{served.new.id}").json()["chunks"][0]
    return chunk["url"], (served.store / "chunks" / f"{chunk['sha256']}.zip").read_bytes()


def error_code(answer: httpx.Response) -> str:
    """The code of an error, whose one shape is checked on the way."""
    document = answer.json()
    assert set(document) == {"error"}
    assert set(document["error"]) <= {"code", "message", "id"}
    assert document["error"]["message"]
    code: str = document["error"]["code"]
    return code


# Jobs and chunks.


def test_job_has_the_fields_of_the_contract(served: Served) -> None:
    job = served.client.get(f"/api/v1/jobs/{served.old.id}").json()
    chunks = job.pop("chunks")
    assert job.pop("created_at") <= job.pop("updated_at")
    assert job == {
        "id": served.old.id,
        "name": "old one",
        "project_id": "animals",
        "status": "completed",
        "progress": 100.0,
        "version": 1,
        "num_images": 10,
        "num_chunks": 5,
        "chunk_size": 2,
        "size_bytes": sum(chunk["size_bytes"] for chunk in chunks),
        "image_size": [12, 16],
        "labels": [{"name": "cat", "count": 5}, {"name": "dog", "count": 5}],
        "tags": ["pets", "small"],
    }
    assert [chunk["index"] for chunk in chunks] == [0, 1, 2, 3, 4]
    assert [chunk["num_images"] for chunk in chunks] == [2] * 5
    assert len({chunk["id"] for chunk in chunks}) == 5
    assert set(chunks[0]) == {"id", "index", "url", "size_bytes", "num_images", "sha256"}


def test_jobs_are_newest_first_and_filtered(served: Served) -> None:
    def ids(**query: str) -> list[str]:
        page = served.client.get("/api/v1/jobs", params=query).json()
        assert page["total"] == len(page["items"])
        assert (page["page"], page["size"]) == (1, 50)
        return [job["id"] for job in page["items"]]

    assert ids() == [served.new.id, served.old.id]
    assert ids(project_id="animals") == [served.old.id]
    assert ids(tag="small") == [served.new.id, served.old.id]
    assert ids(tag="pets", status="completed") == [served.old.id]
    assert ids(status="running") == ids(tag="' OR 1=1 --") == ids(project_id="%") == []


def test_pages_add_up(served: Served) -> None:
    chunks = served.client.get(f"/api/v1/jobs/{served.old.id}").json()["chunks"]
    found = []
    for number in (1, 2, 3, 4):
        page = served.client.get(f"/api/v1/jobs/{served.old.id}/chunks", params={"page": number, "size": 2}).json()
        assert (page["total"], page["page"], page["size"]) == (5, number, 2)
        found += page["items"]
    assert found == chunks
    second = served.client.get("/api/v1/jobs", params={"page": 2, "size": 1}).json()
    assert ([job["id"] for job in second["items"]], second["total"]) == ([served.old.id], 2)


@pytest.mark.parametrize(
    "query",
    ["page=0", "page=-1", "page=x", "page=1e3", f"page={10**30}", "size=0", "size=501", f"size={10**12}", "status=done",
     "tag=" + "x" * 201],
)  # fmt: skip
def test_bad_parameters_are_refused_in_the_one_shape(served: Served, query: str) -> None:
    answer = served.client.get(f"/api/v1/jobs?{query}")
    assert answer.status_code == 422
    assert error_code(answer) == "bad_parameter"
    assert "x" * 200 not in answer.text


def test_unknown_things_are_404_and_other_methods_405(served: Served) -> None:
    for path in ("/api/v1/jobs/job_none", "/api/v1/jobs/job_none/chunks", f"/api/v1/chunks/{'0' * 64}.zip", "/x", "/"):
        answer = served.client.get(path)
        assert (answer.status_code, error_code(answer)) == (404, "not_found")
    answer = served.client.post("/api/v1/jobs")
    assert (answer.status_code, error_code(answer)) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "name", ["..%2fstore.sqlite", "..%2f..%2fetc%2fpasswd", "%00", "..\\store", "%ff", "x" * 10_000]
)
def test_no_path_leaves_the_chunks(served: Served, name: str) -> None:
    answer = served.client.get(f"/api/v1/chunks/{name}.zip")
    assert answer.status_code in {404, 422}
    assert error_code(answer) in {"not_found", "bad_parameter"}


def test_openapi_is_public_and_describes_the_contract(served: Served) -> None:
    document = httpx.get(f"{served.url}/openapi.json", trust_env=False).json()
    jobs = document["paths"]["/api/v1/jobs"]["get"]
    assert jobs["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/JobPage")
    assert jobs["responses"]["422"]["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorAnswer")
    assert jobs["security"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


# Keys.


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer pxc_wrong")],
        [("Authorization", "Bearer {key}x")],
        [("Authorization", "Bearer {key} x")],
        [("Authorization", "Basic {key}")],
        [("Authorization", "{key}")],
        [("Authorization", "Bearer {key}"), ("Authorization", "Bearer {key}")],
        [("Authorization", "Bearer \u00fc")],
        [("X-Api-Key", "{key}")],
    ],
)
def test_everything_but_a_valid_key_gets_one_answer(served: Served, headers: list[tuple[str, str]]) -> None:
    url, _ = first_chunk(served)
    filled = [(name.encode(), value.format(key=served.key).encode("latin-1")) for name, value in headers]
    answers = [
        httpx.get(f"{served.url}{path}", headers=filled, trust_env=False)
        for path in (
            "/api/v1/jobs",
            "/api/v1/jobs?size=x",
            "/api/v1/jobs/job_none",
            url,
            f"/api/v1/jobs?key={served.key}",
        )
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert len({answer.content for answer in answers}) == 1
    assert error_code(answers[0]) == "auth"


# Bytes of chunks.


def test_whole_chunk_with_its_headers(served: Served) -> None:
    url, body = first_chunk(served)
    answer = served.client.get(url)
    assert (answer.status_code, answer.content) == (200, body)
    assert answer.headers["content-length"] == str(len(body))
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == f'"{url.split("/")[-1].removesuffix(".zip")}"'
    assert "immutable" in answer.headers["cache-control"]
    assert "content-encoding" not in answer.headers
    head = served.client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert {name: head.headers[name] for name in head.headers if name != "date"} == {
        name: answer.headers[name] for name in answer.headers if name != "date"
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_range_is_a_slice(served: Served, data: st.DataObject) -> None:
    url, body = first_chunk(served)
    start = data.draw(st.integers(0, len(body) - 1))
    stop = data.draw(st.integers(start + 1, len(body) + 100))
    header, expected = data.draw(
        st.sampled_from(
            [
                (f"bytes={start}-{stop - 1}", body[start:stop]),
                (f"bytes={start}-", body[start:]),
                (f"bytes=-{stop}", body[-stop:]),
            ]
        )
    )
    answer = served.client.get(url, headers={"Range": header})
    assert (answer.status_code, answer.content) == (206, expected)
    assert answer.headers["content-length"] == str(len(expected))
    unit, _, span = answer.headers["content-range"].partition(" ")
    first, _, rest = span.partition("-")
    assert (unit, rest) == ("bytes", f"{int(first) + len(expected) - 1}/{len(body)}")
    assert body[int(first) : int(first) + len(expected)] == expected


def test_range_behind_the_end_is_416(served: Served) -> None:
    url, body = first_chunk(served)
    for header in (f"bytes={len(body)}-", f"bytes={2**64}-{2**65}", "bytes=-0"):
        answer = served.client.get(url, headers={"Range": header})
        assert (answer.status_code, error_code(answer)) == (416, "range_not_satisfiable")
        assert answer.headers["content-range"] == f"bytes */{len(body)}"


def test_range_that_may_be_ignored_gives_the_whole(served: Served) -> None:
    url, body = first_chunk(served)
    several = [("Range", "bytes=0-0"), ("Range", "bytes=2-2")]
    for headers in (several, [("Range", "bytes=0-0,2-2")], [("Range", "bytes=9-1")], [("Range", "lines=1-2")]):
        answer = served.client.get(url, headers=headers)
        assert (answer.status_code, answer.content) == (200, body)
    head = served.client.head(url, headers={"Range": "bytes=0-0"})
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(body)))


def test_if_range_and_if_none_match(served: Served) -> None:
    url, body = first_chunk(served)
    etag = served.client.head(url).headers["etag"]
    for validator, status in (
        (etag, 206),
        ('"other"', 200),
        (f"W/{etag}", 200),
        ("Sat, 01 Jan 2022 00:00:00 GMT", 200),
    ):
        answer = served.client.get(url, headers={"Range": "bytes=1-3", "If-Range": validator})
        assert answer.status_code == status
        assert answer.content == (body[1:4] if status == 206 else body)
    answer = served.client.get(url, headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content) == (304, b"")
    assert served.client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


# Behaviour under trouble.


def big_store(folder: Path) -> tuple[str, str, int]:
    """A store with a chunk of 64 MB: (key, id of its job, size)."""
    images = folder / "images"
    images.mkdir()
    for index in range(4):
        (images / f"{index}.gif").write_bytes(b"GIF89a" + bytes([index]) * 16_000_000)
    store, key = Store.create(folder / "store")
    with store:
        job = store.pack(images, JobSpec("big")).job
    assert job.size_bytes
    return key, job.id, job.size_bytes


def memory_bytes(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def test_slow_clients_neither_block_others_nor_fill_memory(tmp_path: Path) -> None:
    key, job_id, size = big_store(tmp_path)
    headers = {"Authorization": f"Bearer {key}"}
    with ServerProcess(tmp_path / "store") as server, httpx.Client(headers=headers, trust_env=False) as client:
        url = client.get(f"{server.url}/api/v1/jobs/{job_id}").json()["chunks"][0]["url"]
        assert len(client.get(server.url + url).content) == size
        before = memory_bytes(server.pid)
        host, _, port = server.url.removeprefix("http://").partition(":")
        request = f"GET {url} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        sleepers = [socket.create_connection((host, int(port))) for _ in range(20)]
        try:
            for sleeper in sleepers:
                sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sleeper.sendall(request)
                assert sleeper.recv(100).startswith(b"HTTP/1.1 200")
            started = time.monotonic()
            assert len(client.get(server.url + url).content) == size
            assert client.get(f"{server.url}/api/v1/jobs").status_code == 200
            assert time.monotonic() - started < 5
            # Two blocks of 1 MiB a connection; 20 bodies of 64 MB would be 1.28 GB.
            assert memory_bytes(server.pid) - before < 80_000_000
        finally:
            for sleeper in sleepers:
                sleeper.close()
        # Their files are closed when the server notices: none of them is left after a moment.
        deadline = time.monotonic() + 10
        descriptors = Path(f"/proc/{server.pid}/fd")
        while time.monotonic() < deadline and any(
            link.endswith(".zip") for link in map(_target, descriptors.iterdir())
        ):
            time.sleep(0.05)
        assert not any(link.endswith(".zip") for link in map(_target, descriptors.iterdir()))


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def test_many_clients_at_once_get_the_right_bytes(served: Served) -> None:
    url, body = first_chunk(served)
    wrong: list[Any] = []

    def work(seed: int) -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {served.key}"}, trust_env=False) as client:
            for step in range(20):
                start = (seed * 131 + step * 17) % len(body)
                content = client.get(served.url + url, headers={"Range": f"bytes={start}-{start + 99}"}).content
                if content != body[start : start + 100]:
                    wrong.append((seed, start))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_damaged_chunk_is_a_500_with_an_id_and_the_server_lives(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    key, job_id, size = big_store(tmp_path)
    (chunk,) = (tmp_path / "store" / "chunks").iterdir()
    with chunk.open("r+b") as file:
        file.truncate(size - 1)
    headers = {"Authorization": f"Bearer {key}"}
    with ServerProcess(tmp_path / "store") as server, httpx.Client(headers=headers, trust_env=False) as client:
        answer = client.get(f"{server.url}/api/v1/chunks/{chunk.name}", headers={"Range": "bytes=0-9"})
        assert (answer.status_code, error_code(answer)) == (500, "server_error")
        assert str(tmp_path) not in answer.text
        assert client.get(f"{server.url}/api/v1/jobs/{job_id}").status_code == 200
    log = capfd.readouterr().err
    assert answer.json()["error"]["id"] in log
    assert key not in log


def test_job_that_is_being_packed_is_seen_running(served: Served, tmp_path: Path) -> None:
    seen = []

    def on_file(done: int, _total: int) -> None:
        if done == 3:
            seen.append(served.client.get("/api/v1/jobs?status=running").json()["items"][0])

    with Store(served.store) as store:
        images = tmp_path / "images"
        images.mkdir()
        for index in range(4):
            (images / f"{index}.gif").write_bytes(b"GIF89a" + bytes([index]))
        job = store.pack(images, JobSpec("third", "other"), on_file).job
        assert (seen[0]["id"], seen[0]["progress"], seen[0]["num_chunks"]) == (job.id, 75.0, 0)
        assert served.client.get(f"/api/v1/jobs/{job.id}").json()["status"] == "completed"
        # The other tests know of two jobs.
        with store.catalogue._transaction("IMMEDIATE") as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (job.id,))


# Starting and stopping.


def test_process_ends_with_its_context_and_frees_the_port(tmp_path: Path) -> None:
    store, key = Store.create(tmp_path / "store")
    store.close()
    with ServerProcess(tmp_path / "store") as server:
        port = int(server.url.rpartition(":")[2])
        idle = httpx.Client(headers={"Authorization": f"Bearer {key}"}, trust_env=False)
        assert idle.get(f"{server.url}/api/v1/jobs").json()["items"] == []
    idle.close()
    assert server.close() == 0
    with ServerProcess(tmp_path / "store", port=port) as again:
        assert again.url == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signal_is_a_clean_end(tmp_path: Path, name: str) -> None:
    import signal

    store, _ = Store.create(tmp_path / "store")
    store.close()
    command = [sys.executable, "-m", "pixcrawler.server", "--store", tmp_path / "store", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"http://127.0.0.1:")
        process.send_signal(getattr(signal, name))
        assert process.wait(10) == 0
        assert process.stderr.read() == b""


def test_port_in_use_and_missing_store_are_told(
    tmp_path: Path, served: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StoreError) as caught:
        ServerProcess(served.store, port=int(served.url.rpartition(":")[2]))
    assert caught.value.code == "server_start"
    assert "cannot listen on 127.0.0.1" in capfd.readouterr().err
    with pytest.raises(StoreError):
        ServerProcess(tmp_path)
    assert "no store at" in capfd.readouterr().err


def test_loopback() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.1", "example.org", "localhost.example"))
