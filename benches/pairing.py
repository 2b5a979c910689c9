"""Paired measurement: contestants take turns round by round, so that a disturbed machine disturbs all of them alike."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_T = TypeVar("_T")


@dataclass(frozen=True)
class Spread:
    """A median with the smallest and the largest value."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """That of some values."""
        return cls(statistics.median(values), min(values), max(values))

    def text(self, pattern: str = ".2f") -> str:
        """As tables show it: ``0.97 (0.95 to 0.98)``; of a single value, itself."""
        if self.low == self.high:
            return f"{self.median:{pattern}}"
        return f"{self.median:{pattern}} ({self.low:{pattern}} to {self.high:{pattern}})"


def take_turns(contestants: Mapping[str, Callable[[], _T]], rounds: int, *, warm: int = 1) -> dict[str, list[_T]]:
    """Run A B C A B C ..., after rounds that are not counted.

    Returns:
        For each contestant its results, one a round.
    """
    results: dict[str, list[_T]] = {name: [] for name in contestants}
    for turn in range(-warm, rounds):
        for name, run in contestants.items():
            result = run()
            if turn >= 0:
                results[name].append(result)
    return results


def ratios(upper: Sequence[float], lower: Sequence[float]) -> Spread:
    """The quotient of two contestants' figures, taken round by round."""
    return Spread.of([a / b for a, b in zip(upper, lower, strict=True)])
