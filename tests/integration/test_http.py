"""The client on real sockets: credentials, redirects, addresses, certificates, processes; a job as a source."""

from __future__ import annotations

import base64
import gc
import io
import json
import os
import pickle
import random
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler._retry import Clock
from pixcrawler.client import PixCrawlerClient
from pixcrawler.downloader import RangesUnsupportedError
from pixcrawler.exceptions import ArchiveError, JobNotCompleteError
from pixcrawler.sources.api import ApiSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "canary-key-0123456789"
NO_WAIT = Clock(sleep=lambda _seconds, _cancelled: None)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


def connect(server: FaultyServer, **options: Any) -> PixCrawlerClient:
    return PixCrawlerClient(KEY, server.url, clock=NO_WAIT, **options)


def make_zip(members: dict[str, bytes], *, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.comment = comment
    return out.getvalue()


@pytest.fixture
def tls_state() -> FaultyServer:
    """What the TLS server serves."""
    return FaultyServer(documents={"/api/v1/jobs/j": {"name": "over TLS"}})


@pytest.fixture
def tls_server(tmp_path: Path, tls_state: FaultyServer) -> Iterator[tuple[str, Path]]:
    """A TLS server with a certificate of its own making: its address and the certificate."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with tls_state as running:
        running._server.socket = context.wrap_socket(running._server.socket, server_side=True)
        yield f"https://127.0.0.1:{running.port}", cert


def fetch(client: PixCrawlerClient, start: int, stop: int) -> bytes:
    (chunk,) = client.iter_chunks("j")
    buffer = client.downloader("j").fetch_range(chunk, start, stop)
    return buffer.tobytes(0, len(buffer))


def test_ranges_over_tls(tls_server: tuple[str, Path], tls_state: FaultyServer) -> None:
    data = random.Random(3).randbytes(1_000_000)
    serve_job(tls_state, "j", {"c0": data})
    tls_state.documents["/api/v1/jobs/j"]["chunks"][0]["url"] = "/data/c0.zip"
    with PixCrawlerClient(KEY, tls_server[0], verify_ssl=False, clock=NO_WAIT) as client:
        assert fetch(client, 10, 900_000) == data[10:900_000]
        tls_state.fail("/data/c0.zip", Fault(cut_after=70_000))
        assert fetch(client, 1, 1_000_000) == data[1:]
        assert fetch(client, 5, 6) == data[5:6]
    assert tls_state.ranges("/data/c0.zip")[1:3] == ["bytes=1-999999", "bytes=70001-999999"]
    assert len({seen.connection for seen in tls_state.seen}) == 2, "a new one after the cut alone"


def test_a_user_name_in_an_address_goes_before_the_key(server: FaultyServer) -> None:
    serve_job(server, "j", {"c0": b"0123456789"})
    server.documents["/api/v1/jobs/j"]["chunks"][0]["url"] = server.url.replace("//", "//me:s%40cret@") + "/data/c0.zip"
    with connect(server) as client:
        assert fetch(client, 2, 5) == b"234"
    given = [seen.headers["authorization"] for seen in server.seen]
    assert given[0] == f"Bearer {KEY}"
    assert base64.b64decode(given[-1].removeprefix("Basic ")) == b"me:s@cret"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_client_works_on_both_sides_of_a_fork(server: FaultyServer) -> None:
    server.documents["/api/v1/jobs/j"] = {"name": "same"}
    client = connect(server)
    client.get_job("j")
    (before,) = {seen.connection for seen in server.seen}
    child = os.fork()
    if child == 0:
        # The parent's pool may be locked by a thread that does not exist here.
        status = 1
        try:
            status = 0 if client.get_job("j").name == "same" else 2
            gc.collect()
        finally:
            os._exit(status)
    deadline_s = time.monotonic() + 20
    done, status = 0, 0
    while not done and time.monotonic() < deadline_s:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    assert done == child, "the child hangs"
    assert os.waitstatus_to_exitcode(status) == 0
    client.get_job("j")
    assert [seen.connection == before for seen in server.seen] == [True, False, True], (
        "the parent's connection lives on"
    )
    client.close()


def test_import_and_local_use_do_not_load_httpx() -> None:
    code = "import sys, pixcrawler.client, pixcrawler.codes, pixcrawler.records; print('httpx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are counted in /proc")
def test_no_descriptor_or_thread_is_left(server: FaultyServer) -> None:
    server.documents["/api/v1/jobs/j"] = {}
    server.fail("/api/v1/jobs/j", Fault(cut_after=-1), Fault(status=503))

    def use() -> None:
        with connect(server) as client:
            client.get_job("j")

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def threads() -> set[threading.Thread]:
        # Those of the server are its own.
        return {thread for thread in threading.enumerate() if "process_request" not in thread.name}

    use()
    gc.collect()
    before = descriptors(), threads()
    for _ in range(20):
        use()
    gc.collect()
    deadline_s = time.monotonic() + 5
    # The server's side of each connection closes in a thread of its own.
    while descriptors() > before[0] and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert descriptors() <= before[0]
    assert threads() <= before[1]


class TestApiSource:
    """A job's chunks, as everything above sees them."""

    def open(self, server: FaultyServer, data: bytes, **fields: Any) -> ApiSource:
        serve_job(server, "j", {"c0": data}, **fields)
        return ApiSource(connect(server), "j", owns_client=True)

    def test_directory_and_labels_from_one_request(self, server: FaultyServer) -> None:
        lines = [{"file_name": "a/1.jpg", "label": "cat", "note": "x"}, {"file_name": "a/2.jpg", "label": 7}]
        members = {"a/1.jpg": b"one", "a/2.jpg": b"two", "metadata.jsonl": "\n".join(map(json.dumps, lines)).encode()}
        source = self.open(server, make_zip(members), labels=[{"name": "dog", "count": 1}, {"name": "cat", "count": 1}])
        (chunk,) = source.chunks
        directory, labels = source.open(chunk)
        assert [directory.name(i) for i in directory.samples] == ["a/1.jpg", "a/2.jpg"]
        assert labels is not None
        assert (labels["a/1.jpg"].label, labels["a/1.jpg"].metadata, labels["a/2.jpg"].label) == (
            "cat",
            {"note": "x"},
            7,
        )
        assert len(server.ranges("/data/c0.zip")) == 1
        start, stop = directory.extent(1)
        assert directory.read_member(1, source.read(chunk, start, stop), start) == b"two"
        assert (source.info.job_id, source.info.classes, source.info.num_chunks) == ("j", ("cat", "dog"), 1)
        assert source.info.size_bytes == chunk.size_bytes
        source.close()

    @pytest.mark.parametrize("where", ["first", "last"])
    def test_a_directory_larger_than_the_tail_and_metadata_outside_it(self, server: FaultyServer, where: str) -> None:
        images = {f"folder/{'n' * 100}{i:04}.jpg": b"x" for i in range(900)}
        metadata = {"metadata.jsonl": b'{"file_name": "q", "label": "far"}'}
        data = make_zip({**metadata, **images} if where == "first" else {**images, **metadata})
        source = self.open(server, data)
        directory, labels = source.open(source.chunks[0])
        assert len(directory) == 901
        assert labels is not None
        assert labels["q"].label == "far"
        assert len(server.ranges("/data/c0.zip")) == 3
        source.close()

    def test_whole_chunks_where_there_are_no_ranges(self, server: FaultyServer) -> None:
        data = make_zip({"a/1.jpg": b"one"})
        source = self.open(server, data)
        server.always["/data/c0.zip"] = Fault(ignore_range=True)
        with pytest.raises(RangesUnsupportedError):
            source.open(source.chunks[0])
        (directory, labels), buffer = source.open_whole(source.chunks[0])
        assert (len(directory), labels) == (1, None)
        assert directory.read_member(0, buffer, 0) == b"one"
        source.close()

    @pytest.mark.parametrize("data", [b"", b"<html>not a zip</html>", bytes(100_000)])
    def test_what_is_not_a_zip_names_the_chunk(self, server: FaultyServer, data: bytes) -> None:
        source = self.open(server, data)
        opens: list[Callable[..., object]] = [source.open, source.open_whole]
        for attempt in opens:
            with pytest.raises(ArchiveError) as caught:
                attempt(source.chunks[0])
            assert (caught.value.code, caught.value.chunk_id) == ("not_a_zip", "c0")
        source.close()

    def test_a_job_that_is_not_complete(self, server: FaultyServer) -> None:
        with pytest.raises(JobNotCompleteError, match="running") as caught:
            self.open(server, b"", status="running", progress=42)
        assert (caught.value.status, caught.value.progress) == ("running", 42.0)

    def test_pickles_without_the_key_and_without_a_request(
        self, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        serve_job(server, "j", {"c0": make_zip({"a/1.jpg": b"one"})})
        source = ApiSource(PixCrawlerClient(KEY, server.url), "j", owns_client=True)
        data = pickle.dumps(source)
        assert KEY.encode() not in data
        before = len(server.seen)
        monkeypatch.setenv("PIXCRAWLER_API_KEY", "of-the-reader")
        twin: ApiSource = pickle.loads(data)
        assert len(server.seen) == before
        assert len(twin.open(twin.chunks[0]).directory) == 1
        assert server.seen[-1].headers["authorization"] == "Bearer of-the-reader"
        twin.close()
        source.close()
