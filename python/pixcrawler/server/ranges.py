"""The Range header of RFC 9110, section 14, for a representation of known size."""

from __future__ import annotations

import re

__all__ = ["RangeNotSatisfiableError", "parse_range"]

# More digits than any offset has are treated as malformed, so that int() never meets a number of megabytes.
_SINGLE = re.compile(r"bytes=[ \t]*([0-9]{0,100})-([0-9]{0,100})[ \t]*", re.IGNORECASE)


class RangeNotSatisfiableError(ValueError):
    """The range is well-formed, but no byte of it exists."""


def parse_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """The part of a representation that a Range header asks for.

    Args:
        header: The header's value, or None.
        size_bytes: Length of the whole.

    Returns:
        (start, stop) with 0 <= start < stop <= size_bytes; None for the whole: without a header, for several ranges,
        other units and anything malformed, each of which a server may ignore (RFC 9110, 14.2).

    Raises:
        RangeNotSatisfiableError: A single range that lies behind the end, or a suffix of length zero (416).
    """
    match = _SINGLE.fullmatch(header) if header is not None else None
    if match is None:
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        start, stop = max(0, size_bytes - int(last)), size_bytes
    else:
        if last and int(last) < int(first):
            return None
        start = int(first)
        stop = min(int(last) + 1, size_bytes) if last else size_bytes
    if start >= stop:
        message = f"The range lies outside the {size_bytes} bytes there are."
        raise RangeNotSatisfiableError(message)
    return start, stop
