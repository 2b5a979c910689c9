"""N01 to N13, N18 to N20: what answers may do wrong costs time and requests, never a wrong byte."""

from __future__ import annotations

import dataclasses
import io
import socket
import ssl
import subprocess
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler.client import PixCrawlerClient
from pixcrawler.downloader import RangesUnsupportedError
from pixcrawler.exceptions import (
    ArchiveError,
    DownloadError,
    IntegrityError,
    LimitError,
    NetworkError,
    PixCrawlerError,
)
from pixcrawler.limits import Limits
from pixcrawler.sources.api import ApiSource
from raw_server import CLOSE, RESET, RawServer, partial, range_of
from rig import DATA, PATH, START, STOP, Rig, content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    Answer = Callable[[bytes, int], Iterable[bytes | float | str]]

WANTED = DATA[START:STOP]
BODY_BYTES = STOP - START
PAGE = b"<html>\x1b[31m<title>Log in to \xe2\x80\xaeHotel Wi-Fi</title>" + b"x" * 5_000 + b"</html>"


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture
def rig(server: FaultyServer) -> Iterator[Rig]:
    made = Rig(server)
    yield made
    made.close()


def good(head: bytes, _number: int = 0) -> Iterable[bytes]:
    return partial(head, DATA)


def first_then_good(*steps: bytes | float | str) -> Answer:
    """A server whose first answer is these steps, and whose later ones are right."""
    return lambda head, number: steps if number == 0 else good(head)


def fetch_from(server: FaultyServer, raw: RawServer, **options: Any) -> tuple[bytes, dict[str, int]]:
    """The wanted range from a raw server, and what the downloader counted."""
    rig = Rig(server, url=f"{raw.url}/c0.zip", **options)
    try:
        return rig.fetch(), rig.downloader.stats()
    finally:
        rig.close()


# N01: the connection.


def test_N01_refused_then_listening(server: FaultyServer) -> None:
    raw = RawServer(good)
    rig = Rig(server, url=f"{raw.url}/c0.zip", on_wait=lambda: raw.listen() if len(rig.waits) == 2 else None)
    assert rig.fetch() == WANTED
    assert rig.downloader.stats() == {"requests": 3, "retries": 2, "bytes": BODY_BYTES}
    rig.close()
    raw.__exit__()


def test_N01_nothing_ever_listens_and_the_waits_double() -> None:
    from pixcrawler._retry import Clock

    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
        waits: list[float] = []
        clock = Clock(chance=lambda: 0.5, sleep=lambda seconds, _cancelled: waits.append(seconds))
        with (
            PixCrawlerClient("key", f"http://127.0.0.1:{port}", clock=clock) as client,
            pytest.raises(NetworkError) as caught,
        ):
            client.get_job("j")
    assert (caught.value.code, caught.value.retryable) == ("connection", True)
    assert isinstance(caught.value, ConnectionError)
    assert waits == [0.25, 0.5, 1.0]


def test_N01_a_name_that_does_not_resolve_at_first(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    asked: list[str] = []

    def resolve(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        if host == "chunks.test":
            asked.append(host)
            if len(asked) < 3:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            host = "127.0.0.1"
        return real(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    rig = Rig(server, url=f"http://chunks.test:{server.port}{PATH}")
    assert rig.fetch() == WANTED
    assert rig.downloader.stats()["retries"] == 2
    rig.close()


def test_N01_a_name_that_never_resolves(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(server, url="http://no-such-host.invalid/c0.zip")

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(DownloadError, match="not known") as caught:
        rig.fetch()
    assert (caught.value.code, caught.value.retryable, len(rig.waits)) == ("download_failed", True, 3)
    rig.close()


@pytest.fixture
def tls_context(tmp_path: Path) -> ssl.SSLContext:
    """That of a server with a certificate of its own making."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def test_N01_reset_in_the_tls_handshake(server: FaultyServer, tls_context: ssl.SSLContext) -> None:
    raw = RawServer(good, tls_context)
    raw.reset_connections = 2
    with raw:
        fetched, stats = fetch_from(server, raw, verify_ssl=False)
    assert fetched == WANTED
    assert stats["retries"] == 2


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("after", [-1, 0, 1, BODY_BYTES // 2, BODY_BYTES - 1])
def test_N01_cut_after_k_bytes(rig: Rig, after: int, end: str) -> None:
    rig.server.fail(PATH, Fault(cut_after=after, reset=end == "reset"))
    assert rig.fetch() == WANTED
    reached = rig.server.ranges(PATH)[-1]
    # A reset may overtake bytes that were sent before it; an end may not.
    assert reached == f"bytes={START + max(0, after)}-199999" or end == "reset"
    # Over the connection that the catalogue came by, a silent end is not even a retry (N20).
    assert rig.downloader.stats() == {"requests": 1 + (after >= 0), "retries": int(after >= 0), "bytes": BODY_BYTES}


def test_N01_cuts_with_progress_give_new_retries(rig: Rig) -> None:
    rig.server.fail(PATH, *[Fault(cut_after=20_000)] * 9)
    assert rig.fetch() == WANTED
    assert rig.downloader.stats() == {"requests": 10, "retries": 9, "bytes": BODY_BYTES}


# N02 to N05: lengths.


def test_N02_body_shorter_than_content_length(rig: Rig) -> None:
    rig.fetch(0, 10)
    rig.server.fail(PATH, Fault(cut_after=50_000))
    assert rig.fetch() == WANTED
    assert rig.server.ranges(PATH)[1:] == ["bytes=1000-199999", "bytes=51000-199999"]
    assert rig.server.seen[-1].headers["if-range"].startswith('"')


@pytest.mark.parametrize("declared", [100_000, BODY_BYTES - 1, 0])
def test_N03_content_length_smaller_than_the_body(rig: Rig, declared: int) -> None:
    rig.server.fail(PATH, Fault(headers={"Content-Length": str(declared)}))
    assert rig.fetch() == WANTED
    assert rig.downloader.stats()["retries"] == 1
    assert rig.fetch(0, 100) == DATA[:100]
    first, second, third = (seen.connection for seen in rig.server.seen if seen.target == PATH)
    assert first != second == third, "what was left over must not reach the next request"


def test_N03_surplus_behind_the_body(rig: Rig) -> None:
    rig.server.fail(PATH, Fault(extra=b"HTTP/1.1 206 X\r\nContent-Length: 3\r\n\r\nbad"))
    assert rig.fetch() == WANTED
    assert rig.fetch(5, 15) == DATA[5:15]
    assert len({seen.connection for seen in rig.server.seen if seen.target == PATH}) == 2
    assert rig.downloader.stats()["retries"] == 0


def chunked(head: bytes, *parts: bytes) -> bytes:
    (start, _) = partial(head, DATA, b"Transfer-Encoding: chunked", length=False)
    return start + b"".join(parts)


MIDDLE = DATA[START : START + 1_000]


@pytest.mark.parametrize(
    ("parts", "is_kept"),
    [
        pytest.param([b"3e8\r\n" + MIDDLE + b"\r\n", CLOSE], True, id="no-final-chunk"),
        pytest.param([b"3e8\r\n" + MIDDLE + b"\r\nzz\r\n", b"x" * 9_999], True, id="bad-size"),
        pytest.param([b"3e8\r\n" + MIDDLE + b"\r\n-5\r\n", b"x" * 9_999], True, id="negative-size"),
        pytest.param([b"8000000000000000\r\n" + WANTED + b"x" * 100_000, CLOSE], False, id="size-2^63"),
        pytest.param([b"f" * 30 + b"\r\n" + MIDDLE, CLOSE], False, id="size-too-long"),
        pytest.param([b"3e8\r\n" + MIDDLE + b"XX", b"x" * 9_999], True, id="no-line-end"),
        pytest.param([b"3e8;" + b"e" * 200_000 + b"\r\n" + MIDDLE, CLOSE], False, id="extension-200-kB"),
    ],
)
def test_N04_chunked_gone_wrong(server: FaultyServer, parts: list[bytes | str], is_kept: bool) -> None:
    def answer(head: bytes, number: int) -> Iterable[bytes | float | str]:
        if number > 0:
            return good(head)
        first, *rest = parts
        assert isinstance(first, bytes)
        return [chunked(head, first), *rest]

    with RawServer(answer) as raw:
        fetched, stats = fetch_from(server, raw)
        assert fetched == WANTED
        assert (stats["retries"], raw.connections) == (1, 2)
        resumed = range_of(raw.heads[1], len(DATA))
    assert resumed[1] == STOP
    if is_kept:
        assert resumed[0] in {START, START + 1_000}
    else:
        assert resumed[0] == START


def test_N04_both_lengths(server: FaultyServer) -> None:
    def answer(head: bytes, number: int) -> Iterable[bytes]:
        if number > 0:
            return good(head)
        start, body = partial(head, DATA, b"Transfer-Encoding: chunked")
        return [start, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)]

    with RawServer(answer) as raw:
        fetched, stats = fetch_from(server, raw)
        assert fetched == WANTED
        assert (stats, raw.connections) == ({"requests": 2, "retries": 1, "bytes": BODY_BYTES}, 2)


def test_N04_a_whole_answer_smuggled_behind_a_chunked_one(server: FaultyServer) -> None:
    lie = b"HTTP/1.1 206 X\r\nContent-Range: bytes 0-9/300000\r\nContent-Length: 10\r\n\r\nLIES! LIES"

    def answer(head: bytes, number: int) -> Iterable[bytes]:
        if number > 0:
            return good(head)
        start, body = partial(head, DATA, b"Transfer-Encoding: chunked", length=False)
        return [start + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) + lie]

    with RawServer(answer) as raw:
        rig = Rig(server, url=f"{raw.url}/c0.zip")
        assert rig.fetch() == WANTED
        assert rig.fetch(0, 10) == DATA[:10]
        assert raw.connections == 2
        rig.close()


def test_N05_no_content_length_and_an_end_at_half(rig: Rig) -> None:
    rig.server.fail(PATH, Fault(no_content_length=True, cut_after=BODY_BYTES // 2))
    assert rig.fetch() == WANTED
    assert rig.server.ranges(PATH)[-1] == f"bytes={START + BODY_BYTES // 2}-199999"
    # A whole chunk starts anew; its size is the catalogue's.
    rig.server.fail(PATH, Fault(no_content_length=True, cut_after=100_000))
    assert content(rig.downloader.fetch_whole(rig.chunk)) == DATA


def test_N05_a_size_that_nobody_tells(rig: Rig) -> None:
    rig.server.fail(PATH, Fault(chunked=True))
    assert content(rig.downloader.fetch_whole(rig.unknown)) == DATA, "the next answer has a length"
    rig.server.always[PATH] = Fault(chunked=True)
    with pytest.raises(DownloadError, match="neither the catalogue nor the answer"):
        rig.downloader.fetch_whole(dataclasses.replace(rig.unknown, id="other"))


def make_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/1.bin", DATA[:100_000])
    return out.getvalue()


@pytest.mark.parametrize("way", ["open", "open_whole"])
def test_N05_a_damaged_zip_of_unknown_hash_is_fetched_once_more(server: FaultyServer, way: str) -> None:
    data = make_zip()
    serve_job(server, "j", {"c0": data})
    server.documents["/api/v1/jobs/j"]["chunks"][0].update(size_bytes=None, sha256=None)
    source = ApiSource(PixCrawlerClient("key", server.url), "j", owns_client=True)
    # The end record's signature: without it there is no zip.
    server.fail(PATH, Fault(corrupt_at=len(data) - 22))
    opened = getattr(source, way)(source.chunks[0])
    assert len((opened if way == "open" else opened[0]).directory) == 1
    # Of a tail without an end record more is looked at, to say what it is.
    tails = ["bytes=-65536", None] if way == "open" else [None]
    assert sum(asked in tails for asked in server.ranges(PATH)) == 2
    server.always[PATH] = Fault(corrupt_at=len(data) - 22)
    with pytest.raises(ArchiveError) as caught:
        getattr(source, way)(source.chunks[0])
    assert caught.value.chunk_id == "c0"
    assert sum(asked in tails for asked in server.ranges(PATH)) == 4, "once more, not for ever"
    source.close()


# N06 to N10: ranges and versions.


@pytest.mark.parametrize(
    "fault",
    [
        Fault(content_range="bytes 0-198999/300000"),
        Fault(content_range="bytes 999-199998/300000"),
        Fault(content_range="bytes 1000-199999/300001"),
        Fault(content_range="bytes 1000-199998/300000"),
        Fault(content_range="bytes 1000-199999/5"),
        Fault(content_range="octets 1000-199999/300000"),
        Fault(content_range="bytes */300000"),
        Fault(content_range="bytes 1000-99999999999999999999/300000"),
        Fault(headers={"Content-Range": ""}),
        Fault(headers={"Content-Range": "", "Content-Type": "multipart/byteranges; boundary=x"}),
        Fault(chunked=True, extra=b"more"),
        Fault(headers={"Content-Length": "250000"}),
    ],
    ids=str,
)
def test_N06_a_part_that_was_not_asked_for(rig: Rig, fault: Fault) -> None:
    rig.server.fail(PATH, fault)
    assert rig.fetch() == WANTED
    assert rig.server.ranges(PATH) == ["bytes=1000-199999"] * 2, "nothing of it was kept"
    assert rig.fetch(0, 100) == DATA[:100]


def test_N07_200_once_ranges_worked_is_retried(rig: Rig) -> None:
    rig.fetch(0, 10)
    rig.server.fail(PATH, Fault(ignore_range=True))
    assert rig.fetch() == WANTED
    rig.server.always[PATH] = Fault(ignore_range=True)
    with pytest.raises(DownloadError, match="status 200"):
        rig.fetch()
    assert len(rig.server.ranges(PATH)) == 3 + 4


def test_N07_200_to_the_first_range_means_whole_chunks(rig: Rig) -> None:
    rig.server.always[PATH] = Fault(ignore_range=True)
    for _ in range(2):
        with pytest.raises(RangesUnsupportedError):
            rig.downloader.fetch_tail(rig.chunk)
    assert len(rig.server.ranges(PATH)) == 1, "it is asked once"
    assert content(rig.downloader.fetch_whole(rig.chunk)) == DATA


def test_N07_one_200_among_chunks_with_ranges_does_not_mean_whole_chunks(server: FaultyServer) -> None:
    rig = Rig(server)
    serve_job(server, "j", {"c0": DATA, "c1": DATA})
    _, other = rig.client.iter_chunks("j")
    rig.fetch()
    server.fail("/data/c1.zip", Fault(ignore_range=True))
    assert content(rig.downloader.fetch_range(other, START, STOP)) == WANTED
    # A server that keeps saying it is believed at the second time.
    third = dataclasses.replace(other, id="c2")
    server.always["/data/c1.zip"] = Fault(ignore_range=True)
    with pytest.raises(RangesUnsupportedError):
        rig.downloader.fetch_range(third, START, STOP)
    assert len(server.ranges("/data/c1.zip")) == 4
    rig.close()


def test_N08_416_for_a_chunk_that_is_shorter_than_before(rig: Rig) -> None:
    rig.server.files[PATH] = DATA[:500]
    with pytest.raises(IntegrityError, match="500 bytes, not 300000") as caught:
        rig.fetch()
    assert (caught.value.code, caught.value.retryable) == ("chunk_integrity", True)
    rig.server.files[PATH] = DATA
    assert rig.fetch() == WANTED


def test_N08_one_416_is_retried(rig: Rig) -> None:
    rig.server.fail(PATH, Fault(status=416, headers={"Content-Range": "bytes */300000"}), Fault(status=416))
    assert rig.fetch() == WANTED
    assert rig.server.ranges(PATH) == ["bytes=1000-199999"] * 3


def test_N08_nothing_is_asked_for_when_all_bytes_are_there(rig: Rig) -> None:
    # The end of the chunked coding is missing, the bytes are not.
    rig.server.fail(PATH, Fault(chunked=True, cut_after=BODY_BYTES))
    assert rig.fetch() == WANTED
    assert len(rig.server.ranges(PATH)) == 1


def replace_chunk(rig: Rig) -> None:
    rig.server.files[PATH] = bytes(reversed(DATA))


@pytest.mark.parametrize("when", ["between ranges", "in the middle of a range"])
def test_N09_a_new_version_is_never_mixed_in(server: FaultyServer, when: str) -> None:
    rig = Rig(server, on_wait=lambda: replace_chunk(rig))
    if when == "between ranges":
        rig.fetch(0, 10)
        replace_chunk(rig)
    else:
        server.fail(PATH, Fault(cut_after=5_000))
    with pytest.raises(IntegrityError) as caught:
        rig.fetch()
    assert (caught.value.code, caught.value.chunk_id) == ("chunk_changed", "c0")
    assert server.seen[-1].headers["if-range"].startswith('"')
    # The next pass reads the new version, and that alone.
    run = rig.downloader.for_run()
    assert content(run.fetch_range(rig.chunk, 0, 10)) == DATA[::-1][:10]
    rig.close()


def test_N09_a_weak_etag_is_no_validator(rig: Rig) -> None:
    rig.server.etags[PATH] = 'W/"x"'
    rig.server.fail(PATH, Fault(cut_after=1_000))
    assert rig.fetch() == WANTED
    assert all("if-range" not in seen.headers for seen in rig.server.seen)


def test_N10_a_server_that_ignores_if_range_is_noticed_by_its_etag(rig: Rig) -> None:
    rig.fetch(0, 10)
    rig.server.fail(PATH, Fault(headers={"ETag": '"of another machine"'}))
    assert rig.fetch() == WANTED, "once, it may be another machine's"
    rig.server.always[PATH] = Fault(headers={"ETag": '"another"'})
    with pytest.raises(IntegrityError) as caught:
        rig.fetch()
    assert caught.value.code == "chunk_changed"
    assert "another" in str(caught.value)


def test_N10_a_new_file_under_the_old_etag_fails_its_checksum(rig: Rig) -> None:
    rig.server.etags[PATH] = '"always the same"'
    rig.fetch(0, 10)
    replace_chunk(rig)
    with pytest.raises(IntegrityError, match="SHA-256") as caught:
        rig.downloader.fetch_whole(rig.chunk)
    assert caught.value.code == "chunk_integrity"


# N11 to N13: bodies that are something else.


def test_N11_content_encoding_is_refused(rig: Rig) -> None:
    rig.server.fail(PATH, Fault(headers={"Content-Encoding": "gzip"}))
    assert rig.fetch() == WANTED
    assert rig.server.ranges(PATH) == ["bytes=1000-199999"] * 2, "nothing of it was kept"
    rig.server.always[PATH] = Fault(headers={"Content-Encoding": "br\x1b[31m"})
    with pytest.raises(DownloadError, match="Content-Encoding br") as caught:
        rig.fetch()
    assert str(caught.value).isprintable()
    assert all(seen.headers["accept-encoding"] == "identity" for seen in rig.server.seen)


def test_N12_a_flipped_bit_in_a_whole_chunk_is_fetched_again(rig: Rig) -> None:
    rig.server.fail(PATH, Fault(corrupt_at=123_456))
    assert content(rig.downloader.fetch_whole(rig.chunk)) == DATA
    assert rig.downloader.stats()["requests"] == 2


def test_N12_a_chunk_that_stays_wrong_is_an_error_with_both_hashes(rig: Rig) -> None:
    rig.server.always[PATH] = Fault(corrupt_at=5)
    with pytest.raises(IntegrityError, match="SHA-256") as caught:
        rig.downloader.fetch_whole(rig.chunk)
    assert caught.value.code == "chunk_integrity"
    assert str(rig.chunk.sha256) in str(caught.value)
    assert len(rig.server.ranges(PATH)) == 4


def test_N12_another_size_than_the_catalogue_s(rig: Rig) -> None:
    rig.server.files[PATH] = DATA[:-1]
    for fetch in (rig.downloader.fetch_tail, rig.downloader.fetch_whole):
        with pytest.raises(IntegrityError, match="299999 bytes, not 300000") as caught:
            fetch(rig.chunk)
        assert (caught.value.code, caught.value.chunk_id) == ("chunk_integrity", "c0")


PAGES = {"login": PAGE, "s3": b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>", "json": b'{"ok": false}'}


@pytest.mark.parametrize("kind", PAGES)
@pytest.mark.parametrize("way", ["whole", "range", "tail"])
def test_N13_a_page_with_status_200(rig: Rig, way: str, kind: str) -> None:
    calls: dict[str, Callable[[], bytes]] = {
        "whole": lambda: content(rig.downloader.fetch_whole(rig.chunk)),
        "range": rig.fetch,
        "tail": lambda: content(rig.downloader.fetch_tail(rig.chunk).buffer),
    }
    wanted = {"whole": DATA, "range": WANTED, "tail": DATA[-65_536:]}
    rig.fetch(0, 10)
    page = Fault(status=200, body=PAGES[kind])
    rig.server.fail(PATH, page)
    assert calls[way]() == wanted[way], "one page is not the end"
    rig.server.always[PATH] = page
    with pytest.raises(PixCrawlerError) as caught:
        calls[way]()
    text = str(caught.value)
    assert caught.value.retryable
    assert caught.value.chunk_id == "c0"
    assert PAGES[kind][:6].decode() in text
    assert text.isprintable()
    assert "x" * 200 not in text, "the first 200 characters"


@pytest.mark.parametrize("kind", PAGES)
def test_N13_a_page_where_the_catalogue_knows_nothing_is_not_a_zip(server: FaultyServer, kind: str) -> None:
    serve_job(server, "j", {"c0": make_zip()})
    server.documents["/api/v1/jobs/j"]["chunks"][0].update(size_bytes=None, sha256=None)
    source = ApiSource(PixCrawlerClient("key", server.url), "j", owns_client=True)
    server.always[PATH] = Fault(status=200, body=PAGES[kind])
    with pytest.raises(RangesUnsupportedError):
        source.open(source.chunks[0])
    with pytest.raises(ArchiveError) as caught:
        source.open_whole(source.chunks[0])
    assert (caught.value.code, caught.value.retryable) == ("not_a_zip", True)
    assert PAGES[kind][:6].decode() in str(caught.value)
    assert str(caught.value).isprintable()
    source.close()


# N18: what does not end.


def endless_headers(_head: bytes, _number: int) -> Iterator[bytes]:
    yield b"HTTP/1.1 206 X\r\n"
    for number in range(1 << 30):
        yield b"X-%d: " % number + b"v" * 1_000 + b"\r\n"


def endless_line(_head: bytes, _number: int) -> Iterator[bytes]:
    yield b"HTTP/1.1 206 X\r\nX-Endless: "
    while True:
        yield b"v" * 65_536


def interim_flood(_head: bytes, _number: int) -> Iterator[bytes]:
    while True:
        yield b"HTTP/1.1 103 Early\r\nLink: <x>\r\n\r\n" * 100


def empty_lines(_head: bytes, _number: int) -> Iterator[bytes]:
    while True:
        yield b"\r\n" * 1_000


@pytest.mark.parametrize("answer", [endless_headers, endless_line, interim_flood, empty_lines])
def test_N18_endless_headers_are_cut(server: FaultyServer, answer: Answer) -> None:
    with RawServer(answer) as raw:
        rig = Rig(server, url=f"{raw.url}/c0.zip")
        with pytest.raises(DownloadError) as caught:
            rig.fetch()
        assert caught.value.code == "download_failed"
        assert isinstance(caught.value.__cause__, NetworkError)
        assert raw.connections == 4
        said = "no response line" if answer is empty_lines else "more than 65536 bytes of headers (Limits.header_bytes)"
        assert said in str(caught.value)
        # What the sockets hold beyond it was sent as well.
        assert raw.sent_bytes < 4 * 16 << 20
        rig.close()


def test_N18_the_limit_of_headers_is_the_users(server: FaultyServer) -> None:
    with RawServer(lambda head, _: partial(head, DATA, b"X-Long: " + b"v" * 9_000)) as raw:
        rig = Rig(server, url=f"{raw.url}/c0.zip", limits=Limits(header_bytes=4_000))
        with pytest.raises(DownloadError, match="more than 4000 bytes of headers"):
            rig.fetch()
        rig.close()


def test_N18_64_KiB_of_headers_are_read(server: FaultyServer) -> None:
    fields = [b"X-%d: " % number + b"v" * 1_000 for number in range(60)]
    with RawServer(lambda head, _: partial(head, DATA, *fields)) as raw:
        assert fetch_from(server, raw)[0] == WANTED


@pytest.mark.parametrize("coding", ["length", "chunked", "close"])
def test_N18_an_endless_body_is_cut_at_the_size(server: FaultyServer, coding: str) -> None:
    def answer(head: bytes, _number: int) -> Iterator[bytes]:
        fields = {"length": [b"Content-Length: 99999999999"], "chunked": [b"Transfer-Encoding: chunked"], "close": []}
        yield partial(head, DATA, *fields[coding], length=False)[0]
        while True:
            yield b"10000\r\n" + bytes(65_536) + b"\r\n" if coding == "chunked" else bytes(65_536)

    with RawServer(answer) as raw:
        rig = Rig(server, url=f"{raw.url}/c0.zip")
        with pytest.raises(DownloadError):
            rig.fetch()
        assert raw.sent_bytes < 4 * 16 << 20
        assert rig.downloader.stats()["bytes"] <= 4 * BODY_BYTES
        rig.close()


def test_N18_chunks_above_the_limit_are_not_fetched(server: FaultyServer) -> None:
    rig = Rig(server, limits=Limits(chunk_bytes=299_999))
    with pytest.raises(LimitError) as caught:
        rig.downloader.fetch_whole(rig.chunk)
    assert (caught.value.code, caught.value.chunk_id) == ("limit_chunk", "c0")
    assert server.ranges(PATH) == []
    with pytest.raises(LimitError):
        rig.downloader.fetch_tail(dataclasses.replace(rig.unknown, id="unknown"))
    rig.close()


# N19: odd statuses and versions.

INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"


@pytest.mark.parametrize("times", [1, 20])
def test_N19_interim_answers_are_passed_over(server: FaultyServer, times: int) -> None:
    with RawServer(lambda head, _: [INTERIM * times, *good(head)]) as raw:
        assert fetch_from(server, raw) == (WANTED, {"requests": 1, "retries": 0, "bytes": BODY_BYTES})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([b"HTTP/1.1 204 No Content\r\n\r\n"], id="204"),
        pytest.param([b"HTTP/1.1 205 X\r\nContent-Length: 0\r\n\r\n"], id="205"),
        pytest.param([b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n'], id="304"),
        pytest.param([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", CLOSE], id="101"),
        pytest.param([DATA[:100], CLOSE], id="HTTP/0.9"),
        pytest.param([b"<html>no status line</html>\r\n\r\n", CLOSE], id="HTTP/0.9-text"),
        pytest.param([b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\n12345"], id="HTTP/2-in-text"),
        pytest.param([b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18), CLOSE], id="HTTP/2-frames"),
        pytest.param([b"HTTP/1.1 2x6 X\r\n\r\n"], id="status-2x6"),
        pytest.param([b"HTTP/1.1 206 X\r\nContent-Length: -5\r\n\r\n"], id="negative-length"),
        pytest.param([b"HTTP/1.1 206 X\r\nContent-Length: 5, 6\r\n\r\n12345"], id="two-lengths"),
        pytest.param([b"HTTP/1.1 206 X\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n"], id="length-of-5000-digits"),
        pytest.param([b"HTTP/1.1 206 X\r\nbad header\r\n\r\n"], id="no-colon"),
        pytest.param([b"HTTP/1.1 206 X\r\nX: a\x00b\r\n\r\n"], id="nul"),
        pytest.param([b"HTTP/1.1 206 X\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"], id="gzip-coding"),
        pytest.param([CLOSE], id="nothing"),
        pytest.param([b"HTTP/1.1 20", RESET], id="half-a-status"),
    ],
)
def test_N19_one_odd_answer_is_asked_for_again(server: FaultyServer, answer: list[bytes | str]) -> None:
    with RawServer(first_then_good(*answer)) as raw:
        fetched, stats = fetch_from(server, raw)
        assert (fetched, stats["retries"], stats["bytes"]) == (WANTED, 1, BODY_BYTES)
    with RawServer(lambda _head, _number: answer) as raw:
        rig = Rig(server, url=f"{raw.url}/c0.zip")
        with pytest.raises(DownloadError) as caught:
            rig.fetch()
        assert str(caught.value).isprintable()
        assert (caught.value.retryable, len(raw.heads)) == (True, 4)
        rig.close()


@pytest.mark.parametrize("keep_alive", [True, False])
def test_N19_http_1_0(server: FaultyServer, keep_alive: bool) -> None:
    def answer(head: bytes, _number: int) -> Iterable[bytes | str]:
        start, body = partial(head, DATA, *([b"Connection: keep-alive"] if keep_alive else []))
        return [start.replace(b"HTTP/1.1", b"HTTP/1.0"), body, *([] if keep_alive else [CLOSE])]

    with RawServer(answer) as raw:
        rig = Rig(server, url=f"{raw.url}/c0.zip")
        assert rig.fetch() == rig.fetch() == WANTED
        assert rig.downloader.stats()["retries"] == 0
        rig.close()


# N20: connections that are kept.


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_N20_a_kept_connection_that_ends_when_it_is_used_again(server: FaultyServer, end: str) -> None:
    """The server takes the request and ends the connection, as it does when its own idle time is over just then."""
    with RawServer(lambda head, number: [end] if number in {1, 3} else good(head)) as raw:
        rig = Rig(server, url=f"{raw.url}/c0.zip")
        for _ in range(3):
            assert rig.fetch() == WANTED
        assert rig.downloader.stats() == {"requests": 3, "retries": 0, "bytes": 3 * BODY_BYTES}
        assert (len(raw.heads), raw.connections, rig.waits) == (5, 3, [])
        rig.close()


def test_N20_a_new_connection_that_ends_is_a_failed_attempt(server: FaultyServer) -> None:
    with RawServer(lambda _head, _number: [CLOSE]) as raw:
        rig = Rig(server, url=f"{raw.url}/c0.zip")
        with pytest.raises(DownloadError):
            rig.fetch()
        assert (raw.connections, len(rig.waits)) == (4, 3)
        rig.close()


def test_N20_half_an_answer_is_not_asked_for_again_unseen(server: FaultyServer) -> None:
    with RawServer(lambda head, number: [b"HTTP/1.1 206", CLOSE] if number == 1 else good(head)) as raw:
        rig = Rig(server, url=f"{raw.url}/c0.zip")
        assert rig.fetch() == rig.fetch() == WANTED
        assert rig.downloader.stats()["retries"] == 1
        rig.close()


@pytest.mark.parametrize("end", ["close", "surplus"])
def test_N20_a_connection_that_cannot_serve_again_is_not_kept(rig: Rig, end: str) -> None:
    spoilt = Fault(headers={"Connection": "close"}) if end == "close" else Fault(extra=b"HTTP/1.1 200 OK")
    rig.server.fail(PATH, spoilt)
    assert rig.fetch() == WANTED
    assert rig.fetch(5, 15) == DATA[5:15]
    assert len({seen.connection for seen in rig.server.seen if seen.target == PATH}) == 2
    assert rig.downloader.stats()["retries"] == 0
