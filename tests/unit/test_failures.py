"""The ledger of what an epoch left out."""

from __future__ import annotations

import pytest

from pixcrawler import Failure, FailureLedger, ImageDecodeError, TooManyFailuresError


def failure(number: int = 0, *, code: str = "corrupt", num_samples: int = 1) -> Failure:
    return Failure("c.zip", f"{number}.jpg", code, "it is broken", num_samples)


def test_it_is_a_sequence_in_order() -> None:
    ledger = FailureLedger()
    records = [failure(number) for number in range(5)]
    for record in records:
        ledger.add(record)
    assert list(ledger) == records == ledger
    assert ledger != records[:4]
    assert (len(ledger), ledger[0], ledger[-1], ledger[1:3]) == (5, records[0], records[4], records[1:3])
    assert records[3] in ledger
    assert ledger.index(records[2]) == 2
    ledger.begin(None)
    assert (len(ledger), list(ledger)) == (0, [])


def test_it_is_empty_and_false_at_first() -> None:
    assert not FailureLedger()
    assert repr(FailureLedger()) == "<0 failures>"


def test_it_counts_the_codes() -> None:
    ledger = FailureLedger()
    for code in ("truncated_image", "corrupt", "corrupt"):
        ledger.add(failure(code=code))
    assert repr(ledger) == "<3 failures: corrupt: 2, truncated_image: 1>"


@pytest.mark.parametrize("allowed", [0, 1, 5])
def test_more_than_are_allowed_are_too_many(allowed: int) -> None:
    ledger = FailureLedger()
    # Each pass has its own count.
    for _ in range(2):
        ledger.begin(allowed)
        for number in range(allowed):
            ledger.add(failure(number))
        with pytest.raises(TooManyFailuresError, match=f"{allowed + 1} samples failed, {allowed} may") as caught:
            ledger.add(failure(allowed))
        assert (caught.value.code, caught.value.chunk_id) == ("too_many_failures", "c.zip")
        assert "it is broken" in str(caught.value)
        # The one too many is recorded as well.
        assert len(ledger) == allowed + 1


def test_a_failed_chunk_counts_its_samples() -> None:
    ledger = FailureLedger()
    ledger.begin(500)
    ledger.add(failure(num_samples=500))
    with pytest.raises(TooManyFailuresError, match="501 samples"):
        ledger.add(failure())


def test_without_a_bound_any_number_may_fail() -> None:
    ledger = FailureLedger()
    ledger.begin(None)
    for number in range(1000):
        ledger.add(failure(number))
    assert len(ledger) == 1000


def test_a_record_of_an_error() -> None:
    error = ImageDecodeError("expected 3, got 4", code="corrupt").with_place(chunk_id="c", member="m.jpg")
    record = Failure.of(error)
    assert (record.chunk_id, record.member, record.code, record.num_samples) == ("c", "m.jpg", "corrupt", 1)
    assert record.reason == str(error)
    with pytest.raises(AttributeError):
        record.code = "other"  # type: ignore[misc]
