"""Ranges to segments over a real socket; what may go wrong there is in tests/reliability."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest

from faulty_server import Fault, FaultyServer
from rig import DATA, PATH, START, STOP, Rig, content

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    assert rig.downloader.fetch_tail(rig.unknown).size_bytes == 300_000


@pytest.mark.parametrize("start_stop", [(5, 5), (9, 5), (-1, 5)])
def test_impossible_ranges(rig: Rig, start_stop: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not a range"):
        rig.downloader.fetch_range(rig.chunk, *start_stop)


def test_chunked_and_close_delimited_bodies_are_fine(rig: Rig) -> None:
    rig.server.fail(PATH, Fault(chunked=True), Fault(no_content_length=True))
    assert rig.fetch() == rig.fetch() == DATA[START:STOP]
    assert rig.downloader.stats()["retries"] == 0


@pytest.mark.parametrize(
    "fault", [Fault(cut_after=1000), Fault(chunked=True, cut_after=1000), Fault(chunked=True, extra=b"x")]
)
def test_whole_chunks_restart_from_zero(rig: Rig, fault: Fault) -> None:
    rig.server.fail(PATH, fault)
    assert content(rig.downloader.fetch_whole(rig.chunk)) == DATA
    assert rig.server.ranges(PATH) == [None, None]


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
