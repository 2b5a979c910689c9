"""What an epoch left out, and how much of that is too much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from pixcrawler.exceptions import PixCrawlerError, TooManyFailuresError, escape

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Failure", "FailureLedger"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample, or a whole chunk, that could not be delivered.

    Attributes:
        chunk_id: The chunk.
        member: The sample's name in it; None if the chunk as a whole failed.
        code: The error's stable code (see :func:`pixcrawler.codes.table`).
        reason: The whole message.
        num_samples: 1, or for a chunk the samples that the catalogue counts in it (1 if it does not say).
    """

    chunk_id: str
    member: str | None
    code: str
    reason: str
    num_samples: int = 1

    @classmethod
    def of(cls, error: PixCrawlerError, *, num_samples: int = 1) -> Failure:
        """The record of an error that has its place filled in."""
        return cls(error.chunk_id or "", error.member, error.code, str(error), num_samples)


class FailureLedger(Sequence[Failure]):
    """The failures of a dataset's latest pass, in order."""

    def __init__(self) -> None:
        self._failures: list[Failure] = []
        self._allowed: int | None = None

    def begin(self, allowed: int | None) -> None:
        """Begin a new pass.

        Args:
            allowed: Samples that may fail in it; None for any number.
        """
        self._failures.clear()
        self._allowed = allowed

    def add(self, failure: Failure) -> None:
        """Record a failure.

        Raises:
            TooManyFailuresError: There are more now than are allowed.
        """
        self._failures.append(failure)
        failed = sum(one.num_samples for one in self._failures)
        if self._allowed is not None and failed > self._allowed:
            detail = f"{failed} samples failed, {self._allowed} may; the latest: {failure.reason}"
            raise TooManyFailuresError(detail, code="too_many_failures", chunk_id=failure.chunk_id)

    @overload
    def __getitem__(self, index: int) -> Failure: ...
    @overload
    def __getitem__(self, index: slice) -> list[Failure]: ...
    def __getitem__(self, index: int | slice) -> Failure | list[Failure]:
        """One failure, or a list of them."""
        return self._failures[index]

    def __len__(self) -> int:
        """Records, of which one for a whole chunk counts once."""
        return len(self._failures)

    def __iter__(self) -> Iterator[Failure]:
        """In the order in which they were met."""
        return iter(self._failures)

    def __eq__(self, other: object) -> bool:
        """Equal to any sequence of equal failures."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        """The count and the codes."""
        counts: dict[str, int] = {}
        for failure in self._failures:
            counts[failure.code] = counts.get(failure.code, 0) + 1
        listed = ", ".join(f"{escape(code)}: {count}" for code, count in sorted(counts.items()))
        return f"<{len(self)} failures{': ' + listed if listed else ''}>"
