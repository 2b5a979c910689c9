"""B19, B20: answers of the API that are huge, or grow huge, or mean two things."""

from __future__ import annotations

import contextlib
import functools
import json
import socketserver
import threading
import zlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from faulty_server import Fault, FaultyServer
from pixcrawler._retry import Clock
from pixcrawler.client import PixCrawlerClient
from pixcrawler.exceptions import PixCrawlerError, ProtocolError
from pixcrawler.limits import Limits
from pixcrawler.sources.api import ApiSource
from support import run_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NO_WAIT = Clock(sleep=lambda _seconds, _cancelled: None)
JOB = "/api/v1/jobs/j"
MIB = 1 << 20

# Prints by how much the peak memory rose, and the codes of what the jobs' requests end in.
CHILD = """
    import resource, sys
    from pathlib import Path
    from pixcrawler.client import PixCrawlerClient
    from pixcrawler.exceptions import PixCrawlerError
    from pixcrawler.limits import Limits
    from pixcrawler._retry import Clock

    def status(field):
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) << 10

    url, json_bytes, room = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    clock = Clock(sleep=lambda _seconds, _cancelled: None)
    with PixCrawlerClient("key", url, limits=Limits(json_bytes=json_bytes), clock=clock) as client:
        try:
            client.get_job("small")
        except PixCrawlerError:
            pass
        top = status("VmSize:") + room
        resource.setrlimit(resource.RLIMIT_AS, (top, top))
        before, codes = status("VmHWM:"), []
        for job_id in sys.argv[4:]:
            try:
                client.get_job(job_id)
                codes.append("fine")
            except PixCrawlerError as error:
                codes.append(error.code)
                assert str(error).isprintable() and len(str(error)) < 1000, error
    print(status("VmHWM:") - before, *codes)
"""


def read_in_child(url: str, *jobs: str, json_bytes: int = Limits().json_bytes, room_bytes: int) -> list[str]:
    """The codes of what reading the jobs ends in, with so much memory to be had."""
    growth_bytes, *codes = run_child(CHILD, url, json_bytes, room_bytes, *jobs).split()
    assert int(growth_bytes) <= room_bytes
    return codes


@contextlib.contextmanager
def endless(head: bytes, block: bytes) -> Iterator[str]:
    """A server that sends a head and then blocks until nobody listens; its address."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            with contextlib.suppress(OSError):
                self.wfile.write(head + b"\r\n\r\n")
                while True:
                    self.wfile.write(block)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def client_of(server: FaultyServer, **limits: int) -> PixCrawlerClient:
    return PixCrawlerClient("key", server.url, clock=NO_WAIT, limits=Limits(**limits))


def refusal(read: Callable[[], object]) -> PixCrawlerError:
    with pytest.raises(PixCrawlerError) as caught:
        read()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
    return caught.value


@pytest.mark.parametrize("head", [b"Content-Length: 1000000000", b"Connection: close"], ids=["length", "no-length"])
def test_B19_a_gigabyte(head: bytes) -> None:
    with endless(b"HTTP/1.1 200 OK\r\n" + head, b'{"id": "' + b"x" * 100_000) as url:
        assert read_in_child(url, "j", room_bytes=4 * 64 * MIB) == ["answer_too_large"]


# The most that a text within the limit can take: each value 16 bytes of text, most of them strings of wide characters.
WIDE = ("[" + ",".join(['"\U0001f600"        '] * 500_000) + "]").encode()
TEXTS = {
    "empty-lists": b"[" + b"[]," * 2_000_000 + b"[]]",
    "empty-objects": b"[" + b"{}," * 2_000_000 + b"{}]",
    "nested-lists": b"[" + b"[[[[[[]]]]]]," * 600_000 + b"[]]",
    "numbers": b"[" + b"1.5," * 1_900_000 + b"1]",
    "strings": b"[" + b'"ab",' * 1_500_000 + b'""]',
    "names": b"{" + b",".join(b'"%x":[]' % i for i in range(600_000)) + b"}",
    "wide-strings": WIDE,
}


@pytest.mark.parametrize("kind", TEXTS)
def test_B19_texts_that_take_far_more_than_their_length(server: FaultyServer, kind: str) -> None:
    assert len(TEXTS[kind]) <= 8 * MIB
    server.files[JOB] = TEXTS[kind]
    codes = read_in_child(server.url, "j", json_bytes=8 * MIB, room_bytes=16 * 8 * MIB)
    assert codes == ["protocol" if kind == "wide-strings" else "answer_too_large"]


def test_B19_the_limit_is_named(server: FaultyServer) -> None:
    server.files[JOB] = b'{"tags": [' + b'"", ' * 100 + b'""]}'
    with client_of(server, json_bytes=1000) as client:
        error = refusal(lambda: client.get_job("j"))
    assert error.code == "answer_too_large"
    assert "102 JSON values, at most 62 are allowed (Limits.json_bytes / 16)" in str(error)
    with client_of(server, json_bytes=10_000) as client:
        assert len(client.get_job("j").tags) == 101


def test_B19_an_answer_beyond_the_limit(server: FaultyServer) -> None:
    server.files[JOB] = b" " * 999 + b"{}"
    with client_of(server, json_bytes=1000) as client:
        error = refusal(lambda: client.get_job("j"))
    assert error.code == "answer_too_large"
    assert "more than 1000 bytes (Limits.json_bytes)" in str(error)
    with client_of(server, json_bytes=1001) as client:
        assert client.get_job("j").id == "j"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b'{"labels": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deep"),
        (b'{"id": "a", "id": "b"}', "a name twice"),
        (b'{"chunks": [{"id": "a", "url": "u", "url": "canary"}]}', "a name twice"),
        (b'{"x": NaN}', "the number NaN"),
        (b'{"x": [-Infinity]}', "the number -Infinity"),
        (b'{"progress": Infinity}', "the number Infinity"),
        (b'{"x": 1e400}', "beyond the range of a float"),
        (b'{"x": -1.5e309}', "beyond the range of a float"),
        (b'{"num_images": ' + b"9" * 100_000 + b"}", "too long"),
        (b"", "at character 0"),
        (b"{} {}", "at character 3"),
        (b"<html>please log in</html>", "at character 0"),
        (b"\x80\x81", "UTF-8"),
        (b"\xff\xfe", "not a JSON document"),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_B19_texts_that_are_not_strict_json(server: FaultyServer, text: bytes, problem: str) -> None:
    server.files[JOB] = text
    with client_of(server) as client:
        error = refusal(lambda: client.get_job("j"))
    assert (type(error), error.code) == (ProtocolError, "protocol")
    assert problem in str(error)
    assert len(server.seen) == 1, "not asked again"


@pytest.mark.parametrize(
    ("field", "value"),
    [("num_chunks", 10**30), ("num_images", 1e300), ("size_bytes", -1), ("version", True), ("image_size", [10**20, 1])],
)
def test_B19_numbers_that_are_no_counts(server: FaultyServer, field: str, value: Any) -> None:
    server.documents[JOB] = {field: value}
    with client_of(server) as client:
        error = refusal(lambda: client.get_job("j"))
    assert error.code == "protocol"
    assert f"job.{field}" in str(error)


@pytest.mark.parametrize("claimed", [10**9, 0, 2])
def test_B19_another_number_of_chunks_than_claimed(server: FaultyServer, claimed: int) -> None:
    server.documents[JOB] = {"num_chunks": claimed, "chunks": [{"id": "c", "url": "/c.zip"}]}
    with client_of(server) as client:
        error = refusal(lambda: ApiSource(client, "j"))
        assert error.code == "protocol"
        assert f"the job has {claimed} chunks, the list of them 1" in str(error)
        server.documents[JOB]["num_chunks"] = 1
        assert ApiSource(client, "j").info.num_chunks == 1


def test_B19_a_billion_chunks_in_pages(server: FaultyServer) -> None:
    server.documents[JOB] = {}
    server.documents[f"{JOB}/chunks"] = {"items": [{"id": "c", "url": "u"}], "total": 10**9}
    with client_of(server) as client:
        error = refusal(lambda: list(client.iter_chunks("j")))
    assert error.code == "protocol"
    assert "1000000000 items, at most 1000000 are read" in str(error)
    assert len(server.seen) == 2


def test_B19_pages_without_end(server: FaultyServer) -> None:
    def page(query: dict[str, list[str]]) -> dict[str, Any]:
        first = int(query["page"][0]) * 100
        return {"items": [{"id": f"c{first + i}", "url": "u" * 500} for i in range(100)]}

    server.documents[JOB] = {}
    server.documents[f"{JOB}/chunks"] = page
    size_bytes = len(json.dumps(page({"page": ["1"]})))
    with client_of(server, json_bytes=2 * size_bytes) as client:
        error = refusal(lambda: list(client.iter_chunks("j")))
    assert error.code == "answer_too_large"
    assert "Limits.json_bytes" in str(error)
    # The job, and pages of four times the limit.
    assert 8 <= len(server.seen) <= 10


@functools.cache
def gzip_bomb(layers: int) -> bytes:
    """128 MiB of spaces, compressed so many times."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = b"".join(compressor.compress(b" " * MIB) for _ in range(128)) + compressor.flush()
    for _ in range(layers - 1):
        compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
        data = compressor.compress(data) + compressor.flush()
    return data


CODINGS = {"gzip": 1, "gzip, gzip": 2, ", ".join(["gzip"] * 100): 3, "br": 1, "deflate, GZIP": 1, "x-unknown": 1}


@pytest.mark.parametrize("place", ["catalogue", "error", "server-error", "redirect"])
def test_B20_encoded_bodies(server: FaultyServer, place: str) -> None:
    status = {"catalogue": 200, "error": 404, "server-error": 500, "redirect": 302}[place]
    for number, (coding, layers) in enumerate(CODINGS.items()):
        headers = {"Content-Encoding": coding, **({"Location": "/b"} if place == "redirect" else {})}
        server.always[f"/api/v1/jobs/{number}"] = Fault(status=status, headers=headers, body=gzip_bomb(layers))
    server.documents["/b"] = {"id": "j"}
    codes = read_in_child(server.url, *map(str, range(len(CODINGS))), room_bytes=32 * MIB)
    assert set(codes) == {{200: "protocol", 404: "not_found", 500: "server_error", 302: "fine"}[status]}
    assert server.seen[-1].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("coding", ["gzip", ", ".join(["gzip"] * 100)], ids=["gzip", "gzip x100"])
def test_B20_httpx_decodes_nothing_either(server: FaultyServer, coding: str) -> None:
    bomb = gzip_bomb(1)
    with (
        httpx.Client() as http,
        PixCrawlerClient("key", server.url, http_client=http, clock=NO_WAIT) as client,
    ):
        for status, code in ((200, "protocol"), (404, "not_found")):
            server.always[JOB] = Fault(status=status, headers={"Content-Encoding": coding}, body=bomb)
            error = refusal(lambda: client.get_job("j"))
            assert error.code == code
            assert "Content-Encoding" in str(error) or "\\x" not in str(error), "an encoded body is not shown"


def test_B20_encoded_chunks(server: FaultyServer) -> None:
    server.files["/c.zip"] = gzip_bomb(1)
    server.documents[JOB] = {"chunks": [{"id": "c", "url": f"{server.url}/c.zip"}]}
    server.always["/c.zip"] = Fault(headers={"Content-Encoding": "gzip"})
    with client_of(server) as client:
        source = ApiSource(client, "j")
        reads: Sequence[Callable[[], object]] = (
            lambda: source.open(source.chunks[0]),
            lambda: source.open_whole(source.chunks[0]),
            lambda: source.read(source.chunks[0], 0, 10),
        )
        for read in reads:
            assert "Content-Encoding gzip, which was not asked for" in str(refusal(read))


@pytest.mark.parametrize("status", [302, 404, 500, 200])
def test_B20_bodies_without_end(status: int) -> None:
    """Of an error a little is read, of a redirect nothing."""
    head = b"HTTP/1.1 %d X\r\nContent-Encoding: gzip\r\nLocation: /b\r\nContent-Length: 99999999999" % status
    with endless(head, gzip_bomb(1)) as url:
        codes = read_in_child(url, "j", room_bytes=32 * MIB)
    assert codes == [{302: "redirect", 404: "not_found", 500: "server_error", 200: "protocol"}[status]]
