"""Splitting samples between readers: all together read each exactly once, whatever the numbers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler.loaders.split import Span, count, cut, portion, spans_of_size

LENGTHS = st.lists(st.integers(0, 40), max_size=30)


def spans_of(lengths: list[int], whole: set[int] | None = None) -> list[Span]:
    return [Span(chunk, 0, length, is_whole=chunk in (whole or ())) for chunk, length in enumerate(lengths) if length]


def samples_of(spans: list[Span]) -> list[tuple[int, int]]:
    return [(span.chunk, at) for span in spans for at in range(span.start, span.stop)]


@given(total=st.integers(0, 1000), readers=st.integers(1, 40), unit=st.integers(1, 70))
def test_portions_follow_each_other_and_are_even(total: int, readers: int, unit: int) -> None:
    portions = [portion(total, readers, number, unit=unit) for number in range(readers)]
    assert portions[0][0] == 0
    assert portions[-1][1] == total
    assert all(one[1] == other[0] for one, other in pairwise(portions))
    units = [-(-(stop - start) // unit) for start, stop in portions]
    assert max(units) - min(units) <= 1
    # One of them at most ends with less than a unit.
    assert sum((stop - start) % unit > 0 for start, stop in portions) <= 1


@given(
    lengths=LENGTHS,
    ranks=st.integers(1, 7),
    workers=st.integers(1, 5),
    batch_size=st.none() | st.integers(1, 64),
    random=st.randoms(use_true_random=False),
)
def test_every_sample_once_over_all_ranks_and_workers(
    lengths: list[int], ranks: int, workers: int, batch_size: int | None, random: st.RandomGenerator
) -> None:
    spans = spans_of(lengths)
    random.shuffle(spans)
    of_ranks = [cut(spans, *portion(count(spans), ranks, rank)) for rank in range(ranks)]
    sizes = [count(own) for own in of_ranks]
    assert max(sizes) - min(sizes) <= 1
    found = []
    for own in of_ranks:
        unit = batch_size or 1
        of_workers = [cut(own, *portion(count(own), workers, number, unit=unit)) for number in range(workers)]
        # One batch of the rank at most is not full: its length does not depend on the workers.
        assert sum(-(-count(part) // unit) for part in of_workers) == -(-count(own) // unit)
        for part in of_workers:
            found += samples_of(part)
    assert found == samples_of(spans)


@given(lengths=LENGTHS, whole=st.sets(st.integers(0, 29)), readers=st.integers(1, 40))
def test_what_must_not_be_cut_goes_to_one_reader(lengths: list[int], whole: set[int], readers: int) -> None:
    spans = spans_of(lengths, whole)
    found = [cut(spans, *portion(count(spans), readers, number)) for number in range(readers)]
    assert [sample for own in found for sample in samples_of(own)] == samples_of(spans)
    for span in spans:
        holders = [own for own in found if any(part.chunk == span.chunk for part in own)]
        assert not span.is_whole or len(holders) == 1


@given(sizes=st.lists(st.integers(0, 100), max_size=50), target=st.integers(1, 300))
def test_spans_have_about_one_size(sizes: list[int], target: int) -> None:
    spans = spans_of_size(3, sizes, target)
    assert samples_of(spans) == [(3, at) for at in range(len(sizes))]
    for span in spans:
        held = sizes[span.start : span.stop]
        assert len(held) == 1 or sum(held) <= target
    for one, other in pairwise(spans):
        assert sum(sizes[one.start : one.stop]) + sizes[other.start] > target


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (5, 5), (7, 7)])
def test_nothing_of_something(start: int, stop: int) -> None:
    assert cut(spans_of([3, 4], {0}), start, stop) == []
