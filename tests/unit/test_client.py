"""The client without sockets: what it asks for, and what it makes of answers."""

from __future__ import annotations

import json
import pickle
import stat
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pixcrawler import _credentials
from pixcrawler._retry import Clock
from pixcrawler.client import PixCrawlerClient
from pixcrawler.exceptions import (
    AuthenticationError,
    JobNotCompleteError,
    NetworkError,
    NotFoundError,
    PixCrawlerError,
    ProtocolError,
    RateLimitError,
)
from pixcrawler.records import JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = "canary-key-0123456789"
URL = "http://127.0.0.1:9"


class Server:
    """An API of canned answers behind httpx's mock transport, and the waits of its client."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []

        def handle(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return answer(request)

        self._http = httpx.Client(transport=httpx.MockTransport(handle))
        self._clock = Clock(chance=lambda: 0.5, sleep=lambda seconds, _cancelled: self.waits.append(seconds))

    def client(self, **options: Any) -> PixCrawlerClient:
        return PixCrawlerClient(KEY, URL, http_client=self._http, clock=self._clock, **options)


def answering(*answers: httpx.Response) -> Server:
    """The answers in turn; the last one for ever."""
    left = list(answers)
    return Server(lambda _request: left.pop(0) if len(left) > 1 else left[0])


def paged(items: list[dict[str, Any]], *, most: int = 1000) -> Server:
    def answer(request: httpx.Request) -> httpx.Response:
        page, size = int(request.url.params["page"]), min(most, int(request.url.params["size"]))
        part = items[(page - 1) * size : page * size]
        return httpx.Response(200, json={"items": part, "total": len(items), "page": page, "size": size})

    return Server(answer)


def test_list_jobs_sends_filters_and_key_and_sorts_newest_first() -> None:
    server = paged(
        [
            {"id": "old", "created_at": "2025-01-01T00:00:00Z"},
            {"id": "none"},
            {"id": "new", "created_at": "2026-01-01T00:00:00Z"},
        ]
    )
    jobs = server.client().list_jobs(project_id="p&1", status="completed", tag="x")
    assert [job.id for job in jobs] == ["new", "old", "none"]
    (request,) = server.requests
    assert request.url.path == "/api/v1/jobs"
    assert {**request.url.params} == {
        "project_id": "p&1",
        "status": "completed",
        "tag": "x",
        "page": "1",
        "size": "200",
    }
    assert request.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("status", list(JobStatus)[:-1])
def test_list_jobs_takes_a_status_or_its_text(status: JobStatus) -> None:
    for given in (status, status.value):
        server = paged([])
        server.client().list_jobs(status=given)
        assert server.requests[0].url.params["status"] == status.value


@pytest.mark.parametrize("status", ["done", "", "COMPLETED", "unknown", JobStatus.UNKNOWN])
def test_a_wrong_status_is_told_before_anything_is_asked_for(status: str) -> None:
    server = paged([])
    with pytest.raises(ValueError, match="status must be one of pending, running, completed, failed, cancelled, not '"):
        server.client().list_jobs(status=status)
    assert server.requests == []


def test_the_newest_completed_job_of_a_project_is_the_first() -> None:
    items = [{"id": f"j{i}", "status": "completed", "created_at": f"2026-01-{i + 1:02}T00:00:00Z"} for i in range(9)]
    server = paged(items, most=4)
    jobs = server.client().list_jobs(project_id="p", status="completed")
    assert [job.id for job in jobs] == [f"j{i}" for i in range(8, -1, -1)]
    assert {request.url.params["project_id"] for request in server.requests} == {"p"}
    done = {"j8", "j6"}
    assert next(job.id for job in jobs if job.id not in done) == "j7"


def test_check_access_is_one_request_for_one_item() -> None:
    server = paged([{"id": "j"}, {"id": "k"}])
    server.client().check_access()
    (request,) = server.requests
    assert {**request.url.params} == {"page": "1", "size": "1"}


def test_list_jobs_reads_all_pages_even_if_shorter_than_asked() -> None:
    server = paged([{"id": f"j{i}"} for i in range(45)], most=20)
    assert len(server.client().list_jobs()) == 45
    assert len(server.requests) == 3


def test_a_list_without_a_total_ends_at_an_empty_page() -> None:
    server = answering(httpx.Response(200, json={"items": [{"id": "a"}]}), httpx.Response(200, json={"items": []}))
    assert [job.id for job in server.client().list_jobs()] == ["a"]


def test_get_job_quotes_the_id() -> None:
    server = answering(httpx.Response(200, json={}))
    assert server.client().get_job("a/../b?c").id == "a/../b?c"
    assert server.requests[0].url.raw_path == b"/api/v1/jobs/a%2F..%2Fb%3Fc"


@pytest.mark.parametrize("job_id", ["", ".", ".."])
def test_impossible_job_ids(job_id: str) -> None:
    with pytest.raises(ValueError, match="job_id"):
        answering(httpx.Response(200, json={})).client().get_job(job_id)


def test_embedded_chunks_cost_no_further_request_and_come_by_index() -> None:
    chunks = [{"id": "b", "index": 1, "url": "u"}, {"id": "a", "index": 0, "url": "v"}]
    server = answering(httpx.Response(200, json={"id": "j", "chunks": chunks}))
    assert [chunk.id for chunk in server.client().iter_chunks("j")] == ["a", "b"]
    assert len(server.requests) == 1


def test_chunks_that_are_not_embedded_are_paged() -> None:
    items = [{"id": f"c{i}", "url": f"/x/{i}"} for i in range(450)]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/chunks"):
            part = items[(int(request.url.params["page"]) - 1) * 200 :][:200]
            return httpx.Response(200, json={"items": part, "total": 450})
        return httpx.Response(200, json={"id": "j"})

    chunks = list(Server(answer).client().iter_chunks("j"))
    assert [chunk.index for chunk in chunks] == list(range(450))


@pytest.mark.parametrize("second", [{"id": "a", "index": 1, "url": "u"}, {"id": "b", "index": 0, "url": "u"}])
def test_ambiguous_chunks_are_refused(second: dict[str, Any]) -> None:
    server = answering(httpx.Response(200, json={"chunks": [{"id": "a", "index": 0, "url": "u"}, second]}))
    with pytest.raises(ProtocolError, match="have the same"):
        list(server.client().iter_chunks("j"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://cdn.example/c.zip?sig=1", "https://cdn.example/c.zip?sig=1"),
        ("/api/v1/chunks/c.zip", f"{URL}/api/v1/chunks/c.zip"),
        ("chunks/c.zip", f"{URL}/chunks/c.zip"),
    ],
)
def test_addresses_of_chunks(url: str, expected: str) -> None:
    client = answering(httpx.Response(200, json={"chunks": [{"id": "a", "url": url}]})).client()
    (chunk,) = client.iter_chunks("j")
    assert client.chunk_url(chunk) == expected


@pytest.mark.parametrize(
    ("status", "kind", "code", "requests"),
    [
        (400, NetworkError, "refused", 1),
        (401, AuthenticationError, "auth", 1),
        (403, AuthenticationError, "forbidden", 1),
        (404, NotFoundError, "not_found", 1),
        (408, NetworkError, "server_error", 4),
        (409, JobNotCompleteError, "job_not_complete", 1),
        (410, NotFoundError, "not_found", 1),
        (429, RateLimitError, "rate_limited", 4),
        (451, NetworkError, "refused", 1),
        (500, NetworkError, "server_error", 4),
        (503, NetworkError, "server_error", 4),
        (204, ProtocolError, "protocol", 4),
        (304, ProtocolError, "protocol", 4),
    ],
)
def test_statuses(status: int, kind: type[PixCrawlerError], code: str, requests: int) -> None:
    server = answering(
        httpx.Response(status, json={"error": {"message": "says the server"}} if status >= 400 else None)
    )
    with pytest.raises(kind) as caught:
        server.client().get_job("j")
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert f"status {status}" in str(caught.value)
    assert ("says the server" in str(caught.value)) == (status >= 400)
    assert len(server.requests) == requests


def test_a_conflict_tells_the_progress() -> None:
    body = {"error": {"message": "still running", "status": "running", "progress": 40}}
    with pytest.raises(JobNotCompleteError) as caught:
        answering(httpx.Response(409, json=body)).client().get_job("j")
    assert (caught.value.status, caught.value.progress) == ("running", 40.0)


def test_waits_as_told_then_succeeds() -> None:
    server = answering(
        httpx.Response(429, headers={"Retry-After": "7"}),
        httpx.Response(503, headers={"Retry-After": "junk"}),
        httpx.Response(200, json={"id": "j"}),
    )
    assert server.client().get_job("j").id == "j"
    assert server.waits == [7.0, 0.5]


@pytest.mark.parametrize("body", [b"<html>please log in</html>", b"", b"\xff\xfe", b"[" * 200_000])
def test_what_is_not_json(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        answering(httpx.Response(200, content=body)).client().get_job("j")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_without_a_key_none_is_sent_and_a_401_says_so() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(401)

    http = httpx.Client(transport=httpx.MockTransport(answer))
    with pytest.raises(AuthenticationError, match="no key was given"):
        PixCrawlerClient(base_url=URL, http_client=http).get_job("j")
    assert "authorization" not in requests[0].headers


def test_an_injected_client_is_not_closed() -> None:
    http = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json={})))
    with PixCrawlerClient(KEY, URL, http_client=http) as client:
        client.get_job("j")
    assert not http.is_closed
    with pytest.raises(RuntimeError, match="closed"):
        client.get_job("j")


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_impossible_timeouts(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        PixCrawlerClient(KEY, URL, timeout)


@pytest.mark.parametrize("key", ["a\nb", "a b", "\u00e9", "a\x7f"])
def test_impossible_keys_are_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="api_key must be") as caught:
        PixCrawlerClient(key, URL)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["ftp://h", "h", "http://", "https://u:canary@h", "https://h?x=canary", "http://h:port"]
)
def test_impossible_base_urls(url: str) -> None:
    with pytest.raises(ValueError, match="base_url") as caught:
        PixCrawlerClient(KEY, url)
    assert "canary" not in str(caught.value)


def login(key: object, url: object, mode: int = 0o600) -> Path:
    path = _credentials.credentials_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"api_key": key, "base_url": url}))
    path.chmod(mode)
    return path


@pytest.fixture
def empty_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("PIXCRAWLER_API_KEY", raising=False)
    monkeypatch.delenv("PIXCRAWLER_BASE_URL", raising=False)


@pytest.mark.usefixtures("empty_home")
class TestCredentials:
    """Where key and address come from."""

    def test_nothing_anywhere(self) -> None:
        found = _credentials.resolve(None, None)
        assert (found.api_key, found.base_url) == (None, "https://api.pixcrawler.com")

    def test_argument_then_environment_then_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        login("from-file", "https://file.example/")
        assert _credentials.resolve(None, None).api_key == "from-file"
        assert _credentials.resolve(None, None).base_url == "https://file.example"
        monkeypatch.setenv("PIXCRAWLER_API_KEY", "from-env")
        monkeypatch.setenv("PIXCRAWLER_BASE_URL", "https://env.example")
        assert _credentials.resolve(None, None).api_key == "from-env"
        assert _credentials.resolve(None, None).origin == ("https", "env.example", 443)
        assert _credentials.resolve("given", "http://given.example:81/pix/").api_key == "given"
        assert _credentials.resolve("given", "http://given.example:81/pix/").base_url == "http://given.example:81/pix"

    def test_the_file_s_key_goes_to_its_own_origin_only(self) -> None:
        login("from-file", "https://file.example")
        assert _credentials.resolve(None, "https://other.example").api_key is None
        assert _credentials.resolve(None, "http://file.example").api_key is None
        assert _credentials.resolve(None, "https://FILE.example:443/x").api_key == "from-file"

    def test_a_file_that_others_can_read_warns(self) -> None:
        path = login("from-file", None, 0o644)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        with pytest.warns(UserWarning, match="chmod 600"):
            assert _credentials.resolve(None, None).api_key == "from-file"

    @pytest.mark.parametrize("content", ["", "[]", '{"api_key": 5}', "\x00"])
    def test_a_broken_file_is_named(self, content: str) -> None:
        login(None, None).write_text(content)
        with pytest.raises(AuthenticationError, match="login") as caught:
            _credentials.resolve(None, None)
        assert caught.value.code == "login_file"

    def test_a_pickle_drops_the_key_and_takes_it_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        client = PixCrawlerClient(KEY, URL, 7.0)
        data = pickle.dumps(client)
        assert KEY.encode() not in data
        monkeypatch.setenv("PIXCRAWLER_API_KEY", "from-env")
        twin = pickle.loads(data)
        assert twin.base_url == URL
        assert twin._credentials.api_key == "from-env"
        assert twin._timeout_s == 7.0


def test_a_client_with_a_client_of_the_callers_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="http_client"):
        pickle.dumps(answering(httpx.Response(200)).client())
