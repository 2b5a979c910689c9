"""Single samples from a server: many small requests by one thread, and the ordinary way wherever anything is wrong."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from faulty_server import Fault, FaultyServer, serve_job
from pixcrawler import Dataset, NetworkError, load_dataset
from support import number_of, numbered, zip_of

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 40
PATH = "/data/c.zip"
# Far apart, so that each is a request of its own.
EVENS, ODDS = list(range(0, COUNT, 2)), list(range(1, COUNT, 2))


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        serve_job(server, "j", {"c": zip_of(numbered(COUNT))})
        yield server


@pytest.fixture
def dataset(server: FaultyServer) -> Iterator[Dataset]:
    """Its directory is read, and connections are open."""
    with load_dataset("j", "key", base_url=server.url, memory_limit=1000) as dataset:
        assert read(dataset, EVENS) == EVENS
        server.seen.clear()
        yield dataset


def read(dataset: Dataset, numbers: list[int]) -> list[int]:
    images = []
    for one in dataset.read(numbers, gap_bytes=0):
        assert isinstance(one, tuple), one
        images.append(number_of(one[0]))
    return images


def forbid_threads(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = dataset._random._pool()

    def submit(*_: Any) -> None:
        raise AssertionError("a thread was asked for")

    monkeypatch.setattr(pool, "submit", submit)


def test_one_thread_over_open_connections(
    server: FaultyServer, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_threads(dataset, monkeypatch)
    before = dataset._source.stats()
    for numbers in (ODDS, EVENS, ODDS[::-1]):
        assert read(dataset, numbers) == numbers
    assert len(server.seen) == 3 * len(ODDS)
    assert all("if-range" in seen.headers for seen in server.seen)
    assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer key"}
    assert dataset._source.stats()["requests"] == before["requests"] + 3 * len(ODDS)
    assert dataset._source.stats()["bytes"] > before["bytes"]
    assert dataset._source.stats()["retries"] == 0


def test_they_are_under_way_at_once(server: FaultyServer, dataset: Dataset) -> None:
    # 20 requests of 0.2 s each.
    server.always[PATH] = Fault(latency_s=0.2)
    began = time.monotonic()
    assert read(dataset, ODDS) == ODDS
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(status=429, headers={"Retry-After": "0"}),
        Fault(cut_after=10),
        Fault(cut_after=10, reset=True),
        Fault(cut_after=-1),
        Fault(chunked=True),
        Fault(no_content_length=True),
        Fault(chunked=True, cut_after=5),
        Fault(content_range="bytes 0-9/1000000"),
        Fault(content_range="nonsense"),
        Fault(headers={"Content-Encoding": "gzip"}),
        Fault(headers={"ETag": '"other"'}),
        Fault(ignore_range=True),
        Fault(extra=b"more"),
        Fault(raw=b"HTTP/1.1 206 \x00\r\n\r\n"),
        Fault(raw=b"no HTTP\r\n\r\n"),
        Fault(raw=b""),
        Fault(corrupt_at=120),
        Fault(latency_s=0.1),
    ],
    ids=str,
)
def test_what_fails_is_fetched_in_the_ordinary_way(server: FaultyServer, dataset: Dataset, fault: Fault) -> None:
    server.fail(PATH, *[Fault()] * 7, fault, Fault(), fault)
    assert read(dataset, ODDS) == ODDS
    assert read(dataset, EVENS) == EVENS


def test_of_a_chunk_elsewhere_it_is_not_tried_again(server: FaultyServer) -> None:
    server.files["/elsewhere"] = server.files[PATH]
    server.always[PATH] = Fault(redirect=f"{server.url}/elsewhere")
    with load_dataset("j", "key", base_url=server.url, memory_limit=1000) as dataset:
        for numbers in (EVENS, ODDS, EVENS):
            assert read(dataset, numbers) == numbers
        server.seen.clear()
        assert read(dataset, ODDS) == ODDS
        assert len(server.ranges(PATH)) == len(server.ranges("/elsewhere")) == len(ODDS)


def test_an_address_that_expires(server: FaultyServer) -> None:
    job = server.documents["/api/v1/jobs/j"]
    job["chunks"][0]["url"] += "?sig=one"
    server.signatures[PATH] = "one"
    with load_dataset("j", "key", base_url=server.url, memory_limit=1000) as dataset:
        assert read(dataset, EVENS) == EVENS
        job["chunks"][0]["url"] = f"{server.url}{PATH}?sig=two"
        server.signatures[PATH] = "two"
        for numbers in (ODDS, EVENS):
            assert read(dataset, numbers) == numbers


def test_connections_that_the_server_has_ended(server: FaultyServer, dataset: Dataset) -> None:
    port = server.port
    server.__exit__()
    with FaultyServer(server.files, server.documents, address=("127.0.0.1", port)):
        assert read(dataset, ODDS) == ODDS


def test_close_ends_them(server: FaultyServer, dataset: Dataset) -> None:
    server.always[PATH] = Fault(stall_after=-1)
    caught: list[BaseException] = []

    def work() -> None:
        try:
            caught.extend(one for one in dataset.read(ODDS, gap_bytes=0) if isinstance(one, BaseException))
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while len(server.seen) < len(ODDS) // 2:
        time.sleep(0.01)
    began = time.monotonic()
    dataset.close()
    thread.join(5)
    assert not thread.is_alive()
    assert time.monotonic() - began < 4
    assert caught
    assert all(isinstance(error, NetworkError | RuntimeError) for error in caught)


def test_by_several_threads(dataset: Dataset) -> None:
    wrong: list[object] = []

    def work(numbers: list[int]) -> None:
        with contextlib.suppress(AssertionError):
            for _ in range(10):
                if read(dataset, numbers) != numbers:
                    break
            else:
                return
        wrong.append(numbers)

    threads = [threading.Thread(target=work, args=(numbers,)) for numbers in (ODDS, EVENS, ODDS[::-1], EVENS[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
