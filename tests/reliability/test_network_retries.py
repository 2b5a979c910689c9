"""N14 to N17, N21: when to try again, when to stop trying, and how everything ends."""

from __future__ import annotations

import gc
import math
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import load_dataset
from pixcrawler._network import Speed, TooSlowError
from pixcrawler._retry import Attempts, Clock, RetryPolicy, is_retryable_status, parse_retry_after
from pixcrawler.client import PixCrawlerClient
from pixcrawler.dataset import Dataset
from pixcrawler.exceptions import AuthenticationError, DownloadError, IntegrityError, NetworkError
from pixcrawler.options import Options
from pixcrawler.sources.api import ApiSource
from raw_server import RawServer, partial
from rig import DATA, IMPATIENT, PATH, START, STOP, Rig, content
from support import catching_warning, numbered, zip_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pixcrawler.exceptions import PixCrawlerError

WANTED = DATA[START:STOP]
NOW_S = 1_800_000_000.0


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture
def rig(server: FaultyServer) -> Iterator[Rig]:
    made = Rig(server)
    yield made
    made.close()


# N14: Retry-After.


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("9" * 400, math.inf),
        ("\u0663", None),
        (formatdate(NOW_S + 30, usegmt=True), 30.0),
        (formatdate(NOW_S - 30, usegmt=True), None),
        (formatdate(NOW_S + 315_360_000, usegmt=True), 315_360_000.0),
        ("Fri, 99 Foo 2026 25:61:61 GMT", None),
    ],
)
def test_N14_retry_after_is_read(header: str | None, expected: float | None) -> None:
    assert parse_retry_after(header, now_s=NOW_S) == expected


@pytest.mark.parametrize(
    ("header", "low_s", "high_s"),
    [
        ("9", 9, 9),
        ("0", 0, 0),
        ("315360000", 60, 60),
        ("-5", 0, 0),
        ("garbage\x1b", 0, 0),
        (-3_600, 0, 0),
        (40, 20, 40),
        (315_360_000, 60, 60),
    ],
    ids=["seconds", "zero", "ten-years", "negative", "garbage", "past-date", "date", "date-in-ten-years"],
)
@pytest.mark.parametrize("status", [429, 503])
def test_N14_the_wait_is_as_told_up_to_a_cap(
    rig: Rig, status: int, header: str | int, low_s: float, high_s: float
) -> None:
    if isinstance(header, int):
        header = formatdate(time.time() + header, usegmt=True)
    rig.server.fail(PATH, Fault(status=status, headers={"Retry-After": header}))
    assert rig.fetch() == WANTED
    # Where the header says nothing of use the backoff does; its chance is 0 here.
    (wait_s,) = rig.waits
    assert low_s <= wait_s <= high_s


# N15: statuses.


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 429, 599])
def test_N15_passing_statuses_are_retried_with_backoff(server: FaultyServer, status: int) -> None:
    assert is_retryable_status(status)
    rig = Rig(server)
    rig.client._clock = Clock(chance=lambda: 0.5, sleep=lambda seconds, _cancelled: rig.waits.append(seconds))
    downloader = rig.client.downloader("j")
    server.fail(PATH, Fault(status=status), Fault(status=status))
    assert content(downloader.fetch_range(rig.chunk, START, STOP)) == WANTED
    assert rig.waits == [0.25, 0.5]
    server.always[PATH] = Fault(status=status)
    with pytest.raises(DownloadError, match=f"status {status}") as caught:
        downloader.fetch_range(rig.chunk, START, STOP)
    assert (caught.value.code, caught.value.retryable, caught.value.chunk_id) == ("download_failed", True, "c0")
    assert "after 4 failed attempts, with 0 of 199000 bytes" in str(caught.value)
    assert isinstance(caught.value.__cause__, NetworkError)
    assert rig.waits[2:] == [0.25, 0.5, 1.0]
    rig.close()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 451])
def test_N15_lasting_statuses_are_not(rig: Rig, status: int) -> None:
    assert not is_retryable_status(status)
    rig.server.always[PATH] = Fault(status=status)
    with pytest.raises((DownloadError, AuthenticationError), match=f"status {status}") as caught:
        rig.fetch()
    assert (caught.value.retryable, caught.value.chunk_id) == (False, "c0")
    assert (len(rig.server.ranges(PATH)), rig.waits) == (1, [])


def sign(rig: Rig, signature: str) -> None:
    """Presign the chunks' addresses in the catalogue."""
    for record in rig.server.documents["/api/v1/jobs/j"]["chunks"]:
        path = f"/data/{record['id']}.zip"
        record["url"] = f"{rig.server.url}{path}?sig={signature}"
        rig.server.signatures[path] = signature


def catalogue_requests(rig: Rig) -> int:
    return sum(seen.target.startswith("/api/") for seen in rig.server.seen)


def test_N15_an_expired_address_is_refreshed_once(rig: Rig) -> None:
    sign(rig, "first-canary")
    (chunk,) = rig.client.iter_chunks("j")
    assert content(rig.downloader.fetch_range(chunk, 0, 10)) == DATA[:10]
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


def test_N15_one_look_at_the_catalogue_refreshes_all_chunks_and_passes(server: FaultyServer) -> None:
    rig = Rig(server)
    serve_job(server, "j", {f"c{number}": DATA for number in range(5)})
    sign(rig, "old")
    chunks = list(rig.client.iter_chunks("j"))
    sign(rig, "new")
    before = catalogue_requests(rig)
    for run in (rig.downloader, rig.downloader.for_run()):
        for chunk in chunks:
            assert content(run.fetch_range(chunk, 5, 9)) == DATA[5:9]
    assert catalogue_requests(rig) == before + 1
    rig.close()


def test_N15_a_refreshed_record_with_other_content_is_a_changed_chunk(rig: Rig) -> None:
    sign(rig, "old")
    (chunk,) = rig.client.iter_chunks("j")
    sign(rig, "new")
    rig.server.documents["/api/v1/jobs/j"]["chunks"][0]["sha256"] = "0" * 64
    with pytest.raises(IntegrityError) as caught:
        rig.downloader.fetch_range(chunk, 0, 10)
    assert caught.value.code == "chunk_changed"


# N16: budgets.


class FakeTime:
    """A clock that only sleeping, and what the test says, moves."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.clock = Clock(lambda: self.now_s, lambda: NOW_S + self.now_s, lambda: 1.0, self._sleep)

    def _sleep(self, seconds: float, _cancelled: threading.Event | None) -> None:
        self.now_s += seconds


FAILURE = NetworkError("x", code="connection", retryable=True)


def attempts_until_the_end(time_: FakeTime, attempts: Attempts, took_s: float, size_bytes: int) -> int:
    count = 0
    while count < 10_000:
        count += 1
        time_.now_s += took_s
        if size_bytes:
            attempts.progressed(size_bytes)
        try:
            attempts.failed(FAILURE)
        except NetworkError:
            return count
    raise AssertionError("it never ends")


def test_N16_a_server_that_brings_a_byte_each_time_ends_with_the_total_time() -> None:
    fake = FakeTime()
    policy = RetryPolicy(total_s=600)
    attempts_until_the_end(fake, Attempts(policy, fake.clock), took_s=20, size_bytes=1)
    assert 580 < fake.now_s < 640


def test_N16_a_slow_line_gets_the_time_that_its_bytes_take() -> None:
    """4 MiB at 5 kB/s take 839 s, which is more than the total time; 1 kB/s is the least rate."""
    fake = FakeTime()
    attempts = Attempts(RetryPolicy(total_s=600), fake.clock)
    for _ in range(4):
        fake.now_s += 300
        attempts.progressed(300 * 5_000)
        attempts.failed(FAILURE)
    assert fake.now_s > 1_200
    # What came fast buys no time to waste: only as much as it took.
    fake = FakeTime()
    attempts = Attempts(RetryPolicy(total_s=600), fake.clock)
    fake.now_s += 1
    attempts.progressed(100_000_000)
    attempts.failed(FAILURE)
    attempts_until_the_end(fake, attempts, took_s=20, size_bytes=1)
    assert fake.now_s < 640


def open_job(server: FaultyServer, chunks: int, policy: RetryPolicy, **options: object) -> Dataset:
    members = numbered(2)
    serve_job(server, "j", {f"c{number}": zip_of(members) for number in range(chunks)}, num_images=2 * chunks)
    for record in server.documents["/api/v1/jobs/j"]["chunks"]:
        record["num_images"] = 2
    client = PixCrawlerClient("key", server.url, policy=policy)
    return Dataset(ApiSource(client, "j", owns_client=True), Options(on_error="skip", **options))  # type: ignore[arg-type]


QUICK = RetryPolicy(first_s=0.001, max_s=0.002, idle_s=0.1)


@pytest.mark.parametrize(
    "fault", [Fault(status=503), Fault(cut_after=-1), Fault(stall_after=-1), Fault(cut_after=0)], ids=str
)
def test_N16_a_server_that_is_down_ends_the_run_and_not_each_of_its_chunks(server: FaultyServer, fault: Fault) -> None:
    with open_job(server, 300, QUICK) as dataset:
        for chunk in range(300):
            server.always[f"/data/c{chunk}.zip"] = fault
        with pytest.raises(DownloadError, match="in a row") as caught:
            list(dataset)
        assert (caught.value.code, caught.value.retryable) == ("server_down", True)
        stats = dataset.stats()
        # 8 downloads in a row, of 4 attempts each, and those under way meanwhile.
        assert 32 <= stats.requests <= 4 * (8 + 4)
        assert stats.retries == stats.requests * 3 / 4
        assert 8 <= len(dataset.failures) <= 12, "those that were tried are in the ledger"
        # The server is back: so is the data.
        server.always.clear()
        assert sum(1 for _ in dataset) == 600
        assert not dataset.failures


def test_N16_failures_with_success_between_them_do_not_end_the_run(server: FaultyServer) -> None:
    with open_job(server, 60, QUICK) as dataset:
        for chunk in range(0, 60, 2):
            server.always[f"/data/c{chunk}.zip"] = Fault(status=503)
        assert len(catching_warning(dataset)) == 60
        assert len(dataset.failures) == 30
        assert {failure.code for failure in dataset.failures} == {"download_failed"}


def test_N16_missing_chunks_say_nothing_of_the_server(server: FaultyServer) -> None:
    with open_job(server, 60, QUICK) as dataset:
        for chunk in range(59):
            server.always[f"/data/c{chunk}.zip"] = Fault(status=404)
        assert len(catching_warning(dataset)) == 2
        assert len(dataset.failures) == 59
        assert dataset.stats().retries == 0


def test_N16_the_rest_of_a_chunk_that_does_not_come_is_not_asked_for(server: FaultyServer) -> None:
    rig = Rig(server)
    run = rig.downloader.for_run()
    server.always[PATH] = Fault(status=503)
    codes = []
    for start in range(0, 50_000, 1_000):
        with pytest.raises(DownloadError) as caught:
            run.fetch_range(rig.chunk, start, start + 1_000)
        codes.append(caught.value.code)
    assert codes == ["download_failed"] * 50
    assert "the rest is not asked for" in str(caught.value)
    assert run.stats()["requests"] == 8
    # Single samples are asked for by somebody who can stop asking.
    server.always.clear()
    assert rig.fetch() == WANTED
    rig.close()


# N17: servers that are slow on purpose.


def test_N17_the_least_rate_is_asked_of_every_window() -> None:
    speed = Speed(30, 30_000)
    speed.check(1_000)
    # Before the first byte there is no window: waiting is what the idle time bounds.
    speed.received(1, 2_000)
    speed.check(2_029)
    with pytest.raises(TooSlowError, match="1 bytes in 30 s, fewer than 30000"):
        speed.check(2_030)
    slow = Speed(30, 30_000)
    for second in range(300):
        slow.received(1_100, second)
        slow.check(second)
    for second in range(300, 330):
        slow.received(900, second)
        slow.check(second)
    with pytest.raises(TooSlowError):
        slow.check(330)


def trickle(head: bytes, number: int, *, headers: bool) -> Iterable[bytes | float]:
    start, body = partial(head, DATA)
    if number > 0:
        return [start, body]
    sent = start + body if headers else body
    slow = [step for byte in sent[:200] for step in (bytes([byte]), 0.1)]
    return slow if headers else [start, *slow]


@pytest.mark.parametrize("what", ["headers", "body"])
def test_N17_a_trickle_ends_with_the_least_rate_and_is_resumed(server: FaultyServer, what: str) -> None:
    """One byte each 0.1 s, against an idle time of 10 s: only the rate gives it away."""
    policy = RetryPolicy(idle_s=10, slow_s=0.6, slow_bytes=1_000, first_s=0)
    with RawServer(lambda head, number: trickle(head, number, headers=what == "headers")) as raw:
        rig = Rig(server, url=f"{raw.url}/c0.zip", policy=policy)
        began_s = time.monotonic()
        assert rig.fetch() == WANTED
        assert time.monotonic() - began_s < 8
        assert rig.downloader.stats()["retries"] == 1
        if what == "body":
            assert b"bytes=1000-" not in raw.heads[1], "what came is kept"
        rig.close()


def test_N17_an_honest_slow_line_is_left_alone(server: FaultyServer) -> None:
    """20 kB/s against a least rate of a twentieth of that, over several windows."""
    rig = Rig(server, policy=RetryPolicy(idle_s=10, slow_s=0.4, slow_bytes=400))
    server.fail(PATH, Fault(bytes_per_s=20_000))
    assert rig.fetch(0, 32_000) == DATA[:32_000]
    assert rig.downloader.stats() == {"requests": 1, "retries": 0, "bytes": 32_000}
    rig.close()


@pytest.mark.parametrize(
    "fault",
    [Fault(stall_after=-1), Fault(stall_after=0), Fault(stall_after=1_000), Fault(stall_after=STOP - START - 1_990)],
    ids=["says-nothing", "after-the-head", "after-1000", "at-99-percent"],
)
def test_N17_a_stall_ends_with_the_idle_time_and_is_resumed(server: FaultyServer, fault: Fault) -> None:
    rig = Rig(server, policy=IMPATIENT)
    server.fail(PATH, fault)
    began_s = time.monotonic()
    assert rig.fetch() == WANTED
    assert 0.4 < time.monotonic() - began_s < 8
    assert server.ranges(PATH)[-1] == f"bytes={START + max(0, fault.stall_after or 0)}-199999"
    assert rig.downloader.stats()["retries"] == 1
    rig.close()


def test_N17_a_whole_request_ends_with_the_timeout(server: FaultyServer) -> None:
    rig = Rig(server, timeout=0.6)
    server.fail(PATH, Fault(trickle_headers=True))
    assert rig.fetch() == WANTED
    assert rig.downloader.stats()["retries"] == 1
    rig.close()


def test_N17_the_least_rate_holds_for_a_client_of_the_user_s_own(server: FaultyServer) -> None:
    import httpx

    policy = RetryPolicy(idle_s=10, slow_s=0.3, slow_bytes=1_000, first_s=0)
    with (
        RawServer(lambda head, number: trickle(head, number, headers=False)) as raw,
        httpx.Client() as http,
    ):
        rig = Rig(server, url=f"{raw.url}/c0.zip", policy=policy, http_client=http)
        assert rig.fetch() == WANTED
        assert rig.downloader.stats()["retries"] == 1
        rig.close()


def test_N17_other_downloads_go_on_meanwhile(server: FaultyServer) -> None:
    rig = Rig(server, policy=RetryPolicy(idle_s=3))
    server.fail(PATH, Fault(stall_after=1_000))
    slow = threading.Thread(target=rig.fetch)
    slow.start()
    while not server.ranges(PATH):
        time.sleep(0.01)
    began_s = time.monotonic()
    for _ in range(20):
        assert rig.fetch() == WANTED
    assert time.monotonic() - began_s < 2.5
    assert slow.is_alive()
    slow.join(10)
    assert not slow.is_alive()
    assert rig.downloader.stats()["retries"] == 1
    rig.close()


# N21: how everything ends.

STALLS = [
    Fault(stall_after=-1),
    Fault(stall_after=1_000),
    Fault(trickle_headers=True),
    Fault(bytes_per_s=10_000),
    Fault(status=503, headers={"Retry-After": "60"}),
]


@pytest.mark.parametrize("fault", STALLS, ids=str)
@pytest.mark.parametrize("how", ["close", "interrupt"])
def test_N21_a_download_under_way_ends_within_a_second(server: FaultyServer, fault: Fault, how: str) -> None:
    client = PixCrawlerClient("key", server.url)
    serve_job(server, "j", {"c0": DATA})
    (chunk,) = client.iter_chunks("j")
    downloader = client.downloader("j")
    server.always[PATH] = fault
    caught: list[PixCrawlerError] = []

    def run() -> None:
        try:
            downloader.fetch_range(chunk, START, STOP)
        except NetworkError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.4)
    began_s = time.monotonic()
    if how == "close":
        assert downloader.close()
    else:
        downloader.interrupt()
    thread.join(5)
    assert time.monotonic() - began_s < 1.0
    assert [(error.code, error.chunk_id) for error in caught] == [("closed", "c0")]
    server.always.clear()
    if how == "interrupt":
        assert content(downloader.fetch_range(chunk, START, STOP)) == WANTED
    client.close()


@pytest.mark.parametrize("what", ["no-handshake", "no-connection"])
def test_N21_connecting_ends_within_a_second(server: FaultyServer, what: str) -> None:
    """A handshake that nobody answers; and a queue of connections that is full, as behind a firewall that drops all."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16 if what == "no-handshake" else 0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(0 if what == "no-handshake" else 3)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(address)
        client = PixCrawlerClient("key", server.url)
        serve_job(server, "j", {"c0": DATA})
        server.documents["/api/v1/jobs/j"]["chunks"][0]["url"] = f"https://127.0.0.1:{address[1]}/x"
        (chunk,) = client.iter_chunks("j")
        downloader = client.downloader("j")
        caught: list[NetworkError] = []

        def run() -> None:
            try:
                downloader.fetch_range(chunk, START, STOP)
            except NetworkError as error:
                caught.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.4)
        assert thread.is_alive()
        began_s = time.monotonic()
        assert downloader.close()
        thread.join(5)
        assert time.monotonic() - began_s < 1.0
        assert [error.code for error in caught] == ["closed"]
        client.close()
        for filler in fillers:
            filler.close()


def fetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("pixcrawler-")]


@pytest.mark.parametrize("fault", STALLS, ids=str)
@pytest.mark.parametrize("how", ["close", "drop", "dataset"])
def test_N21_an_iterator_that_ends_leaves_no_thread(server: FaultyServer, fault: Fault, how: str) -> None:
    members = numbered(400)
    serve_job(server, "j", {f"c{number}": zip_of(members) for number in range(4)}, num_images=1600)
    dataset = load_dataset("j", "key", server.url)
    iterator = dataset.iter_batches(8, image_size=8)
    next(iterator)
    server.always[""] = fault
    iterator.close()
    server.fail("/data/c0.zip", Fault(), Fault())
    iterator = dataset.iter_batches(8, image_size=8)
    next(iterator)
    time.sleep(0.3)
    began_s = time.monotonic()
    if how == "close":
        iterator.close()
    elif how == "drop":
        del iterator
        gc.collect()
    else:
        dataset.close()
    assert time.monotonic() - began_s < 1.5
    deadline_s = time.monotonic() + 1
    while fetch_threads() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert fetch_threads() == []
    server.always.clear()
    if how != "dataset":
        assert sum(len(labels) for _, labels in dataset.iter_batches(100, image_size=8)) == 1600
    dataset.close()


INTERRUPTED = """
    import sys, threading, time
    import pixcrawler

    dataset = pixcrawler.load_dataset("j", "key", sys.argv[1])
    def announce():
        time.sleep(0.6)
        print("waiting", flush=True)
    threading.Thread(target=announce, daemon=True).start()
    try:
        if sys.argv[2] == "pass":
            for _ in dataset:
                pass
        elif sys.argv[2] == "sample":
            dataset[0]
        else:
            dataset[[0, 399, 150]]
    except KeyboardInterrupt:
        print("interrupted", time.time(), flush=True)
"""


@pytest.mark.alone
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("stall", ["silence", "retry-after"])
@pytest.mark.parametrize("what", ["pass", "sample", "samples"])
def test_N21_ctrl_c_ends_a_stalled_download_and_the_process(server: FaultyServer, what: str, stall: str) -> None:
    members = {name: data + random.Random(name).randbytes(5_000) for name, data in numbered(400).items()}
    serve_job(server, "j", {"c0": zip_of(members)}, num_images=400)
    server.documents["/api/v1/jobs/j"]["chunks"][0]["num_images"] = 400
    server.always[PATH] = (
        Fault(stall_after=100) if stall == "silence" else Fault(status=503, headers={"Retry-After": "60"})
    )
    # The directory comes, the samples do not.
    server.fail(PATH, Fault())
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(INTERRUPTED), server.url, what],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    began_s = time.time()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    ended_s = time.time()
    word, interrupted_s = out.split()
    assert (word, process.returncode, err) == ("interrupted", 0, "")
    assert float(interrupted_s) - began_s < 1.0 + 1.0, "a second, and one for a loaded machine"
    assert ended_s - float(interrupted_s) < 3.0, "the interpreter waits for no thread"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_N21_a_worker_that_is_killed_leaves_the_others_alone(server: FaultyServer) -> None:
    members = numbered(300)
    serve_job(server, "j", {"c0": zip_of(members)}, num_images=300)
    server.fail(PATH, Fault(), Fault(stall_after=100))
    code = "import sys, pixcrawler; list(pixcrawler.load_dataset('j', 'key', sys.argv[1]))"
    process = subprocess.Popen([sys.executable, "-c", code, server.url])
    deadline_s = time.monotonic() + 20
    while len(server.ranges(PATH)) < 2 and time.monotonic() < deadline_s:
        time.sleep(0.02)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    with load_dataset("j", "key", server.url) as dataset:
        assert sum(1 for _ in dataset) == 300


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are counted in /proc")
def test_N21_cancelled_passes_leave_no_descriptor(server: FaultyServer) -> None:
    serve_job(server, "j", {"c0": zip_of(numbered(300))}, num_images=300)

    def use() -> None:
        server.fail(PATH, Fault(), Fault(stall_after=100), Fault(stall_after=100))
        with load_dataset("j", "key", server.url) as dataset:
            iterator = iter(dataset)
            time.sleep(0.1)
            iterator.close()

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    use()
    server.stop.set()
    time.sleep(0.2)
    server.stop.clear()
    gc.collect()
    before = descriptors()
    for _ in range(10):
        use()
    server.stop.set()
    gc.collect()
    deadline_s = time.monotonic() + 5
    # The server's side of each connection closes in a thread of its own.
    while descriptors() > before and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert descriptors() <= before
