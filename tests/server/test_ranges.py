"""The Range header against Python's slices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixcrawler.server.ranges import RangeNotSatisfiableError, parse_range

positions = st.integers(0, 40) | st.integers(0, 2**70)
data = st.binary(min_size=1, max_size=30)


def cut(body: bytes, header: str) -> bytes:
    span = parse_range(header, len(body))
    assert span is not None
    start, stop = span
    assert 0 <= start < stop <= len(body)
    return body[start:stop]


@given(data, positions, positions)
def test_first_and_last_are_a_slice(body: bytes, first: int, length: int) -> None:
    header = f"bytes={first}-{first + length}"
    if first >= len(body):
        with pytest.raises(RangeNotSatisfiableError):
            parse_range(header, len(body))
    else:
        assert cut(body, header) == body[first : first + length + 1]


@given(data, positions)
def test_open_range_goes_to_the_end(body: bytes, first: int) -> None:
    if first >= len(body):
        with pytest.raises(RangeNotSatisfiableError):
            parse_range(f"bytes={first}-", len(body))
    else:
        assert cut(body, f"bytes={first}-") == body[first:]


@given(data, positions)
def test_suffix_counts_from_the_end(body: bytes, length: int) -> None:
    if length == 0:
        with pytest.raises(RangeNotSatisfiableError):
            parse_range("bytes=-0", len(body))
    else:
        assert cut(body, f"bytes=-{length}") == body[-length:]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-2",
        "bytes=a-b",
        "bytes=0-1,4-5",
        "bytes=0-0," * 1000 + "0-0",
        "items=0-1",
        "bytes=0x1-2",
        "bytes=+1-2",
        "bytes=\u00b2-",
        "bytes=" + "9" * 5000 + "-",
        "bytes=0-1\n",
    ],
)
def test_what_is_not_one_range_means_the_whole(header: str | None) -> None:
    assert parse_range(header, 10) is None


@given(st.text(max_size=30))
def test_any_text_gives_a_span_the_whole_or_416(text: str) -> None:
    try:
        span = parse_range(f"bytes={text}", 10)
    except RangeNotSatisfiableError:
        return
    assert span is None or 0 <= span[0] < span[1] <= 10


def test_unit_is_case_insensitive_and_spaces_are_allowed() -> None:
    assert parse_range("Bytes= 1-2 ", 10) == (1, 3)
