"""Planning: which bytes are fetched together, in which order, within which memory."""

from __future__ import annotations

import itertools
import logging
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler._native import Directory
from pixcrawler.records import ChunkRecord
from pixcrawler.schedule import (
    ByteBudget,
    InOrder,
    OpenedChunk,
    Sample,
    Segment,
    Shuffled,
    parse_bytes,
    plan_segments,
    segment_sizes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1 << 20


def opened(sizes: Sequence[int]) -> OpenedChunk:
    """A chunk whose members are bytes one after the other."""
    directory = Directory.bare([f"{number}" for number in range(len(sizes))], sizes)
    return OpenedChunk(ChunkRecord("c", 0, "c"), directory, None)


def spans(segments: list[Segment]) -> list[tuple[int, int, list[int]]]:
    return [(segment.start, segment.stop, segment.samples) for segment in segments]


class TestSizes:
    @pytest.mark.parametrize(
        ("text", "size"),
        [
            ("256MB", 256_000_000),
            ("64MiB", 64 * MIB),
            ("1.5 GB", 1_500_000_000),
            ("10kb", 10_000),
            ("10 KiB", 10_240),
            ("2GiB", 2 << 30),
            ("17", 17),
            ("17b", 17),
            (" 3mb ", 3_000_000),
            (12345, 12345),
        ],
    )
    def test_texts_and_numbers(self, text: str | int, size: int) -> None:
        assert parse_bytes(text) == size

    @pytest.mark.parametrize(
        "text", ["", "MB", "-1MB", "0", 0, -5, "1 TB", "1e3MB", "nanMB", "infMB", "1..2MB", "many"]
    )
    def test_what_is_no_size(self, text: str | int) -> None:
        with pytest.raises(ValueError, match="expected a size") as caught:
            parse_bytes(text)
        assert repr(text) in str(caught.value)

    def test_segments_ramp_up_from_a_server_alone(self) -> None:
        assert list(itertools.islice(segment_sizes(is_remote=True), 5)) == [MIB, 2 * MIB, 4 * MIB, 4 * MIB, 4 * MIB]
        assert list(itertools.islice(segment_sizes(is_remote=False), 2)) == [4 * MIB, 4 * MIB]


class TestPlan:
    def test_members_go_together_up_to_the_target(self) -> None:
        chunk = opened([400_000] * 10)
        planned = plan_segments(chunk, range(10), segment_sizes(is_remote=True))
        assert spans(planned) == [
            (0, 800_000, [0, 1]),
            (800_000, 2_800_000, [2, 3, 4, 5, 6]),
            (2_800_000, 4_000_000, [7, 8, 9]),
        ]
        assert [segment.size_bytes for segment in planned] == [800_000, 2_000_000, 1_200_000]
        assert [segment.undecoded for segment in planned] == [2, 5, 3]

    def test_a_member_larger_than_the_target_is_alone(self) -> None:
        planned = plan_segments(opened([10, 5 * MIB, 10]), range(3), segment_sizes(is_remote=True))
        assert [segment.samples for segment in planned] == [[0], [1], [2]]

    def test_small_gaps_are_fetched_along_and_large_ones_are_not(self) -> None:
        chunk = opened([10, 65_536, 10, 65_537, 10])
        planned = plan_segments(chunk, [0, 2, 4], segment_sizes(is_remote=False))
        assert [segment.samples for segment in planned] == [[0, 2], [4]]

    def test_the_first_batch_ends_a_segment(self) -> None:
        planned = plan_segments(opened([10] * 10), range(10), segment_sizes(is_remote=True), urgent=4)
        assert [(segment.samples, segment.urgent) for segment in planned] == [
            ([0, 1, 2, 3], True),
            ([4, 5, 6, 7, 8, 9], False),
        ]

    def test_files_of_their_own_are_segments_of_their_own(self) -> None:
        planned = plan_segments(opened([10] * 3), range(3), segment_sizes(is_remote=False), one_by_one=True)
        assert [segment.samples for segment in planned] == [[0], [1], [2]]

    @given(
        sizes=st.lists(st.integers(0, 3 * MIB), min_size=1, max_size=40),
        data=st.data(),
        is_remote=st.booleans(),
        one_by_one=st.booleans(),
    )
    def test_invariants(self, sizes: list[int], data: st.DataObject, *, is_remote: bool, one_by_one: bool) -> None:
        chunk = opened(sizes)
        order = data.draw(st.permutations(range(len(sizes))) | st.just(list(range(len(sizes)))))
        wanted = order[: data.draw(st.integers(0, len(sizes)))]
        urgent = data.draw(st.integers(0, len(sizes)))
        planned = plan_segments(chunk, wanted, segment_sizes(is_remote), urgent=urgent, one_by_one=one_by_one)
        # Every sample once, in order of use.
        assert [index for segment in planned for index in segment.samples] == wanted
        targets = segment_sizes(is_remote)
        position = 0
        for segment, target in zip(planned, targets, strict=False):
            assert segment.samples
            extents = [chunk.directory.extent(index) for index in segment.samples]
            # Whole members, nothing before the first or after the last.
            assert (segment.start, segment.stop) == (extents[0][0], max(stop for _, stop in extents))
            assert all(segment.start <= start <= stop <= segment.stop for start, stop in extents)
            assert len(extents) == 1 or segment.size_bytes <= target
            # What the first batch needs waits for nothing else.
            assert segment.urgent == (position < urgent)
            assert not segment.urgent or position + len(extents) <= urgent
            position += len(extents)


def drawn(order: InOrder | Shuffled, segments: Sequence[Segment]) -> list[Sample]:
    """All samples of segments, which come in as the order wants them."""
    rest = list(segments)
    samples = []
    while True:
        while order.wants_more and rest:
            order.add(rest.pop(0))
        sample = order.take()
        if sample is None:
            assert not rest
            return samples
        samples.append(sample)


class TestOrder:
    SEGMENTS = tuple(Segment(opened([100] * 5), at * 500, at * 500 + 500, list(range(5))) for at in range(100))

    def test_in_order_one_segment_after_the_other_is_taken_in(self) -> None:
        order = InOrder()
        first, second = self.SEGMENTS[:2]
        assert order.wants_more
        assert order.take() is None
        order.add(first)
        assert not order.wants_more
        assert len(order) == 5
        samples = drawn(order, [second])
        assert [(sample.segment, sample.index) for sample in samples] == [
            (segment, index) for segment in (first, second) for index in range(5)
        ]

    def test_a_window_begins_small_and_grows_to_its_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Shuffled, "_FIRST_BYTES", 1000)
        order = Shuffled(Random(1), 3000)
        rest = list(self.SEGMENTS)
        widths = []
        for _ in range(300):
            while order.wants_more:
                order.add(rest.pop(0))
            widths.append(len(order._left))
            order.take()
        assert widths[0] == 2
        assert widths == sorted(widths)
        assert widths[-1] == 6

    @given(
        sizes=st.lists(st.integers(1, 9), min_size=1, max_size=30),
        window=st.integers(0, 5000),
        seed=st.integers(0, 10),
    )
    def test_every_sample_once_and_the_window_holds(self, sizes: list[int], window: int, seed: int) -> None:
        segments = [Segment(opened([100] * size), 0, 100 * size, list(range(size))) for size in sizes]
        order = Shuffled(Random(seed), window)
        rest = list(segments)
        found = []
        while True:
            while order.wants_more and rest:
                order.add(rest.pop(0))
                assert sum(segment.size_bytes for segment in order._left) <= window + max(sizes) * 100
            sample = order.take()
            if sample is None:
                break
            found.append((sample.segment, sample.index))
        expected = [(segment, index) for segment in segments for index in segment.samples]
        assert len(found) == len(expected)
        assert set(found) == set(expected)
        again = drawn(Shuffled(Random(seed), window), segments)
        assert [(sample.segment, sample.index) for sample in again] == found

    def test_samples_of_all_segments_of_the_window_are_mixed(self) -> None:
        samples = drawn(Shuffled(Random(1), 100_000), self.SEGMENTS)
        # All 100 segments fit: any sample may be the first.
        assert len({id(sample.segment) for sample in samples[:50]}) > 30


class TestBudget:
    def test_segments_take_half_and_batches_find_room(self) -> None:
        budget = ByteBudget(100, segments_ahead=1)
        assert budget.take_segment(30)
        assert budget.take_segment(20)
        assert not budget.take_segment(1)
        assert budget.take_output(50, is_next=False)
        assert not budget.take_output(1, is_next=False)
        budget.return_segment(30)
        assert not budget.take_segment(31)
        assert budget.take_segment(30)

    def test_batches_that_fill_it_hold_segments_back(self) -> None:
        budget = ByteBudget(100, segments_ahead=1)
        assert budget.take_segment(10)
        assert budget.take_output(90, is_next=False)
        assert not budget.take_segment(1)
        budget.return_output(90)
        assert budget.take_segment(1)

    def test_what_is_needed_next_is_always_granted(self) -> None:
        budget = ByteBudget(100, segments_ahead=1)
        assert budget.take_segment(500)
        assert budget.take_output(700, is_next=True)
        assert not budget.take_segment(1)
        assert not budget.take_output(1, is_next=False)

    def test_a_segment_without_which_nothing_goes_on_is_granted(self) -> None:
        budget = ByteBudget(100, segments_ahead=None)
        assert budget.take_segment(50)
        assert not budget.take_segment(50)
        assert budget.take_segment(50, is_needed=True)
        assert budget.segment_bytes == 100

    def test_it_warns_once_of_what_is_larger(self, caplog: pytest.LogCaptureFixture) -> None:
        budget = ByteBudget(100, segments_ahead=1)
        with caplog.at_level(logging.WARNING):
            budget.take_segment(100)
            assert not caplog.records
            budget.return_segment(100)
            budget.take_segment(101)
            budget.take_output(500, is_next=True)
        (record,) = caplog.records
        assert "101" in record.getMessage()
        assert "memory_limit" in record.getMessage()

    def test_it_warns_of_a_batch_that_does_not_fit_beside_the_one_in_hand(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        budget = ByteBudget(100, segments_ahead=1)
        with caplog.at_level(logging.WARNING):
            budget.take_output(50, is_next=True)
            assert not caplog.records
            budget.return_output(50)
            budget.take_output(51, is_next=True)
        (record,) = caplog.records
        assert "102 bytes at once where 100" in record.getMessage()

    @given(st.lists(st.tuples(st.sampled_from(["segment", "output", "back"]), st.integers(0, 150)), max_size=60))
    def test_it_never_goes_over_but_for_what_runs_alone(self, steps: list[tuple[str, int]]) -> None:
        budget = ByteBudget(100, segments_ahead=1)
        held: list[tuple[str, int]] = []
        for kind, size in steps:
            if kind == "back" and held:
                returned, its_size = held.pop(size % len(held))
                (budget.return_segment if returned == "segment" else budget.return_output)(its_size)
            elif kind == "segment" and budget.take_segment(size):
                held.append((kind, size))
                assert size == budget.segment_bytes or budget.segment_bytes <= 50
            elif kind == "output" and budget.take_output(size, is_next=False):
                held.append((kind, size))
                assert budget.segment_bytes + budget.output_bytes <= 100
            assert budget.segment_bytes == sum(one for name, one in held if name == "segment")
            assert budget.output_bytes == sum(one for name, one in held if name == "output")
