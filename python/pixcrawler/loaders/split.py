"""Which samples a reader reads: pure arithmetic, so that all readers together read every sample exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Span", "count", "cut", "portion", "spans_of_size"]


class Span(NamedTuple):
    """Consecutive samples of a chunk.

    Attributes:
        chunk: Number of the chunk.
        start: First sample, counted from 0 in the order of the chunk's directory.
        stop: One past the last.
        is_whole: Whether it must not be cut: the server sends the chunk as a whole.
    """

    chunk: int
    start: int
    stop: int
    is_whole: bool = False


def portion(total: int, readers: int, number: int, *, unit: int = 1) -> tuple[int, int]:
    """The samples [start, stop) of ``total`` that one of several readers reads.

    Args:
        total: All samples.
        readers: How many readers there are.
        number: Which of them, from 0.
        unit: Portions begin at multiples of it. Their sizes differ by one unit at most.
    """
    units = -(-total // unit)
    start, stop = (units * at // readers * unit for at in (number, number + 1))
    return min(start, total), min(stop, total)


def count(spans: Iterable[Span]) -> int:
    """Samples of all spans together."""
    return sum(span.stop - span.start for span in spans)


def cut(spans: Iterable[Span], start: int, stop: int) -> list[Span]:
    """The samples [start, stop) of a sequence of spans.

    A span that must not be cut belongs as a whole to where its first sample is.
    """
    found = []
    position = 0
    for span in spans:
        length = span.stop - span.start
        if span.is_whole:
            if start <= position < stop:
                found.append(span)
        else:
            first, last = max(start - position, 0), min(stop - position, length)
            if first < last:
                found.append(span._replace(start=span.start + first, stop=span.start + last))
        position += length
        if position >= stop:
            break
    return found


def spans_of_size(chunk: int, sizes: Sequence[int], target_bytes: int) -> list[Span]:
    """A chunk's samples in spans of about equal size.

    Args:
        chunk: Number of the chunk.
        sizes: Bytes of each of its samples, in order.
        target_bytes: A span ends where it would pass this size; a larger sample is alone.
    """
    spans: list[Span] = []
    start, held_bytes = 0, 0
    for at, size in enumerate(sizes):
        if at > start and held_bytes + size > target_bytes:
            spans.append(Span(chunk, start, at))
            start, held_bytes = at, 0
        held_bytes += size
    if start < len(sizes):
        spans.append(Span(chunk, start, len(sizes)))
    return spans
