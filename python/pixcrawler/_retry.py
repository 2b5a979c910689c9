"""When to try again: a pure policy, and the loop variable that applies it.

The policy decides from numbers alone; time, randomness and sleeping come from a :class:`Clock`, so that tests neither
wait nor depend on chance.
"""

from __future__ import annotations

import email.utils
import logging
import math
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pixcrawler._constants import (
    BACKOFF_FIRST_S,
    BACKOFF_MAX_S,
    DEFAULT_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    RETRIES,
    RETRY_AFTER_MAX_S,
    SLOW_BYTES,
    SLOW_TIME_S,
)
from pixcrawler.exceptions import NetworkError, PixCrawlerError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

_log = logging.getLogger(__name__)

_REQUEST_TIMEOUT = 408
_TOO_MANY_REQUESTS = 429
_FIRST_SERVER_ERROR = 500
_LAST_SERVER_ERROR = 599


def is_retryable_status(status: int) -> bool:
    """Whether the same request may succeed later: 408, 429 and 5xx.

    Args:
        status: An HTTP status.
    """
    return status in {_REQUEST_TIMEOUT, _TOO_MANY_REQUESTS} or _FIRST_SERVER_ERROR <= status <= _LAST_SERVER_ERROR


def parse_retry_after(value: str | None, *, now_s: float) -> float | None:
    """Read a Retry-After header (RFC 9110, 10.2.3).

    Args:
        value: The header: seconds, or an HTTP date.
        now_s: The time, in seconds since the epoch.

    Returns:
        Seconds from now, not negative and not capped; None for no header, a negative number, a date in the past or
        garbage, for which the usual backoff is the answer.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # Digits beyond what a float holds are "forever".
        return float(text) if len(text) < 300 else math.inf  # noqa: PLR2004  (1e308 is the largest float)
    try:
        when = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return when - now_s if when > now_s else None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When an attempt is given up, and how often and how long to try again.

    Attributes:
        retries: Retries without progress.
        first_s: Upper end of the first wait.
        max_s: Upper end of any wait of our own choosing.
        retry_after_max_s: Longest wait that a server may impose; a longer one is cut to this.
        total_s: No retry starts later than this after the first attempt did; what came at the least rate or faster does
            not count.
        idle_s: Seconds without a byte that end an attempt.
        slow_s, slow_bytes: The least rate: an attempt ends whose answer brings fewer bytes in such a time.
    """

    retries: int = RETRIES
    first_s: float = BACKOFF_FIRST_S
    max_s: float = BACKOFF_MAX_S
    retry_after_max_s: float = RETRY_AFTER_MAX_S
    total_s: float = 2 * DEFAULT_TIMEOUT_S
    idle_s: float = IDLE_TIMEOUT_S
    slow_s: float = SLOW_TIME_S
    slow_bytes: int = SLOW_BYTES

    @classmethod
    def of_timeout(cls, timeout_s: float) -> RetryPolicy:
        """The policy for requests that may take so long.

        Args:
            timeout_s: Total time of one request.
        """
        return cls(total_s=2 * timeout_s, idle_s=min(IDLE_TIMEOUT_S, timeout_s))

    def wait_s(
        self, *, attempt: int, retryable: bool, retry_after_s: float | None, elapsed_s: float, chance: float
    ) -> float | None:
        """Decide what follows a failure.

        Args:
            attempt: Failures in a row without progress, this one included: 1, 2, ...
            retryable: Whether the failure is of a kind that may pass.
            retry_after_s: Seconds that the server asked for, if it did.
            elapsed_s: Since the first attempt started, less the time that what came since may have taken.
            chance: A random number in [0, 1): full jitter, so that many clients do not come back at once.

        Returns:
            Seconds to wait before the next attempt, or None to give up.
        """
        if not retryable or attempt > self.retries:
            return None
        if retry_after_s is not None and retry_after_s > 0:
            wait = min(retry_after_s, self.retry_after_max_s)
        else:
            wait = chance * min(self.max_s, self.first_s * 2.0 ** (attempt - 1))
        return wait if elapsed_s + wait <= self.total_s else None


class Sleeper(Protocol):
    """Waits, or returns early when cancelled."""

    def __call__(self, seconds: float, cancelled: threading.Event | None) -> None:
        """Wait."""


def _sleep(seconds: float, cancelled: threading.Event | None) -> None:
    if cancelled is None:
        time.sleep(seconds)
    else:
        cancelled.wait(seconds)


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time and chance come from.

    Attributes:
        monotonic: Seconds, for durations.
        epoch: Seconds since the epoch, for dates in headers.
        chance: A random number in [0, 1).
        sleep: Waits; ends early when the event is set.
    """

    monotonic: Callable[[], float] = time.monotonic
    epoch: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    sleep: Sleeper = _sleep


@dataclass(slots=True)
class Attempts:
    """The state of one operation that may be tried several times.

    Use as ``while True: try: ... except PixCrawlerError as error: attempts.failed(error)``.

    Attributes:
        policy: Decides.
        clock: Where time and chance come from.
        cancelled: Ends a wait early; the operation itself has to look at it.
        total: Attempts that failed, progress or not.
    """

    policy: RetryPolicy
    clock: Clock
    cancelled: threading.Event | None = None
    total: int = 0
    _in_a_row: int = 0
    _started_s: float = field(default=-1.0)
    _attempt_s: float = field(default=-1.0)

    def __post_init__(self) -> None:
        """Start the total time."""
        self._started_s = self._attempt_s = self.clock.monotonic()

    def progressed(self, size_bytes: int) -> None:
        """An attempt advanced: the count of failures in a row starts anew, and a slow line gets the time that it takes.

        Args:
            size_bytes: How many.
        """
        self._in_a_row = 0
        took_s = self.clock.monotonic() - self._attempt_s
        self._started_s += min(took_s, size_bytes * self.policy.slow_s / self.policy.slow_bytes)

    def failed(self, error: PixCrawlerError) -> None:
        """Wait before the next attempt.

        Args:
            error: Why the attempt failed.

        Raises:
            PixCrawlerError: ``error`` itself, when no further attempt is due.
        """
        self.total += 1
        self._in_a_row += 1
        wait = self.policy.wait_s(
            attempt=self._in_a_row,
            retryable=error.retryable,
            retry_after_s=error.retry_after_s if isinstance(error, NetworkError) else None,
            elapsed_s=self.clock.monotonic() - self._started_s,
            chance=self.clock.chance(),
        )
        if wait is None:
            raise error
        _log.debug("trying again in %.1f s: %s", wait, error)
        self.clock.sleep(wait, self.cancelled)
        self._attempt_s = self.clock.monotonic()
