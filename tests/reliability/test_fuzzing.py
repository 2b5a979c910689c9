"""U02: hostile answers, documents and labels, made from fixed seeds: typed errors and nothing else, and no hang.

The native parsers are fuzzed with cargo-fuzz (``make fuzz``); what that found is in rust/core/tests/fuzz_findings.rs.
``HYPOTHESIS_PROFILE=slow`` tries ten times as many examples.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pixcrawler import _wire
from pixcrawler._retry import Clock, parse_retry_after
from pixcrawler.client import PixCrawlerClient
from pixcrawler.downloader import RangesUnsupportedError
from pixcrawler.exceptions import ArchiveError, PixCrawlerError, ProtocolError
from pixcrawler.records import ChunkRecord, Job
from pixcrawler.sources import SampleLabel
from pixcrawler.sources.labels import parse_metadata
from raw_server import CLOSE, RawServer

if TYPE_CHECKING:
    from collections.abc import Iterator

# The slow profile takes about a minute for the slowest of these on an idle machine.
pytestmark = pytest.mark.timeout(300)

KEY = "canary-key-0123456789"
NO_WAIT = Clock(sleep=lambda _seconds, _cancelled: None)
# One request's total time; an answer of a few hundred bytes that takes longer is a hang.
TIMEOUT_S = 20.0


def bounded(share: int) -> settings:
    """Fixed seeds, and a multiple of the profile's number of examples."""
    health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    count = share * settings().max_examples
    return settings(derandomize=True, max_examples=count, deadline=None, suppress_health_check=health)


class OneAnswer(RawServer):
    """Answers every request with the same bytes, and hangs up."""

    def __init__(self) -> None:
        self.answer = b""
        super().__init__(lambda _head, _number: (self.answer, CLOSE))


@pytest.fixture(scope="module")
def server() -> Iterator[OneAnswer]:
    with OneAnswer() as running:
        yield running


STATUS_LINES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 206 Partial Content",
    b"HTTP/1.1 301 Moved",
    b"HTTP/1.1 307 Moved",
    b"HTTP/1.1 409 Conflict",
    b"HTTP/1.1 416 Range Not Satisfiable",
    b"HTTP/1.1 429 Slow down",
    b"HTTP/1.1 503 Later",
    b"HTTP/1.1 204 Nothing",
    b"HTTP/1.1 304 Same",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK",
    b"HTTP/1.1 101 Other",
    b"HTTP/1.1 999",
    b"HTTP/1.0 200 OK",
    b"HTTP/0.9 200 OK",
    b"HTTP/2 200",
    b"ICY 200 OK",
    b"",
]
FIELDS = {
    b"Content-Length": [b"3", b"8", b"0", b"-1", b"+3", b"3, 3", b"3, 4", b"9" * 30, b"9" * 5000, b"0x3", b"", b"\xb2"],
    b"Content-Range": [
        b"bytes 2-4/8",
        b"bytes 0-7/8",
        b"bytes */8",
        b"bytes 2-4/*",
        b"bytes 4-2/8",
        b"bytes 2-4/" + b"9" * 40,
        b"bytes 2-4,6-7/8",
        b"bytes \xb2-4/8",
        b"octets 2-4/8",
        b"",
    ],
    b"Transfer-Encoding": [b"chunked", b"gzip, chunked", b"identity", b"CHUNKED", b"chunked, chunked", b"\xff"],
    b"Retry-After": [b"1", b"-1", b"1e9", b"9" * 400, b"Fri, 31 Dec 9999 23:59:59 GMT", b"Mon, 0 Foo 0", b"\xb2"],
    b"Content-Encoding": [b"gzip", b"br", b"identity", b"gzip, " * 50],
    b"Content-Type": [b"application/json", b"multipart/byteranges; boundary=x", b"text/html; charset=\xff"],
    b"ETag": [b'"a"', b'W/"a"', b'"' + b"x" * 3000 + b'"', b'"\xff"'],
    b"Location": [
        b"/elsewhere",
        b"http://[",
        b"//",
        b"http://\xff/",
        b"http://h:99999/",
        b"file:///etc/passwd",
        b"\xff",
    ],
    b"Connection": [b"close", b"keep-alive", b"upgrade"],
    b"Set-Cookie": [b"a=b"],
    b"X": [b"y" * 200_000, b"\0", b"a\r\n b"],
}
BODIES = [
    b"234",
    b"01234567",
    b"3\r\n234\r\n0\r\n\r\n",
    b"3;x=y\r\n234\r\n0\r\nTrailer: x\r\n\r\n",
    b"3\r\n234\r\n",
    b"ffffffffffffffff\r\n234",
    b"-3\r\n234\r\n0\r\n\r\n",
    b"fffffffffffffffffffffffff\r\n",
    b"\xb2\r\n",
    b'{"id": "j", "status": "completed", "chunks": []}',
    b'{"error": {"message": "\\u001b[2J\\ud800"}, "status": 5, "progress": {}}',
    b'{"items": [], "total": 1e400}',
    b"[" * 5000,
    b"9" * 5000,
    b"\xff\xfe[\0]\0",
    b"<html>\xff",
    b"",
]


JOB = b'{"id": "j", "status": "completed", "chunks": [{"id": "c", "url": "/c.zip"}]}'
CHUNKED = (b"Transfer-Encoding", b"chunked")
# Answers that are right for one request or another: status line, fields, body.
RIGHT: list[tuple[bytes, list[tuple[bytes, bytes]], bytes]] = [
    (b"HTTP/1.1 206 Partial Content", [(b"Content-Range", b"bytes 2-4/8"), (b"Content-Length", b"3")], b"234"),
    (b"HTTP/1.1 206 Partial Content", [(b"Content-Range", b"bytes 2-4/8"), CHUNKED], b"3\r\n234\r\n0\r\n\r\n"),
    (b"HTTP/1.1 206 Partial Content", [(b"Content-Range", b"bytes 0-7/8"), (b"ETag", b'"a"')], b"01234567"),
    (b"HTTP/1.1 200 OK", [(b"Content-Length", b"8"), (b"Connection", b"close")], b"01234567"),
    (b"HTTP/1.1 200 OK", [CHUNKED], b"8\r\n01234567\r\n0\r\n\r\n"),
    (b"HTTP/1.1 200 OK", [(b"Content-Length", str(len(JOB)).encode())], JOB),
    (b"HTTP/1.1 200 OK", [(b"Connection", b"close")], b'{"items": [], "total": 0}'),
    (b"HTTP/1.1 416 Range Not Satisfiable", [(b"Content-Range", b"bytes */0"), (b"Content-Length", b"0")], b""),
    (b"HTTP/1.1 429 Slow down", [(b"Retry-After", b"1"), (b"Content-Length", b"0")], b""),
    (b"HTTP/1.1 409 Conflict", [(b"Content-Length", b"22")], b'{"status": "cleaning"}'),
    (b"HTTP/1.1 302 Found", [(b"Location", b"/elsewhere"), (b"Content-Length", b"0")], b""),
]


def answer_of(seed: int) -> bytes:
    """An HTTP answer that is right but for up to four changes."""
    chance = random.Random(seed)
    status, right_fields, body = chance.choice(RIGHT)
    fields = list(right_fields)
    flips = 0
    for _ in range(chance.randint(0, 4)):
        match chance.randrange(8):
            case 0:
                status = chance.choice(STATUS_LINES)
            case 1 | 2 if fields:
                at = chance.randrange(len(fields))
                name = fields[at][0]
                fields[at] = (name, chance.choice(FIELDS[name]))
            case 3 if fields:
                del fields[chance.randrange(len(fields))]
            case 4 | 5:
                name = chance.choice(sorted(FIELDS))
                value = chance.choice(FIELDS[name]) if chance.random() < 0.8 else chance.randbytes(9)
                fields.insert(chance.randint(0, len(fields)), (name, value))
            case 6:
                body = chance.choice(BODIES) if chance.random() < 0.8 else chance.randbytes(20)
            case _:
                flips += 1
    head = status + b"\r\n" + b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    answer = bytearray(head + b"\r\n" + body)
    for _ in range(flips):
        answer[chance.randrange(len(answer))] = chance.randrange(256)
    return bytes(answer if chance.random() < 0.8 else answer[: chance.randrange(len(answer))])


def check_printable(error: PixCrawlerError, code: str | None = None) -> None:
    assert error.code == (code or error.code)
    assert error.code
    assert str(error).isprintable(), error
    assert KEY not in str(error)


@given(seed=st.integers(0, 1 << 32))
@bounded(6)
def test_U02_answers(server: OneAnswer, seed: int) -> None:
    server.answer = answer_of(seed)
    chunk = ChunkRecord(id="c", index=0, url=f"{server.url}/c.zip", size_bytes=8)
    unknown = ChunkRecord(id="u", index=1, url=f"{server.url}/u.zip")
    with PixCrawlerClient(KEY, server.url, TIMEOUT_S, clock=NO_WAIT) as client:
        downloader = client.downloader("j")
        calls: list[Any] = [
            lambda: client.get_job("j"),
            client.list_jobs,
            lambda: downloader.fetch_range(chunk, 2, 5),
            lambda: downloader.fetch_whole(chunk),
            lambda: downloader.fetch_tail(unknown),
            lambda: downloader.fetch_whole(unknown),
        ]
        began = time.monotonic()
        for call in calls:
            try:
                call()
            except PixCrawlerError as error:
                check_printable(error)
            except RangesUnsupportedError:
                # For its caller alone, which then asks for the whole chunk.
                pass
        assert time.monotonic() - began < TIMEOUT_S


@given(
    text=st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,5} [\d:]{1,9} ?[+-]?\w{0,5}")
)
@example(text="9" * 400)
@example(text="Fri, 31 Dec 9999 23:59:59 -2359")
@example(text="Mon, 01 Jan 0001 00:00:00 +2359")
@bounded(10)
def test_U02_retry_after(text: str) -> None:
    seconds = parse_retry_after(text, now_s=1.8e9)
    assert seconds is None or seconds >= 0
    assert seconds is None or not math.isnan(seconds)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 1 << 63, 10**400, -(10**400), 1 << 62])
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["a" * 70_000, "\x1b[2J", "\ud800", "0" * 64, "2026-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59"]
    )
    | st.sampled_from(["0001-01-01T00:00:00+23:59", "2026-W01-1", "20260101", "24:00", "completed", "http://x/", "//"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CHUNKS = st.fixed_dictionaries(
    {"id": VALUES | st.just("c"), "url": VALUES | st.just("http://x/c.zip")},
    optional=dict.fromkeys(("index", "size_bytes", "num_images", "sha256", "expires_at", "more"), VALUES),
)
JOBS = st.fixed_dictionaries(
    {},
    optional={
        "id": VALUES,
        "name": VALUES,
        "project_id": VALUES,
        "status": VALUES,
        "progress": VALUES | st.integers(0, 100),
        "created_at": VALUES,
        "updated_at": VALUES,
        "version": VALUES,
        "num_images": VALUES,
        "num_chunks": VALUES,
        "chunk_size": VALUES,
        "size_bytes": VALUES,
        "image_size": VALUES | st.lists(VALUES, min_size=2, max_size=2),
        "labels": VALUES | st.lists(st.fixed_dictionaries({"name": VALUES, "count": VALUES}) | VALUES, max_size=2),
        "tags": VALUES | st.lists(st.text(max_size=3) | VALUES, max_size=2),
        "chunks": VALUES | st.lists(CHUNKS, max_size=2),
    },
)


def check_record(record: Any) -> None:
    """What is kept can be shown, compared, and written again."""
    repr(record)
    for name in ("created_at", "updated_at", "expires_at"):
        when = getattr(record, name, None)
        if when is not None:
            assert when.tzinfo is not None
            assert isinstance(when < datetime(2026, 1, 1, tzinfo=timezone.utc), bool)
    for name in ("index", "size_bytes", "num_images", "num_chunks", "chunk_size", "version"):
        number = getattr(record, name, None)
        assert number is None or (type(number) is int and 0 <= number < 1 << 63)


@given(document=VALUES | JOBS)
@bounded(10)
def test_U02_catalogue_jobs(document: Any) -> None:
    try:
        job = _wire.job_from_json(document, where="job", job_id="j")
    except ProtocolError as error:
        check_printable(error)
        return
    assert isinstance(job, Job)
    assert job.id
    assert 0 <= job.progress <= 100
    for record in (job, *(job.chunks or ())):
        check_record(record)


@given(items=st.lists(CHUNKS | VALUES, max_size=3))
@bounded(10)
def test_U02_catalogue_chunks(items: list[Any]) -> None:
    try:
        chunks = _wire.chunks_from_json(items, where="chunks")
    except ProtocolError as error:
        check_printable(error)
        return
    assert len(chunks) == len(items)
    for chunk in chunks:
        assert chunk.id
        assert chunk.url
        check_record(chunk)


@given(document=VALUES | st.fixed_dictionaries({"items": VALUES}, optional={"total": VALUES}))
@bounded(5)
def test_U02_catalogue_pages(document: Any) -> None:
    try:
        items, total = _wire.page_from_json(document, where="page 1")
    except ProtocolError as error:
        check_printable(error)
        return
    assert isinstance(items, list)
    assert total is None or total >= 0


@st.composite
def label_files(draw: st.DrawFn) -> bytes:
    """Lines like those of a metadata.jsonl, some of them changed afterwards."""
    fields = st.fixed_dictionaries({"file_name": VALUES | st.just("a.jpg")}, optional={"label": VALUES, "more": VALUES})
    lines = []
    for value in draw(st.lists(fields | VALUES, max_size=4)):
        encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32"]))
        with contextlib.suppress(ValueError):
            # Numbers too long for Python to write.
            lines.append(json.dumps(value).encode(encoding))
    data = bytearray(draw(st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\x0b", b"\x85"])).join(lines))
    for position, value in draw(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=3)):
        if data:
            data[position % len(data)] = value
    return bytes(data)


@given(data=st.binary(max_size=200) | label_files())
@example(data=b'{"file_name": "a", "label": ' + b"[" * 100_000)
@example(data=b'{"file_name": "a", "label": ' + b"9" * 5000 + b"}")
@example(data=b'{"file_name": "a", "label": 1e999}')
@bounded(10)
def test_U02_metadata(data: bytes) -> None:
    try:
        labels = parse_metadata(data)
    except ArchiveError as error:
        check_printable(error, "metadata")
        return
    for name, label in labels.items():
        assert isinstance(name, str)
        assert isinstance(label, SampleLabel)
        assert "file_name" not in label.metadata
