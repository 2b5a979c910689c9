"""Positioned reads of local files, and their errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from pixcrawler.exceptions import DownloadError, IntegrityError

if TYPE_CHECKING:
    from pathlib import Path

    from pixcrawler._native import LocalFile, SegmentBuffer

__all__ = ["raise_file_error", "read_range"]


def raise_file_error(exc: OSError, path: Path, chunk_id: str) -> NoReturn:
    """Raise what an error of the system means for a chunk.

    Raises:
        DownloadError: Always.
    """
    detail = f"{path}: {exc.strerror or exc}"
    raise DownloadError(detail, code="file_io", chunk_id=chunk_id) from exc


def read_range(file: LocalFile, start: int, stop: int, path: Path, chunk_id: str) -> SegmentBuffer:
    """The bytes [start, stop) of an open file.

    Raises:
        DownloadError: It cannot be read; :class:`IntegrityError`: it has become shorter.
    """
    try:
        return file.read(start, stop)
    except EOFError as exc:
        detail = f"{path}: expected {stop} bytes, {exc}: it was cut while in use"
        raise IntegrityError(detail, code="file_changed", chunk_id=chunk_id) from exc
    except OSError as exc:
        raise_file_error(exc, path, chunk_id)
