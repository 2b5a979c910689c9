"""A finished download against the list of its files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pixcrawler.download.state import FILES_NAME, State, read_files
from pixcrawler.exceptions import IntegrityError

if TYPE_CHECKING:
    import os

__all__ = ["DownloadCheck", "check_download"]


class DownloadCheck(NamedTuple):
    """What was found.

    Attributes:
        format: Of the download.
        num_images: That it holds.
        size_bytes: Of its files.
        damaged: By name of the file, what is wrong with it; in order.
    """

    format: str
    num_images: int
    size_bytes: int
    damaged: dict[str, str]


def check_download(folder: str | os.PathLike[str]) -> DownloadCheck | None:
    """Read every file of a finished download, and compare its size and checksum with what was written.

    Args:
        folder: That of the job.

    Returns:
        What was found; None if the folder holds no finished download.

    Raises:
        IntegrityError: The list of its files is damaged.
        OSError: A file cannot be read.
    """
    place = Path(folder)
    state = State.read(place) if place.is_dir() else None
    if state is None or not state.is_complete:
        return None
    try:
        entries = {entry.file: entry for entry in read_files(place / FILES_NAME)}
    except (FileNotFoundError, ValueError) as error:
        message = f"the list of its files cannot be read: {error}"
        raise IntegrityError(message, code="download_damaged", member=FILES_NAME) from error
    problems = {name: entry.problem(place) for name, entry in sorted(entries.items())}
    damaged = {name: problem for name, problem in problems.items() if problem is not None}
    size_bytes = sum(entry.size_bytes for entry in entries.values())
    return DownloadCheck(str(state.options.get("format")), state.images, size_bytes, damaged)
