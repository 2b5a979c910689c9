"""N23, N25: proxies, unusual addresses, and addresses of local files."""

from __future__ import annotations

import base64
import logging
import random
import socket
import ssl
import subprocess
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

import pixcrawler
from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import load_dataset
from pixcrawler.client import PixCrawlerClient
from pixcrawler.exceptions import DownloadError, NetworkError, PixCrawlerError
from proxy import Proxy
from raw_server import RawServer, partial
from rig import DATA, PATH, START, STOP, Rig
from support import numbered, write_zip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WANTED = DATA[START:STOP]
API = "http://api.example"


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture
def proxy(server: FaultyServer) -> Iterator[Proxy]:
    with Proxy({"api.example": server.port, "chunks.example": server.port}) as running:
        yield running


def fetch_through(base_url: str, **options: Any) -> tuple[bytes, dict[str, int]]:
    """The wanted range of job j's only chunk, and what was counted."""
    from pixcrawler._retry import Clock

    clock = Clock(sleep=lambda _seconds, _cancelled: None)
    with PixCrawlerClient("canary-key-0123456789", base_url, clock=clock, **options) as client:
        (chunk,) = client.iter_chunks("j")
        downloader = client.downloader("j")
        buffer = downloader.fetch_range(chunk, START, STOP)
        return buffer.tobytes(0, len(buffer)), downloader.stats()


# N23: proxies.


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy", "ALL_PROXY"])
def test_N23_a_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, server: FaultyServer, proxy: Proxy, name: str
) -> None:
    monkeypatch.setenv(name, proxy.url)
    serve_job(server, "j", {"c0": DATA})
    server.documents["/api/v1/jobs/j"]["chunks"][0]["url"] = f"http://chunks.example{PATH}"
    fetched, stats = fetch_through(API)
    assert (fetched, stats["retries"]) == (WANTED, 0)
    assert [head.split(b" ")[1] for head in proxy.heads] == [
        b"http://api.example/api/v1/jobs/j",
        b"http://chunks.example/data/c0.zip",
    ]
    assert "authorization" not in server.seen[1].headers


def test_N23_no_proxy_is_honoured(monkeypatch: pytest.MonkeyPatch, server: FaultyServer, proxy: Proxy) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    serve_job(server, "j", {"c0": DATA})
    assert fetch_through(server.url)[0] == WANTED
    assert proxy.heads == []


def test_N23_a_proxy_s_password_is_sent_to_it_alone_and_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch, server: FaultyServer, proxy: Proxy
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//me:canary%40pass@"))
    serve_job(server, "j", {"c0": DATA})
    server.documents["/api/v1/jobs/j"]["chunks"][0]["url"] = f"http://chunks.example{PATH}"
    assert fetch_through(API)[0] == WANTED
    expected = b"Basic " + base64.b64encode(b"me:canary@pass")
    assert all(b"proxy-authorization: " + expected.lower() in head.lower() for head in proxy.heads)
    proxy.refuse = 407
    with pytest.raises(NetworkError) as caught:
        fetch_through(API)
    text = "".join(traceback.format_exception(caught.value))
    assert "407" in text
    assert "canary" not in text


def test_N23_a_proxy_that_dies_in_the_middle_of_a_body(
    monkeypatch: pytest.MonkeyPatch, server: FaultyServer, proxy: Proxy
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    serve_job(server, "j", {"c0": DATA})
    server.documents["/api/v1/jobs/j"]["chunks"][0]["url"] = f"http://chunks.example{PATH}"

    def cut(_query: object) -> object:
        # From the answer after this one on; the catalogue's is short.
        proxy.cut_after = 100_000
        return document

    document = server.documents["/api/v1/jobs/j"]
    server.documents["/api/v1/jobs/j"] = cut
    fetched, stats = fetch_through(API)
    assert fetched == WANTED
    assert stats["retries"] == 1
    assert server.ranges(PATH)[0] == "bytes=1000-199999"
    assert server.ranges(PATH)[1] not in {None, "bytes=1000-199999"}, "resumed from the byte it reached"


@pytest.mark.parametrize("refusal", [407, 502, 503])
def test_N23_a_proxy_that_refuses_or_is_not_there(
    monkeypatch: pytest.MonkeyPatch, server: FaultyServer, proxy: Proxy, refusal: int
) -> None:
    monkeypatch.setenv("https_proxy", proxy.url)
    proxy.refuse = refusal
    with pytest.raises(NetworkError) as caught:
        fetch_through("https://api.example")
    assert caught.value.code == "connection"
    assert str(refusal) in str(caught.value)
    proxy.__exit__()
    with pytest.raises(NetworkError) as caught:
        fetch_through("https://api.example")
    assert (caught.value.code, caught.value.retryable) == ("connection", True)


@pytest.mark.parametrize("proxy_url", ["socks5://127.0.0.1:9", "ftp://127.0.0.1:9", "http://[", "http://"])
def test_N23_a_proxy_that_cannot_be_used_is_said_to_be_so(
    monkeypatch: pytest.MonkeyPatch, server: FaultyServer, proxy_url: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy_url.replace("//", "//me:canary@"))
    with pytest.raises(NetworkError) as caught:
        fetch_through(API)
    assert caught.value.code == "proxy"
    assert "http_proxy" in str(caught.value)
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_N23_https_through_a_proxy_and_a_cut_in_the_tunnel(
    monkeypatch: pytest.MonkeyPatch, server: FaultyServer, tmp_path: Path
) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=api.example"]
    command += ["-addext", "subjectAltName=DNS:api.example", "-keyout", str(key), "-out", str(cert)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))

    def answer(head: bytes, _number: int) -> tuple[bytes, ...]:
        if b"/api/" in head:
            body = b'{"status": "completed", "chunks": [{"id": "c0", "url": "/c0.zip", "size_bytes": 300000}]}'
            return (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body), body, b"")
        return partial(head, DATA)

    with RawServer(answer, context) as raw, Proxy({"api.example": raw.port}) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        assert fetch_through("https://api.example")[0] == WANTED
        assert proxy.heads[0].startswith(b"CONNECT api.example:443 ")
        assert b"canary" not in b"".join(proxy.heads), "the key goes through the tunnel, not to the proxy"


# N23: addresses.


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_N23_an_ipv6_literal(server: FaultyServer) -> None:
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    with RawServer(lambda head, _number: partial(head, DATA)) as raw:
        raw._listener.close()
        raw._listener = listener
        threading.Thread(target=raw._accept, daemon=True).start()
        rig = Rig(server, url=f"http://[::1]:{listener.getsockname()[1]}/c0.zip")
        assert rig.fetch() == WANTED
        assert f"host: [::1]:{listener.getsockname()[1]}".encode() in raw.heads[0].lower()
        rig.close()


@pytest.mark.parametrize("host", ["b\u00fccher.example", "xn--bcher-kva.example", "B\u00dcCHER.example"])
def test_N23_an_internationalised_name(monkeypatch: pytest.MonkeyPatch, server: FaultyServer, host: str) -> None:
    real = socket.getaddrinfo
    asked = []

    def resolve(name: str, port: int, *args: Any, **kwargs: Any) -> Any:
        asked.append(name)
        return real("127.0.0.1" if name.endswith("example") else name, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    rig = Rig(server, url=f"http://{host}:{server.port}{PATH}")
    assert rig.fetch() == WANTED
    assert "xn--bcher-kva.example" in asked
    assert server.seen[-1].headers["host"] == f"xn--bcher-kva.example:{server.port}"
    rig.close()


NAME = "\u00fcber b\u00fccher/50 %+1#2?3&4;\u732b.zip"


@pytest.mark.parametrize("form", ["encoded", "unicode", "relative"])
def test_N23_unusual_paths(server: FaultyServer, form: str) -> None:
    encoded = f"/data/{quote(NAME)}"
    raw_path = "/data/\u00fcber b\u00fccher/\u732b.zip"
    server.files[encoded] = DATA
    server.files[quote(raw_path)] = DATA
    url = {"encoded": server.url + encoded, "unicode": server.url + raw_path, "relative": encoded}[form]
    rig = Rig(server, url=url)
    assert rig.fetch() == WANTED
    assert server.seen[-1].target == (quote(raw_path) if form == "unicode" else encoded)
    # A query stays as it was signed.
    signed = f"{server.url}{encoded}?X-Sig=a%2Fb%3D%3D&n=%C3%BC+x"
    again = Rig(server, url=signed)
    assert again.fetch() == WANTED
    assert server.seen[-1].target == f"{encoded}?X-Sig=a%2Fb%3D%3D&n=%C3%BC+x"
    rig.close()
    again.close()


def test_N23_a_redirect_to_a_unicode_path(server: FaultyServer) -> None:
    path = "/data/\u732b.zip"
    server.files[quote(path)] = DATA
    location = path.encode().decode("latin-1")
    rig = Rig(server)
    server.always[PATH] = Fault(redirect=location)
    assert rig.fetch() == WANTED
    assert server.seen[-1].target == quote(path)
    rig.close()


def test_N23_user_name_and_password_in_an_address(server: FaultyServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "pixcrawler")
    rig = Rig(server, url=server.url.replace("//", "//me:canary%40pass@") + PATH)
    assert rig.fetch() == WANTED
    given = server.seen[-1].headers["authorization"]
    assert base64.b64decode(given.removeprefix("Basic ")) == b"me:canary@pass"
    assert server.seen[0].headers["authorization"] == "Bearer key"
    for fault in (Fault(status=403), Fault(status=500, body=b"you sent me:canary@pass"), Fault(cut_after=-1)):
        server.always[PATH] = fault
        with pytest.raises(PixCrawlerError) as caught:
            rig.fetch()
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(rig.chunk)
        assert "canary" not in shown
    assert "canary" not in caplog.text
    rig.close()


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "unix:/run/x",
        "data:,x",
        "http://",
        "http://[::1",
        "http://h:99999/",
        "http://h:x/",
        "http://a b/",
        "http://\u2100.example/",
        "http://127.0.0.1\r\nX: y/",
        "http://" + "a" * 300 + ".example/",
        "http://xn--\u00fc.example/",
    ],
    ids=lambda url: ascii(url[:24]),
)
def test_N23_addresses_that_lead_nowhere(server: FaultyServer, url: str) -> None:
    rig = Rig(server)
    server.documents["/api/v1/jobs/j"]["chunks"][0]["url"] = url
    (chunk,) = rig.client.iter_chunks("j")
    with pytest.raises((NetworkError, DownloadError)) as caught:
        rig.downloader.fetch_range(chunk, START, STOP)
    assert caught.value.code in {"bad_url", "download_failed"}
    assert str(caught.value).isprintable()
    assert [seen.target for seen in server.seen if seen.target == PATH] == []
    rig.close()


# N25: local files.


def test_N25_paths_work_in_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["plain.zip", "sp ace.zip", "100%.zip", "%41.zip", "\u732b.zip", "a?b#c.zip", "file:x.zip"]
    monkeypatch.chdir(tmp_path)
    for name in names:
        write_zip(tmp_path / name, numbered(3))
        for form in (name, tmp_path / name, str(tmp_path / name), f"./{name}"):
            with load_dataset(form) as dataset:
                assert len(dataset) == 3
                assert sum(1 for _ in dataset) == 3
                assert (dataset.stats().requests, dataset.stats().retries) == (0, 0)


@pytest.mark.parametrize(
    "address", ["file://{}", "FILE://{}", "file://localhost{}", "https://user:canary@host{}?sig=canary", "s3:/{}"]
)
def test_N25_addresses_are_refused_as_documented(tmp_path: Path, address: str) -> None:
    path = write_zip(tmp_path / "c.zip", numbered(3))
    with pytest.raises(ValueError, match="not an address") as caught:
        load_dataset(address.format(path))
    assert "canary" not in str(caught.value)
    assert "address" in str(load_dataset.__doc__)


def test_N25_a_catalogue_s_file_address_is_refused(server: FaultyServer, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "c.zip", numbered(3))
    rig = Rig(server, url=path.as_uri())
    with pytest.raises(NetworkError) as caught:
        rig.fetch()
    assert (caught.value.code, caught.value.chunk_id) == ("bad_url", "c0")
    rig.close()


def test_N25_the_command_line_says_so_too(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "c.zip", numbered(3))
    command = ["-c", "import pixcrawler.cli; pixcrawler.cli.main()", "info", path.as_uri()]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "not an address" in done.stderr
    assert "Traceback" not in done.stderr


def test_N25_random_bytes_are_not_an_address() -> None:
    chance = random.Random(25)
    for _ in range(200):
        text = "".join(chance.choice("ab:/.%") for _ in range(8))
        try:
            pixcrawler.sources.local.is_local(text)
        except ValueError:
            assert "://" in text
