"""Ranges to segments over a real socket: what faults may cost is time and requests, never a wrong byte."""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler._retry import Clock
from pixcrawler.client import PixCrawlerClient
from pixcrawler.downloader import RangesUnsupportedError
from pixcrawler.exceptions import (
    AuthenticationError,
    DownloadError,
    IntegrityError,
    LimitError,
    NetworkError,
    ProtocolError,
)
from pixcrawler.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pixcrawler._native import SegmentBuffer
    from pixcrawler.downloader import Downloader

DATA = random.Random(1).randbytes(300_000)
PATH = "/data/c0.zip"
START, STOP = 1_000, 200_000


class Rig:
    """A server with one chunk, a client that does not sleep, and its downloader."""

    def __init__(self, server: FaultyServer, data: bytes = DATA, **options: Any) -> None:
        self.server = server
        self.waits: list[float] = []
        serve_job(server, "j", {"c0": data})
        clock = Clock(chance=lambda: 0.0, sleep=lambda seconds, _cancelled: self.waits.append(seconds))
        self.client = PixCrawlerClient("key", server.url, clock=clock, **options)
        (self.chunk,) = self.client.iter_chunks("j")
        self.downloader: Downloader = self.client.downloader("j")

    def fetch(self, start: int = START, stop: int = STOP) -> bytes:
        return content(self.downloader.fetch_range(self.chunk, start, stop))

    def close(self) -> None:
        self.downloader.close()
        self.client.close()


def content(buffer: SegmentBuffer) -> bytes:
    return buffer.tobytes(0, len(buffer))


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture
def rig(server: FaultyServer) -> Iterator[Rig]:
    made = Rig(server)
    yield made
    made.close()


def test_range_tail_and_whole(rig: Rig) -> None:
    assert rig.fetch() == DATA[START:STOP]
    tail = rig.downloader.fetch_tail(rig.chunk)
    assert (content(tail.buffer), tail.start, tail.size_bytes) == (DATA[-65_536:], 300_000 - 65_536, 300_000)
    assert content(rig.downloader.fetch_whole(rig.chunk)) == DATA
    assert rig.server.ranges(PATH) == ["bytes=1000-199999", "bytes=-65536", None]
    assert all(seen.headers["accept-encoding"] == "identity" for seen in rig.server.seen)
    assert len({seen.connection for seen in rig.server.seen}) == 1, "connections are kept alive"


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537])
def test_tail_of_short_chunks(server: FaultyServer, size: int) -> None:
    rig = Rig(server, DATA[:size])
    tail = rig.downloader.fetch_tail(rig.chunk)
    assert (content(tail.buffer), tail.size_bytes) == (DATA[:size][-65_536:], size)
    rig.close()


def test_tail_tells_a_size_that_the_catalogue_does_not_know(rig: Rig) -> None:
    unknown = dataclasses.replace(rig.chunk, size_bytes=None, sha256=None)
    assert rig.downloader.fetch_tail(unknown).size_bytes == 300_000


@pytest.mark.parametrize("start_stop", [(5, 5), (9, 5), (-1, 5)])
def test_impossible_ranges(rig: Rig, start_stop: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not a range"):
        rig.downloader.fetch_range(rig.chunk, *start_stop)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("after", [-1, 0, 1, 99_500, 198_999])
def test_resumes_from_the_byte_it_reached(rig: Rig, after: int, reset: bool) -> None:
    rig.fetch(0, 10)
    rig.server.fail(PATH, Fault(cut_after=after, reset=reset))
    assert rig.fetch() == DATA[START:STOP]
    reached = rig.server.ranges(PATH)[-1]
    # A reset may overtake bytes that were sent before it; an end may not.
    assert reached == f"bytes={START + max(0, after)}-199999" or reset
    assert rig.server.seen[-1].headers["if-range"].startswith('"')
    assert rig.downloader.stats()["retries"] == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(status=500),
        Fault(status=408),
        Fault(content_range="bytes 0-198999/300000"),
        Fault(content_range="bytes 1000-199999/300001"),
        Fault(content_range="bytes 1000-199998/300000"),
        Fault(content_range="bytes 1000-199999/5"),
        Fault(content_range="octets 1000-199999/300000"),
        Fault(content_range="bytes */300000"),
        Fault(content_range="bytes 1000-99999999999999999999/300000"),
        Fault(headers={"Content-Range": "", "Content-Type": "multipart/byteranges; boundary=x"}),
        Fault(chunked=True, extra=b"more"),
        Fault(chunked=True, cut_after=50_000),
        Fault(chunked=True, cut_after=199_000),
        Fault(no_content_length=True, cut_after=50_000),
        Fault(headers={"Content-Length": "250000"}),
        Fault(headers={"Content-Length": "100000"}),
        Fault(headers={"Transfer-Encoding": "chunked"}),
    ],
    ids=str,
)
def test_one_wrong_answer_costs_a_request_and_no_byte(rig: Rig, fault: Fault) -> None:
    rig.server.fail(PATH, fault)
    assert rig.fetch() == DATA[START:STOP]
    assert rig.downloader.stats()["retries"] == 1
    # What the wrong answer left in the connection does not reach the next one.
    assert rig.fetch(0, 100) == DATA[:100]


def test_chunked_and_close_delimited_bodies_are_fine(rig: Rig) -> None:
    rig.server.fail(PATH, Fault(chunked=True), Fault(no_content_length=True))
    assert rig.fetch() == rig.fetch() == DATA[START:STOP]
    assert rig.downloader.stats()["retries"] == 0


def test_retry_after_is_obeyed(rig: Rig) -> None:
    rig.server.fail(PATH, Fault(status=429, headers={"Retry-After": "9"}))
    assert rig.fetch() == DATA[START:STOP]
    assert rig.waits == [9.0]


def test_gives_up_after_three_retries_and_says_what_was(rig: Rig) -> None:
    rig.server.always[PATH] = Fault(status=503)
    with pytest.raises(DownloadError) as caught:
        rig.fetch()
    error = caught.value
    assert (error.code, error.chunk_id, error.retryable) == ("download_failed", "c0", True)
    assert "after 4 failed attempts, with 0 of 199000 bytes" in str(error)
    assert isinstance(error.__cause__, NetworkError)
    assert len(rig.server.ranges(PATH)) == 4


def test_every_advance_gives_new_retries(rig: Rig) -> None:
    rig.server.fail(PATH, *[Fault(cut_after=20_000)] * 9)
    assert rig.fetch() == DATA[START:STOP]
    assert rig.downloader.stats() == {"requests": 10, "retries": 9, "bytes": 199_000}


def test_404_is_a_download_error_at_once(rig: Rig) -> None:
    del rig.server.files[PATH]
    with pytest.raises(DownloadError, match="not_found") as caught:
        rig.fetch()
    assert caught.value.chunk_id == "c0"
    assert len(rig.server.ranges(PATH)) == 1


def test_200_to_the_first_range_means_whole_chunks(rig: Rig) -> None:
    rig.server.always[PATH] = Fault(ignore_range=True)
    for _ in range(2):
        with pytest.raises(RangesUnsupportedError):
            rig.downloader.fetch_tail(rig.chunk)
    assert len(rig.server.ranges(PATH)) == 1, "it is asked once"
    assert content(rig.downloader.fetch_whole(rig.chunk)) == DATA


def test_200_once_ranges_worked_is_retried(rig: Rig) -> None:
    rig.fetch(0, 10)
    rig.server.fail(PATH, Fault(ignore_range=True))
    assert rig.fetch() == DATA[START:STOP]


def test_a_chunk_that_was_replaced_is_never_mixed(rig: Rig) -> None:
    rig.fetch(0, 10)
    rig.server.files[PATH] = bytes(reversed(DATA))
    with pytest.raises(IntegrityError) as caught:
        rig.fetch()
    assert (caught.value.code, caught.value.chunk_id) == ("chunk_changed", "c0")


def test_a_chunk_that_was_replaced_in_the_middle_of_a_range(rig: Rig) -> None:
    rig.server.fail(PATH, Fault(cut_after=5_000))
    rig.downloader._clock = Clock(sleep=lambda *_: rig.server.files.update({PATH: bytes(reversed(DATA))}))
    with pytest.raises(IntegrityError) as caught:
        rig.fetch()
    assert caught.value.code == "chunk_changed"


def test_a_server_that_ignores_if_range_is_noticed_by_its_etag(rig: Rig) -> None:
    rig.fetch(0, 10)
    rig.server.fail(PATH, Fault(headers={"ETag": '"another"'}))
    with pytest.raises(IntegrityError) as caught:
        rig.fetch()
    assert caught.value.code == "chunk_changed"


def test_a_weak_etag_is_no_validator(rig: Rig) -> None:
    rig.server.etags[PATH] = 'W/"x"'
    rig.fetch(0, 10)
    rig.fetch(10, 20)
    assert all("if-range" not in seen.headers for seen in rig.server.seen)


def test_another_size_than_the_catalogue_s(rig: Rig) -> None:
    rig.server.files[PATH] = DATA[:-1]
    for fetch in (rig.downloader.fetch_tail, rig.downloader.fetch_whole):
        with pytest.raises(IntegrityError) as caught:
            fetch(rig.chunk)
        assert (caught.value.code, caught.value.chunk_id) == ("chunk_integrity", "c0")
        assert "299999 bytes, not 300000" in str(caught.value)


def test_a_flipped_bit_in_a_whole_chunk_is_fetched_again(rig: Rig) -> None:
    rig.server.fail(PATH, Fault(corrupt_at=123_456))
    assert content(rig.downloader.fetch_whole(rig.chunk)) == DATA
    assert rig.downloader.stats()["requests"] == 2


def test_a_wrong_whole_chunk_stays_an_error(rig: Rig) -> None:
    rig.server.always[PATH] = Fault(corrupt_at=5)
    with pytest.raises(IntegrityError, match="SHA-256") as caught:
        rig.downloader.fetch_whole(rig.chunk)
    assert caught.value.code == "chunk_integrity"
    assert len(rig.server.ranges(PATH)) == 4


@pytest.mark.parametrize(
    "fault", [Fault(cut_after=1000), Fault(chunked=True, cut_after=1000), Fault(chunked=True, extra=b"x")]
)
def test_whole_chunks_restart_from_zero(rig: Rig, fault: Fault) -> None:
    rig.server.fail(PATH, fault)
    assert content(rig.downloader.fetch_whole(rig.chunk)) == DATA
    assert rig.server.ranges(PATH) == [None, None]


def test_whole_chunk_of_unknown_size(rig: Rig) -> None:
    unknown = dataclasses.replace(rig.chunk, size_bytes=None, sha256=None)
    assert content(rig.downloader.fetch_whole(unknown)) == DATA
    other = dataclasses.replace(unknown, id="other")
    rig.server.always[PATH] = Fault(chunked=True)
    with pytest.raises(DownloadError, match="neither the catalogue nor the answer") as caught:
        rig.downloader.fetch_whole(other)
    assert isinstance(caught.value.__cause__, ProtocolError)


def test_chunks_above_the_limit_are_not_fetched(server: FaultyServer) -> None:
    rig = Rig(server, limits=Limits(chunk_bytes=299_999))
    with pytest.raises(LimitError) as caught:
        rig.downloader.fetch_whole(rig.chunk)
    assert (caught.value.code, caught.value.chunk_id) == ("limit_chunk", "c0")
    assert rig.server.ranges(PATH) == []
    with pytest.raises(LimitError):
        rig.downloader.fetch_tail(dataclasses.replace(rig.chunk, id="unknown", size_bytes=None))
    rig.close()


def test_content_encoding_is_refused(rig: Rig) -> None:
    rig.server.always[PATH] = Fault(headers={"Content-Encoding": "gzip"})
    with pytest.raises(DownloadError, match="Content-Encoding gzip"):
        rig.fetch()


def sign(rig: Rig, signature: str) -> None:
    """Presign the chunk's address in the catalogue."""
    rig.server.documents["/api/v1/jobs/j"]["chunks"][0]["url"] = f"{rig.server.url}{PATH}?sig={signature}"


def test_an_expired_address_is_refreshed_once_from_the_api(rig: Rig) -> None:
    rig.server.signatures[PATH] = "first-canary"
    sign(rig, "first-canary")
    (chunk,) = rig.client.iter_chunks("j")
    assert content(rig.downloader.fetch_range(chunk, 0, 10)) == DATA[:10]
    rig.server.signatures[PATH] = "second-canary"
    sign(rig, "second-canary")
    assert content(rig.downloader.fetch_range(chunk, 10, 20)) == DATA[10:20]
    assert content(rig.downloader.fetch_range(chunk, 20, 30)) == DATA[20:30]
    assert rig.downloader.stats()["requests"] == 4, "the fresh address is kept"
    rig.server.signatures[PATH] = "third-canary"
    with pytest.raises(AuthenticationError) as caught:
        rig.downloader.fetch_range(chunk, 30, 40)
    assert (caught.value.code, caught.value.chunk_id) == ("forbidden", "c0")
    assert "canary" not in str(caught.value)
    assert rig.downloader.stats()["requests"] == 6


def test_a_refreshed_record_with_other_content_is_a_changed_chunk(rig: Rig) -> None:
    sign(rig, "old")
    (chunk,) = rig.client.iter_chunks("j")
    rig.server.signatures[PATH] = "new"
    sign(rig, "new")
    rig.server.documents["/api/v1/jobs/j"]["chunks"][0]["sha256"] = "0" * 64
    with pytest.raises(IntegrityError) as caught:
        rig.downloader.fetch_range(chunk, 0, 10)
    assert caught.value.code == "chunk_changed"


@pytest.mark.parametrize(
    "fault",
    [Fault(stall_after=-1), Fault(stall_after=1000), Fault(trickle_headers=True), Fault(bytes_per_s=10_000)],
    ids=str,
)
def test_close_ends_a_stalled_download_within_a_second(rig: Rig, fault: Fault) -> None:
    rig.server.always[PATH] = fault
    caught: list[Exception] = []

    def run() -> None:
        try:
            rig.fetch()
        except NetworkError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.3)
    started_s = time.monotonic()
    assert rig.downloader.close()
    assert time.monotonic() - started_s < 1.0
    thread.join(1.0)
    assert [(error.code, error.chunk_id) for error in caught if isinstance(error, NetworkError)] == [("closed", "c0")]


@pytest.mark.parametrize(
    "fault", [Fault(stall_after=-1), Fault(stall_after=1000), Fault(trickle_headers=True)], ids=str
)
def test_a_stall_ends_with_the_timeout_and_is_resumed(server: FaultyServer, fault: Fault) -> None:
    rig = Rig(server, timeout=0.6)
    rig.server.fail(PATH, fault)
    assert rig.fetch() == DATA[START:STOP]
    assert rig.downloader.stats()["retries"] == 1
    rig.close()


def test_many_threads_share_one_downloader(rig: Rig) -> None:
    chance = random.Random(7)
    rig.server.fail(
        PATH, *[chance.choice([Fault(), Fault(cut_after=900), Fault(cut_after=9, reset=True)]) for _ in range(60)]
    )
    wrong: list[int] = []

    def run(seed: int) -> None:
        own = random.Random(seed)
        for _ in range(25):
            start = own.randrange(299_000)
            stop = start + own.randrange(1, 300_000 - start)
            if rig.fetch(start, stop) != DATA[start:stop]:
                wrong.append(start)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert rig.downloader.stats()["requests"] >= 150
