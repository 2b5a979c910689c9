"""The client on real sockets: credentials, redirects, addresses, certificates, processes; a job as a source."""

from __future__ import annotations

import base64
import gc
import io
import json
import logging
import os
import pickle
import random
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import _network
from pixcrawler._retry import Clock
from pixcrawler.client import PixCrawlerClient
from pixcrawler.downloader import RangesUnsupportedError
from pixcrawler.exceptions import ArchiveError, JobNotCompleteError, NetworkError, PixCrawlerError
from pixcrawler.limits import Limits
from pixcrawler.sources.api import ApiSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "canary-key-0123456789"
NO_WAIT = Clock(sleep=lambda _seconds, _cancelled: None)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture
def other() -> Iterator[FaultyServer]:
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


def test_the_key_goes_to_the_api_s_own_origin_only(server: FaultyServer, other: FaultyServer) -> None:
    serve_job(server, "j", {"own": b"0123456789"})
    other.files["/far.zip"] = b"0123456789"
    server.documents["/api/v1/jobs/j"]["chunks"].append({"id": "far", "index": 1, "url": f"{other.url}/far.zip"})
    with connect(server) as client:
        own, far = client.iter_chunks("j")
        downloader = client.downloader("j")
        for chunk in (own, far):
            assert downloader.fetch_range(chunk, 2, 5).tobytes(0, 3) == b"234"
    assert [seen.headers.get("authorization") for seen in server.seen] == [f"Bearer {KEY}"] * 2
    assert "authorization" not in other.seen[0].headers
    assert KEY not in str(other.seen)


def test_a_redirect_to_another_origin_carries_no_key_but_the_range(server: FaultyServer, other: FaultyServer) -> None:
    serve_job(server, "j", {"c": b"0123456789"})
    other.files["/elsewhere"] = b"0123456789"
    server.always["/data/c.zip"] = Fault(redirect=f"{other.url}/elsewhere", headers={"Set-Cookie": "canary=1; Path=/"})
    with connect(server) as client:
        (chunk,) = client.iter_chunks("j")
        assert client.downloader("j").fetch_range(chunk, 2, 5).tobytes(0, 3) == b"234"
    assert other.seen[0].headers["range"] == "bytes=2-4"
    assert not {"authorization", "cookie", "proxy-authorization", "referer"} & set(other.seen[0].headers)


def test_a_chain_that_comes_back_does_not_get_the_key_again(server: FaultyServer, other: FaultyServer) -> None:
    server.always["/api/v1/jobs/j"] = Fault(redirect=f"{other.url}/b")
    other.always["/b"] = Fault(redirect=f"{server.url}/c")
    server.documents["/c"] = {"name": "found"}
    with connect(server) as client:
        assert client.get_job("j").name == "found"
    assert ["authorization" in seen.headers for seen in server.seen] == [True, False]


@pytest.mark.parametrize("status", [301, 303, 307, 308])
def test_relative_redirects_are_followed_with_the_key(server: FaultyServer, status: int) -> None:
    server.always["/api/v1/jobs/j"] = Fault(status=status, headers={"Location": "../moved"})
    server.documents["/api/v1/moved"] = {"name": "moved"}
    with connect(server) as client:
        assert client.get_job("j").name == "moved"
    assert server.seen[1].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://h/x", "gopher://h", "data:text/plain,x", "http://[x", "", "/" + "x" * 9000],
)
def test_redirects_that_lead_nowhere_good(server: FaultyServer, location: str) -> None:
    server.always["/api/v1/jobs/j"] = Fault(status=302, headers={"Location": location})
    with connect(server) as client, pytest.raises(NetworkError) as caught:
        client.get_job("j")
    # httpx reads the address before we do, and refuses some.
    assert caught.value.code in {"redirect", "bad_url"}
    assert len(server.seen) == 1


@pytest.mark.parametrize(("allowed", "requests"), [(5, 6), (0, 1)])
def test_a_loop_ends_at_the_limit(server: FaultyServer, allowed: int, requests: int) -> None:
    server.always["/api/v1/jobs/j"] = Fault(redirect="/api/v1/jobs/j")
    with (
        connect(server, limits=Limits(redirects=allowed)) as client,
        pytest.raises(NetworkError, match=f"{allowed} redirects"),
    ):
        client.get_job("j")
    assert len(server.seen) == requests


def test_https_to_http_is_refused() -> None:
    http = httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(302, headers={"Location": "http://127.0.0.1/x"}))
    )
    client = PixCrawlerClient(KEY, "https://127.0.0.1", http_client=http)
    with pytest.raises(NetworkError, match="from https to http") as caught:
        client.get_job("j")
    assert caught.value.code == "redirect"


def test_nothing_listens() -> None:
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
    waits: list[float] = []
    clock = Clock(chance=lambda: 0.5, sleep=lambda seconds, _cancelled: waits.append(seconds))
    with (
        PixCrawlerClient(KEY, f"http://127.0.0.1:{port}", clock=clock) as client,
        pytest.raises(NetworkError) as caught,
    ):
        client.get_job("j")
    assert (caught.value.code, caught.value.retryable) == ("connection", True)
    assert isinstance(caught.value, ConnectionError)
    assert waits == [0.25, 0.5, 1.0]


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with PixCrawlerClient(KEY, "http://no-such-host.invalid", clock=NO_WAIT) as client:
        with pytest.raises(NetworkError, match="not known") as caught:
            client.get_job("j")
        assert caught.value.code == "connection"


def test_no_secret_in_any_text_of_a_failure(server: FaultyServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = b"<Error>sig canary-signature, key " + KEY.encode() + b"</Error>"
    server.documents["/api/v1/jobs/j"] = {
        "chunks": [
            {
                "id": "c",
                "url": f"http://user:canary-pass@127.0.0.1:{server.port}/x?sig=canary-signature&X=canary%2Dother",
            }
        ]
    }
    with connect(server) as client:
        (chunk,) = client.iter_chunks("j")
        for fault in (
            Fault(status=403, body=echo),
            Fault(status=500, body=echo),
            Fault(cut_after=-1),
            Fault(redirect="ftp://x"),
        ):
            server.always["/x"] = fault
            with pytest.raises(PixCrawlerError) as caught:
                client.downloader("j").fetch_range(chunk, 0, 5)
            text = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(chunk)
            assert "canary" not in text
            assert b"canary" not in pickle.dumps(caught.value)
    # httpx's own log names addresses; the package's does not.
    assert all("canary" not in record.getMessage() for record in caplog.records if record.name.startswith("pixcrawler"))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fc00::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert _network.is_public(address) is public


PUBLIC_API = {"api.example": "93.184.216.34"}


def resolve_as(monkeypatch: pytest.MonkeyPatch, names: dict[str, str]) -> None:
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        return real(names.get(host, host), port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "2130706433", "0177.0.0.1", "127.1", "inside.example"])
def test_a_public_api_leads_to_no_private_address(
    monkeypatch: pytest.MonkeyPatch, server: FaultyServer, host: str
) -> None:
    resolve_as(monkeypatch, {**PUBLIC_API, "inside.example": "127.0.0.1"})
    guard = _network.Guard("api.example", 443, allow_private_hosts=False)
    with pytest.raises(_network.PrivateAddressError):
        _network.Backend(guard).connect_tcp(host.strip("[]"), server.port, timeout=1)
    assert server.seen == []
    _network.Guard("127.0.0.1", 80, allow_private_hosts=False).addresses("127.0.0.2", 80)
    assert _network.Guard("api.example", 443, allow_private_hosts=True).addresses("127.0.0.1", 80) == ["127.0.0.1"]


def test_a_refused_private_address_is_an_error_that_names_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_as(monkeypatch, PUBLIC_API)
    answer = {"chunks": [{"id": "c", "url": "http://127.0.0.1:9/x?sig=canary"}]}
    http = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=answer)))
    client = PixCrawlerClient(KEY, "http://api.example", http_client=http)
    (chunk,) = client.iter_chunks("j")
    with pytest.raises(NetworkError, match="allow_private_hosts=True") as caught:
        client.downloader("j").fetch_range(chunk, 0, 5)
    assert (caught.value.code, caught.value.chunk_id) == ("private_host", "c")


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, server: FaultyServer) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.documents["/api/v1/jobs/j"] = {"name": "through the proxy"}
    # The server takes the absolute form that proxies get for a path of its own.
    server.documents["http://api.example/api/v1/jobs/j"] = {"name": "through the proxy"}
    with PixCrawlerClient(KEY, "http://api.example", clock=NO_WAIT) as client:
        assert client.get_job("j").name == "through the proxy"
    assert server.seen[0].target.startswith("http://api.example/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with connect(server) as client:
        assert client.get_job("j").name == "through the proxy"
    assert server.seen[1].target == "/api/v1/jobs/j"


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


def test_tls(tls_server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    url, cert = tls_server
    waits: list[float] = []
    clock = Clock(sleep=lambda seconds, _cancelled: waits.append(seconds))
    with PixCrawlerClient(KEY, url, clock=clock) as client, pytest.raises(NetworkError) as caught:
        client.get_job("j")
    assert (caught.value.code, waits) == ("tls", [])
    with PixCrawlerClient(KEY, url, verify_ssl=False) as client:
        assert client.get_job("j").name == "over TLS"
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    with PixCrawlerClient(KEY, url) as client:
        assert client.get_job("j").name == "over TLS"


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


def test_ranges_through_a_proxy(monkeypatch: pytest.MonkeyPatch, server: FaultyServer) -> None:
    data = random.Random(4).randbytes(500_000)
    serve_job(server, "j", {"c0": data})
    monkeypatch.setenv("http_proxy", server.url)
    server.documents["/api/v1/jobs/j"]["chunks"][0]["url"] = "http://data.example/data/c0.zip"
    with PixCrawlerClient(KEY, "http://api.example", clock=NO_WAIT) as client:
        assert fetch(client, 7, 400_000) == data[7:400_000]
    assert server.seen[-1].target == "http://data.example/data/c0.zip"


@pytest.mark.parametrize("end", ["close", "surplus"])
def test_a_connection_that_cannot_serve_again_is_not_kept(server: FaultyServer, end: str) -> None:
    data = random.Random(5).randbytes(300_000)
    serve_job(server, "j", {"c0": data})
    spoilt = Fault(headers={"Connection": "close"}) if end == "close" else Fault(extra=b"HTTP/1.1 200 OK")
    with connect(server) as client:
        server.fail("/data/c0.zip", spoilt)
        assert fetch(client, 0, 200_000) == data[:200_000]
        assert fetch(client, 5, 15) == data[5:15]
    assert len({seen.connection for seen in server.seen if seen.target == "/data/c0.zip"}) == 2
    assert client.downloader("j").stats()["retries"] == 0


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
