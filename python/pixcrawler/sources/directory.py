"""The directory of a zip chunk, from its last bytes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pixcrawler._native import Directory
from pixcrawler.exceptions import ArchiveError, escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from pixcrawler._native import Location
    from pixcrawler.limits import Limits

__all__ = ["read_directory"]

_log = logging.getLogger(__name__)

# What tells the kind of a file.
_HEAD_BYTES = 512
# The longest end of a zip: two zip64 records, the end record, its comment, padding.
_LONGEST_TAIL_BYTES = 56 + 20 + 22 + 65_535 + 64


def read_directory(
    tail: bytes,
    size_bytes: int,
    read: Callable[[int, int], bytes],
    limits: Limits,
    *,
    chunk_id: str,
) -> Directory:
    """Find and parse a chunk's central directory; what it tolerates is logged once, at debug level.

    Args:
        tail: The chunk's last bytes, 65,536 or all.
        size_bytes: Size of the chunk.
        read: Called with start and stop; returns these bytes of the chunk. Only where ``tail`` is not enough.
        limits: Bounds on untrusted input.
        chunk_id: The chunk's name, for the log.

    Raises:
        ArchiveError, LimitError: The directory is not to be trusted.
    """
    location = _locate(tail, size_bytes, read, limits)
    start, stop = location.start, location.stop
    offset = size_bytes - len(tail)
    data = tail[max(start - offset, 0) : max(stop - offset, 0)]
    if start < min(stop, offset):
        data = read(start, stop)
    directory = Directory(data, location, size_bytes, limits)
    if _log.isEnabledFor(logging.DEBUG) and (tolerated := directory.tolerated):
        _log.debug("chunk %s: tolerated %s", escape(chunk_id), "; ".join(tolerated))
    return directory


def _locate(tail: bytes, size_bytes: int, read: Callable[[int, int], bytes], limits: Limits) -> Location:
    try:
        return Directory.locate(tail, size_bytes, limits)
    except ArchiveError as exc:
        # Zip64 records that begin before the tail leave numbers that are out of bounds.
        if exc.code not in {"not_a_zip", "truncated", "directory_bounds"} or size_bytes <= len(tail):
            raise
    # The end alone does not tell a cut zip from a web page: the beginning does.
    found = Directory.identify(read(0, min(_HEAD_BYTES, size_bytes)), size_bytes)
    if found.code == "not_a_zip":
        raise found
    try:
        return Directory.locate(read(max(0, size_bytes - _LONGEST_TAIL_BYTES), size_bytes), size_bytes, limits)
    except ArchiveError as exc:
        raise (found if exc.code == "not_a_zip" else exc) from None
