"""R01-R06: where a request may lead, and what it takes along."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import _network
from pixcrawler._retry import Clock
from pixcrawler.client import PixCrawlerClient
from pixcrawler.exceptions import NetworkError
from pixcrawler.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from certificates import Authority
    from faulty_server import Seen

KEY = "canary-key-0123456789"
NO_WAIT = Clock(sleep=lambda _seconds, _cancelled: None)
SECRET_HEADERS = {"authorization", "cookie", "proxy-authorization", "x-api-key", "referer"}


def connect(url: str, **options: Any) -> PixCrawlerClient:
    return PixCrawlerClient(KEY, url, clock=NO_WAIT, **options)


@contextlib.contextmanager
def injected(url: str) -> Iterator[PixCrawlerClient]:
    """A client over one of the caller's, which has credentials of its own."""
    headers = {"Authorization": "Bearer canary", "Proxy-Authorization": "Basic canary", "X-Api-Key": "canary"}
    with (
        httpx.Client(headers=headers, cookies={"session": "canary"}, auth=("canary", "canary")) as http,
        connect(url, http_client=http) as client,
    ):
        yield client


def refusal_of(client: PixCrawlerClient) -> NetworkError:
    with pytest.raises(NetworkError) as caught:
        client.get_job("j")
    return caught.value


def assert_bare(seen: Seen) -> None:
    assert not SECRET_HEADERS & set(seen.headers)
    assert "canary" not in str(seen)


def resolve_as(monkeypatch: pytest.MonkeyPatch, names: Mapping[str, str]) -> None:
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        return real(names.get(host, host), port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.fixture
def elsewhere(
    request: pytest.FixtureRequest, server: FaultyServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, FaultyServer]]:
    """Another origin than that of the API at api.example, in one respect each: its address and its server."""
    resolve_as(monkeypatch, dict.fromkeys(("api.example", "sub.api.example", "api.example.com"), "127.0.0.1"))
    if request.param in {"sub.api.example", "api.example.com", "127.0.0.1"}:
        yield f"http://{request.param}:{server.port}", server
    elif request.param == "port":
        with FaultyServer() as running:
            yield f"http://api.example:{running.port}", running
    elif request.param == "address":
        with FaultyServer(address=("127.0.0.2", server.port)) as running:
            yield running.url, running
    else:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        with FaultyServer(context=authority.issue("api", hosts="DNS:api.example")) as running:
            yield f"https://api.example:{running.port}", running


@pytest.mark.parametrize("make", [connect, injected], ids=["own", "injected"])
@pytest.mark.parametrize(
    "elsewhere", ["port", "address", "127.0.0.1", "sub.api.example", "api.example.com", "scheme"], indirect=True
)
def test_R01_nothing_secret_crosses_an_origin(
    make: Any, elsewhere: tuple[str, FaultyServer], server: FaultyServer
) -> None:
    url, target = elsewhere
    server.always["/api/v1/jobs/j"] = Fault(redirect=f"{url}/b", headers={"Set-Cookie": "own=canary; Path=/"})
    target.documents["/b"] = {"name": "found"}
    with make(f"http://api.example:{server.port}") as client:
        assert client.get_job("j").name == "found"
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert target.seen[-1].target == "/b"
    assert_bare(target.seen[-1])


def test_R01_the_key_goes_to_the_api_s_own_origin_only(server: FaultyServer, other: FaultyServer) -> None:
    serve_job(server, "j", {"own": b"0123456789"})
    other.files["/far.zip"] = b"0123456789"
    server.documents["/api/v1/jobs/j"]["chunks"].append({"id": "far", "index": 1, "url": f"{other.url}/far.zip"})
    with connect(server.url) as client:
        own, far = client.iter_chunks("j")
        downloader = client.downloader("j")
        for chunk in (own, far):
            assert downloader.fetch_range(chunk, 2, 5).tobytes(0, 3) == b"234"
    assert [seen.headers.get("authorization") for seen in server.seen] == [f"Bearer {KEY}"] * 2
    assert_bare(other.seen[0])


def test_R01_a_chunk_s_redirect_keeps_the_range(server: FaultyServer, other: FaultyServer) -> None:
    serve_job(server, "j", {"c": b"0123456789"})
    other.files["/elsewhere"] = b"0123456789"
    server.always["/data/c.zip"] = Fault(redirect=f"{other.url}/elsewhere", headers={"Set-Cookie": "canary=1; Path=/"})
    with connect(server.url) as client:
        (chunk,) = client.iter_chunks("j")
        assert client.downloader("j").fetch_range(chunk, 2, 5).tobytes(0, 3) == b"234"
    assert other.seen[0].headers["range"] == "bytes=2-4"
    assert_bare(other.seen[0])


def test_R01_a_user_name_in_an_address_stays_with_it(server: FaultyServer, other: FaultyServer) -> None:
    server.always["/api/v1/jobs/j"] = Fault(redirect=f"http://me:canary@127.0.0.1:{server.port}/b")
    server.always["/b"] = Fault(redirect=f"//127.0.0.1:{other.port}/c")
    other.documents["/c"] = {"name": "found"}
    with connect(server.url) as client:
        assert client.get_job("j").name == "found"
    assert server.seen[1].headers["authorization"].startswith("Basic ")
    assert_bare(other.seen[0])


@pytest.mark.parametrize("port", ["same", "other"])
def test_R02_from_https_to_http(authority: Authority, monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    with FaultyServer(context=authority.issue("api")) as secure, FaultyServer() as clear:
        target = secure if port == "same" else clear
        secure.always["/api/v1/jobs/j"] = Fault(redirect=f"http://127.0.0.1:{target.port}/b")
        with connect(secure.url) as client:
            error = refusal_of(client)
        assert (error.code, error.retryable) == ("redirect", False)
        assert "from https to http" in str(error)
        assert len(secure.seen) == 1
        assert clear.seen == []


@pytest.mark.parametrize("make", [connect, injected], ids=["own", "injected"])
def test_R03_a_chain_that_comes_back(make: Any, server: FaultyServer, other: FaultyServer) -> None:
    server.always["/api/v1/jobs/j"] = Fault(redirect=f"{other.url}/b")
    other.always["/b"] = Fault(redirect=f"{server.url}/c")
    server.documents["/c"] = {"name": "found"}
    with make(server.url) as client:
        assert client.get_job("j").name == "found"
    assert server.seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert_bare(other.seen[0])
    assert_bare(server.seen[1])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["../moved", "/api/v1/moved", "//{host}/api/v1/moved", "?moved", "#top"])
def test_R04_redirects_within_the_origin(server: FaultyServer, status: int, location: str) -> None:
    location = location.format(host=server.url.removeprefix("http://"))
    server.fail("/api/v1/jobs/j", Fault(status=status, headers={"Location": location}))
    server.documents["/api/v1/moved"] = server.documents["/api/v1/jobs/j"] = {"name": "moved"}
    with connect(server.url) as client:
        assert client.get_job("j").name == "moved"
    assert [seen.headers["authorization"] for seen in server.seen] == [f"Bearer {KEY}"] * 2


@pytest.mark.parametrize(
    ("location", "codes"),
    [
        (None, {"redirect"}),
        ("", {"redirect"}),
        ("http://[x", {"redirect"}),
        ("http://", {"redirect"}),
        ("http://h:99999/", {"redirect"}),
        ("http:///x", {"redirect"}),
        # A name in another alphabet, of which there is none.
        ("http://\xff\xfe.invalid/", {"connection"}),
        ("http://1.2.3.4.5.6.7.8:0x50/", {"redirect"}),
        ("/" + "x" * 9000, {"redirect"}),
        # More than any head may have.
        ("/" + "x" * (1 << 20), {"connection", "protocol"}),
    ],
    ids=["missing", "empty", "bracket", "no-host", "port", "no-host-path", "latin-1", "hex-port", "9kB", "1MB"],
)
def test_R04_redirects_that_lead_nowhere(server: FaultyServer, location: str | None, codes: set[str]) -> None:
    server.always["/api/v1/jobs/j"] = Fault(status=302, headers={} if location is None else {"Location": location})
    with connect(server.url) as client:
        error = refusal_of(client)
    assert error.code in codes
    assert str(error).isprintable()
    assert len(str(error)) < 1000
    assert {seen.target for seen in server.seen} == {"/api/v1/jobs/j"}
    assert error.code != "redirect" or len(server.seen) == 1


def test_R04_a_host_name_that_cannot_be(server: FaultyServer) -> None:
    server.always["/api/v1/jobs/j"] = Fault(redirect=f"http://{'x' * 300}.example/")
    with connect(server.url) as client:
        assert refusal_of(client).code == "connection"


@pytest.mark.parametrize(("allowed", "requests"), [(5, 6), (0, 1)])
def test_R04_a_loop(server: FaultyServer, allowed: int, requests: int) -> None:
    server.always["/api/v1/jobs/j"] = Fault(redirect="/api/v1/jobs/j")
    with connect(server.url, limits=Limits(redirects=allowed)) as client:
        error = refusal_of(client)
    assert error.code == "redirect"
    assert f"more than {allowed} redirects" in str(error)
    assert len(server.seen) == requests


@pytest.mark.parametrize("hops", [5, 6])
def test_R04_five_hops_but_not_six(server: FaultyServer, hops: int) -> None:
    server.always["/api/v1/jobs/j"] = Fault(redirect="/hop/1")
    server.always.update({f"/hop/{i}": Fault(redirect=f"/hop/{i + 1}") for i in range(1, hops)})
    server.documents[f"/hop/{hops}"] = {"name": "arrived"}
    with connect(server.url) as client:
        if hops == 5:
            assert client.get_job("j").name == "arrived"
        else:
            assert refusal_of(client).code == "redirect"
    assert len(server.seen) == 6


@pytest.mark.parametrize("status", [300, 305, 306])
def test_R04_statuses_that_are_not_followed(server: FaultyServer, status: int) -> None:
    server.always["/api/v1/jobs/j"] = Fault(status=status, headers={"Location": "/b"}, body=b"")
    with connect(server.url) as client:
        assert refusal_of(client).code == "protocol"
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1/x",
        "data:application/json,{}",
        "unix:///run/api.sock",
        "http+unix://%2Frun%2Fapi.sock/x",
        "javascript:0",
        "ws://127.0.0.1/",
    ],
)
@pytest.mark.parametrize("place", ["redirect", "catalogue"])
def test_R05_other_schemes(server: FaultyServer, location: str, place: str) -> None:
    with connect(server.url) as client:
        if place == "redirect":
            server.always["/api/v1/jobs/j"] = Fault(redirect=location)
            error = refusal_of(client)
        else:
            server.documents["/api/v1/jobs/j"] = {"chunks": [{"id": "c", "url": location}]}
            (chunk,) = client.iter_chunks("j")
            with pytest.raises(NetworkError) as caught:
                client.downloader("j").fetch_range(chunk, 0, 5)
            error = caught.value
        assert error.code == {"redirect": "redirect", "catalogue": "bad_url"}[place]
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("172.31.255.255", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fc00::1", False),
        ("fdff::1", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("::127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
    ],
)
def test_R06_public_addresses(address: str, public: bool) -> None:
    assert _network.is_public(address) is public


class Public:
    """An API whose address counts as public, and a private server at the other port of 127.0.0.1.

    Attributes:
        api: At http://api.example.
        private: Must not be asked.
        connected: All addresses that were connected to.
    """

    def __init__(self, api: FaultyServer, private: FaultyServer) -> None:
        self.api = api
        self.private = private
        self.connected: list[str] = []

    def client(self, **options: Any) -> PixCrawlerClient:
        return connect(f"http://api.example:{self.api.port}", **options)


@pytest.fixture
def public(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Public]:
    real_public, real_connect = _network.is_public, _network._Socket.connect
    monkeypatch.setattr(_network, "is_public", lambda address: address == "127.0.0.2" or real_public(address))
    resolve_as(monkeypatch, {"api.example": "127.0.0.2", "inside.example": "127.0.0.1"})
    with FaultyServer(address=("127.0.0.2", 0)) as api:
        found = Public(api, server)

        def note(address: str, *args: Any) -> Any:
            found.connected.append(address)
            return real_connect(address, *args)

        monkeypatch.setattr(_network._Socket, "connect", note)
        yield found


REACHABLE = ["127.0.0.1", "localhost", "inside.example", "2130706433", "0x7f000001", "127.1", "0.0.0.0"]
SPELLINGS = [
    *REACHABLE,
    "0177.0.0.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "169.254.169.254",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "[fc00::1]",
    "[fe80::1]",
]


@pytest.mark.parametrize("host", SPELLINGS)
@pytest.mark.parametrize("place", ["redirect", "catalogue"])
def test_R06_a_public_api_leads_to_no_private_address(public: Public, place: str, host: str) -> None:
    url = f"http://{host}:{public.private.port}/x?sig=canary"
    if place == "redirect":
        public.api.always["/data/c.zip"] = Fault(redirect=url)
        url = "/data/c.zip"
    public.api.documents["/api/v1/jobs/j"] = {"chunks": [{"id": "c", "url": url}]}
    with public.client() as client:
        (chunk,) = client.iter_chunks("j")
        with pytest.raises(NetworkError) as caught:
            client.downloader("j").fetch_range(chunk, 0, 5)
    # An octal number in four parts is no address to httpx.
    malformed = {"redirect": "redirect", "catalogue": "bad_url"}[place]
    assert caught.value.code == (malformed if host == "0177.0.0.1" else "private_host")
    assert caught.value.chunk_id == "c"
    assert "canary" not in str(caught.value)
    if caught.value.code == "private_host":
        assert "allow_private_hosts=True" in str(caught.value)
    assert set(public.connected) == {"127.0.0.2"}
    assert public.private.seen == []


@pytest.mark.parametrize("host", REACHABLE)
def test_R06_the_switch(public: Public, host: str) -> None:
    public.private.files["/x"] = b"0123456789"
    public.api.documents["/api/v1/jobs/j"] = {"chunks": [{"id": "c", "url": f"http://{host}:{public.private.port}/x"}]}
    with public.client(allow_private_hosts=True) as client:
        (chunk,) = client.iter_chunks("j")
        assert client.downloader("j").fetch_range(chunk, 2, 5).tobytes(0, 3) == b"234"
    assert_bare(public.private.seen[0])


@pytest.mark.parametrize("host", ["api.example", "data.example"])
def test_R06_a_name_that_resolves_anew(public: Public, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Whatever a name resolves to later: what was checked is what is connected to."""
    asked: list[str] = []
    private = False
    before = socket.getaddrinfo

    def resolve(name: str, port: int, *args: Any, **kwargs: Any) -> Any:
        asked.append(name)
        if name == host:
            name = "127.0.0.1" if private else "127.0.0.2"
        return before(name, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    public.api.files["/x"] = b"0123456789"
    # Each request makes a connection of its own.
    public.api.always["/x"] = Fault(headers={"Connection": "close"})
    public.api.documents["/api/v1/jobs/j"] = {"chunks": [{"id": "c", "url": f"http://{host}:{public.api.port}/x"}]}
    with (
        FaultyServer({"/x": b"0123456789"}, address=("127.0.0.1", public.api.port)) as inside,
        public.client() as client,
    ):
        (chunk,) = client.iter_chunks("j")
        downloader = client.downloader("j")
        assert downloader.fetch_range(chunk, 2, 5).tobytes(0, 3) == b"234"
        if host == "api.example":
            # The connection that the catalogue came over.
            downloader.fetch_range(chunk, 2, 5)
        private = True
        names = asked.count(host)
        with pytest.raises(NetworkError) as caught:
            downloader.fetch_range(chunk, 2, 5)
        assert caught.value.code == "private_host"
        assert asked.count(host) == names + 1, "resolved once for a connection"
        assert inside.seen == []
    assert set(public.connected) == {"127.0.0.2"}


def test_R06_only_the_public_ones_of_many_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"api.example": ["93.184.216.34"], "mixed.example": ["127.0.0.1", "93.184.216.35", "10.0.0.1"]}
    monkeypatch.setattr(_network, "_resolve", lambda host, _port: answers.get(host, [host]))
    guard = _network.Guard("api.example", 443, allow_private_hosts=False)
    assert guard.addresses("mixed.example", 80) == ["93.184.216.35"]
    # A machine of one's own can have both kinds; what it has is no way into another network.
    mixed = _network.Guard("mixed.example", 80, allow_private_hosts=False)
    assert mixed.addresses("mixed.example", 80) == answers["mixed.example"]
    with pytest.raises(_network.PrivateAddressError):
        mixed.addresses("127.0.0.1", 80)


def test_R06_a_private_api_may_lead_anywhere() -> None:
    assert _network.Guard("127.0.0.1", 80, allow_private_hosts=False).addresses("127.0.0.2", 80) == ["127.0.0.2"]


def test_R06_an_injected_client_is_checked_before_it_resolves(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_as(monkeypatch, {"api.example": "93.184.216.34"})
    answer = {"chunks": [{"id": "c", "url": "http://127.0.0.1:9/x?sig=canary"}]}
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(200, json=answer)

    client = PixCrawlerClient(
        KEY, "http://api.example", http_client=httpx.Client(transport=httpx.MockTransport(handle))
    )
    (chunk,) = client.iter_chunks("j")
    with pytest.raises(NetworkError, match="allow_private_hosts=True") as caught:
        client.downloader("j").fetch_range(chunk, 0, 5)
    assert (caught.value.code, caught.value.chunk_id) == ("private_host", "c")
    assert asked == ["api.example"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "127.1", "[::1]", "10.0.0.1", "[fc00::1]"])
def test_R06_behind_a_proxy_literals_are_judged(
    monkeypatch: pytest.MonkeyPatch, server: FaultyServer, host: str
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    document = {
        "chunks": [{"id": "c", "url": f"http://{host}/x"}, {"id": "d", "index": 1, "url": "http://name.example/x"}]
    }
    server.documents["http://api.example/api/v1/jobs/j"] = server.documents["/api/v1/jobs/j"] = document
    server.files["/x"] = server.files["http://name.example/x"] = b"0123456789"
    with connect("http://api.example") as client:
        literal, name = client.iter_chunks("j")
        downloader = client.downloader("j")
        with pytest.raises(NetworkError) as caught:
            downloader.fetch_range(literal, 2, 5)
        assert caught.value.code == "private_host"
        assert len(server.seen) == 1
        # The proxy resolves it: what it finds is its own business.
        assert downloader.fetch_range(name, 2, 5).tobytes(0, 3) == b"234"
    with connect("http://api.example", allow_private_hosts=True) as client:
        assert client.downloader("j").fetch_range(literal, 2, 5).tobytes(0, 3) == b"234"


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "127.0.0.1:{port}", "*"])
def test_R06_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch, server: FaultyServer, no_proxy: str) -> None:
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:s%40cret@"))
    document = {"name": "through the proxy"}
    # The server takes the absolute form that proxies get for a path of its own.
    server.documents["/api/v1/jobs/j"] = server.documents["http://api.example/api/v1/jobs/j"] = document
    with connect("http://api.example") as client:
        assert client.get_job("j").name == "through the proxy"
    assert server.seen[0].target.startswith("http://api.example/")
    assert server.seen[0].headers["proxy-authorization"] == "Basic bWU6c0BjcmV0"
    monkeypatch.setenv("no_proxy", no_proxy.format(port=server.port))
    with connect(server.url) as client:
        assert client.get_job("j").name == "through the proxy"
    assert server.seen[1].target == "/api/v1/jobs/j"
    assert "proxy-authorization" not in server.seen[1].headers


@pytest.mark.parametrize(
    "proxy", ["http://me:canary@h:port", "ftp://me:canary@h:1", "http://me:canary@", "socks4://h:1"]
)
def test_R06_a_proxy_that_cannot_be(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with connect("http://api.example") as client:
        error = refusal_of(client)
    assert (error.code, error.retryable) == ("proxy", False)
    assert "canary" not in str(error)
    assert "proxy" in str(error)


def test_R06_ranges_through_a_proxy(monkeypatch: pytest.MonkeyPatch, server: FaultyServer) -> None:
    data = random.Random(4).randbytes(500_000)
    serve_job(server, "j", {"c0": data})
    monkeypatch.setenv("http_proxy", server.url)
    server.documents["/api/v1/jobs/j"]["chunks"][0]["url"] = "http://data.example/data/c0.zip"
    with connect("http://api.example") as client:
        (chunk,) = client.iter_chunks("j")
        assert client.downloader("j").fetch_range(chunk, 7, 400_000).tobytes(0, 399_993) == data[7:400_000]
    assert server.seen[-1].target == "http://data.example/data/c0.zip"
    assert_bare(server.seen[-1])
