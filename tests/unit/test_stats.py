"""Where the time went, and the sentence that says what limits a run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from pixcrawler import Stats
from pixcrawler.stats import PassClock

if TYPE_CHECKING:
    from pixcrawler._native import DecoderStats


def stats(**figures: float) -> Stats:
    """Ten seconds of two threads."""
    return Stats(images=1000, bytes_fetched=200_000_000, elapsed_s=10.0, threads=2, **figures)  # type: ignore[arg-type]


def test_rates() -> None:
    assert stats().images_per_s == 100
    assert stats(inflate_s=1, decode_s=10, resize_s=4).busy == 0.75
    assert stats(decode_s=30).busy == 1
    assert (Stats().images_per_s, Stats().busy) == (0, 0)


@pytest.mark.parametrize(
    ("figures", "sentence"),
    [
        (
            {"wait_decode_s": 2, "wait_consumer_s": 6, "decode_s": 3},
            "The code that takes the images limits this run: it was busy for 80% of the time.",
        ),
        (
            {"wait_decode_s": 9.5, "wait_network_s": 7, "decode_s": 3},
            "Fetching limits this run: decoding waited for 70% of the time, at 20 MB/s.",
        ),
        (
            {"wait_decode_s": 9.5, "decode_s": 17, "resize_s": 1, "inflate_s": 1},
            "The processor limits this run: 2 threads busy for 95% of the time, mostly decoding.",
        ),
        (
            {"wait_decode_s": 9.5, "decode_s": 2, "resize_s": 12, "inflate_s": 1},
            "The processor limits this run: 2 threads busy for 75% of the time, mostly resizing.",
        ),
        (
            {"wait_decode_s": 9.5, "decode_s": 2, "resize_s": 1, "inflate_s": 12},
            "The processor limits this run: 2 threads busy for 75% of the time, mostly inflating.",
        ),
    ],
)
def test_the_sentence(figures: dict[str, float], sentence: str) -> None:
    assert stats(**figures).limit == sentence


def test_before_anything_was_delivered() -> None:
    idle = Stats(images=24, elapsed_s=1, wait_decode_s=0.9, wait_network_s=0.1, decode_s=0.2, threads=2)
    assert idle.limit == "Waiting limits this run: the decode threads were busy for only 10% of the time."
    assert Stats(elapsed_s=3, wait_network_s=3).limit == "Nothing has been delivered yet."


def test_one_thread_is_one_thread() -> None:
    one = Stats(images=1, elapsed_s=1, threads=1, wait_decode_s=1, decode_s=0.9)
    assert "1 thread busy" in one.limit


DECODER: DecoderStats = {
    "encoded_bytes": 7,
    "inflate_ns": 10**9,
    "decode_ns": 2 * 10**9,
    "resize_ns": 3 * 10**9,
    "images_by_decoder": {"pixcrawler-jpeg": 4, "png": 1},
}


def test_a_clock_that_is_read_while_it_runs_and_after() -> None:
    clock = PassClock()
    before = clock.read(DECODER, 17, 3, {})
    assert (before.images, before.first_batch_s) == (0, None)
    time.sleep(0.002)
    clock.deliver(4)
    first = clock.read(DECODER, 17, 3, {})
    clock.deliver(5)
    clock.failures += 2
    clock.end()
    after = clock.read(DECODER, 18, 3, {"requests": 5, "retries": 1})
    assert (after.images, after.failures, after.bytes_fetched, after.threads) == (9, 2, 18, 3)
    assert (after.requests, after.retries) == (5, 1)
    assert (after.inflate_s, after.decode_s, after.resize_s) == (1, 2, 3)
    assert first.first_batch_s == after.first_batch_s
    assert first.first_batch_s is not None
    assert 0.002 <= first.first_batch_s <= first.elapsed_s <= after.elapsed_s
    # The end is the first one that is noted.
    clock.end()
    assert clock.read(DECODER, 18, 3, {"requests": 5, "retries": 1}) == after
