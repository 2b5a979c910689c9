"""The retry policy is a function of numbers."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler._retry import Attempts, Clock, RetryPolicy, parse_retry_after
from pixcrawler.exceptions import NetworkError, RateLimitError

NOW_S = 1_800_000_000.0
POLICY = RetryPolicy(retries=3, first_s=0.5, max_s=10.0, retry_after_max_s=60.0, total_s=100.0)
FAILURE = NetworkError("x", code="connection", retryable=True)


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self, chance: float = 1.0) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []
        self.clock = Clock(lambda: self.now_s, lambda: NOW_S + self.now_s, lambda: chance, self._sleep)

    def _sleep(self, seconds: float, cancelled: threading.Event | None) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


@given(st.text())
def test_retry_after_survives_any_header(header: str) -> None:
    wait = parse_retry_after(header, now_s=NOW_S)
    assert wait is None or wait >= 0


def test_backoff_doubles_and_is_capped() -> None:
    def wait(attempt: int, policy: RetryPolicy) -> float | None:
        return policy.wait_s(attempt=attempt, retryable=True, retry_after_s=None, elapsed_s=0, chance=0.999999)

    many = RetryPolicy(retries=9, first_s=0.5, max_s=10.0)
    assert [round(wait(n, many) or 0, 2) for n in range(1, 8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert wait(4, POLICY) is None


@given(
    attempt=st.integers(1, 10),
    after=st.none() | st.floats(0, math.inf),
    elapsed=st.floats(0, 1000),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_every_wait_is_within_all_bounds(attempt: int, after: float | None, elapsed: float, chance: float) -> None:
    wait = POLICY.wait_s(attempt=attempt, retryable=True, retry_after_s=after, elapsed_s=elapsed, chance=chance)
    if wait is not None:
        assert attempt <= 3
        assert 0 <= wait <= 60
        assert elapsed + wait <= 100


def test_retry_after_is_obeyed_up_to_the_cap() -> None:
    def wait(after: float) -> float | None:
        return POLICY.wait_s(attempt=1, retryable=True, retry_after_s=after, elapsed_s=0, chance=0.5)

    assert wait(7.0) == 7.0
    assert wait(3600.0) == 60.0
    assert wait(math.inf) == 60.0
    assert wait(0.0) == 0.25


def test_what_does_not_pass_is_not_retried() -> None:
    assert POLICY.wait_s(attempt=1, retryable=False, retry_after_s=1, elapsed_s=0, chance=0.5) is None


def test_attempts_end_with_the_last_error() -> None:
    fake = FakeTime()
    attempts = Attempts(POLICY, fake.clock)
    for _ in range(3):
        attempts.failed(FAILURE)
    with pytest.raises(NetworkError) as caught:
        attempts.failed(FAILURE)
    assert caught.value is FAILURE
    assert fake.slept == [0.5, 1.0, 2.0]


def test_progress_starts_the_count_anew_but_not_the_total_time() -> None:
    fake = FakeTime()
    attempts = Attempts(POLICY, fake.clock)
    for _ in range(200):
        attempts.progressed(1)
        attempts.failed(FAILURE)
    assert fake.now_s == 100.0
    attempts.progressed(1)
    with pytest.raises(NetworkError):
        attempts.failed(FAILURE)
    assert attempts.total == 201


def test_a_server_that_names_a_pause_gets_it() -> None:
    fake = FakeTime()
    Attempts(POLICY, fake.clock).failed(RateLimitError("x", code="rate_limited", retryable=True, retry_after_s=12))
    assert fake.slept == [12]


def test_cancelling_ends_a_real_wait() -> None:
    cancelled = threading.Event()
    cancelled.set()
    # Would otherwise sleep for a minute, past the test's own limit.
    Attempts(POLICY, Clock(), cancelled).failed(NetworkError("x", code="connection", retryable=True, retry_after_s=60))
