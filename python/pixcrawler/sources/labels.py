"""Labels of a chunk's samples: from ``metadata.jsonl`` as Hugging Face's imagefolder has it, else from the folder.

The convention: one JSON object a line, with ``file_name`` (the member's path), by ours ``label`` (any JSON value),
and any further fields, which become the sample's metadata.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from pixcrawler.exceptions import ArchiveError
from pixcrawler.records import LabelCount
from pixcrawler.sources import SampleLabel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pixcrawler._native import Buffer, Directory

__all__ = ["METADATA_NAME", "folder_label", "label_counts", "parse_metadata", "read_labels"]

METADATA_NAME = "metadata.jsonl"


def folder_label(member: str) -> str | None:
    """The name of a member's parent folder, or None if it lies at the top."""
    folder, _, _ = member.rpartition("/")
    return folder.rpartition("/")[2] or None


def label_counts(labels: Iterable[object]) -> tuple[LabelCount, ...]:
    """How often each label comes, in their order; nothing unless all are texts: others are no classes."""
    # A label may be any JSON value, a list as well.
    counted = Counter(label if isinstance(label, str) else None for label in labels)
    names = [label for label in counted if label is not None]
    return tuple(LabelCount(name, counted[name]) for name in sorted(names)) if len(names) == len(counted) else ()


def parse_metadata(data: bytes) -> dict[str, SampleLabel]:
    """Parse the lines of a ``metadata.jsonl``.

    Args:
        data: UTF-8 text; empty lines are passed over.

    Returns:
        By ``file_name``; of several lines for one name the last counts.

    Raises:
        ArchiveError: A line is not a JSON object with a ``file_name``; code ``metadata``.
    """
    labels: dict[str, SampleLabel] = {}
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            fields: Any = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise _bad_line(number, "expected a JSON object, got text that is not JSON") from exc
        name = fields.pop("file_name", None) if isinstance(fields, dict) else None
        if not isinstance(name, str):
            raise _bad_line(number, 'expected a JSON object with a text "file_name"')
        labels[name] = SampleLabel(fields.pop("label", None), fields)
    return labels


def _bad_line(number: int, detail: str) -> ArchiveError:
    return ArchiveError(f"line {number}: {detail}", code="metadata", member=METADATA_NAME)


def read_labels(
    directory: Directory,
    read: Callable[[int, int], tuple[Buffer, int]],
) -> Mapping[str, SampleLabel] | None:
    """The labels that a chunk's own ``metadata.jsonl`` gives, or None if it has none.

    Args:
        directory: The chunk's members.
        read: Called with the start and stop of the member's extent; returns bytes that hold it and their position.

    Raises:
        PixCrawlerError: The member cannot be read, or is not what the convention says.
    """
    index = directory.find(METADATA_NAME)
    if index is None:
        return None
    start, stop = directory.extent(index)
    buffer, offset = read(start, stop)
    return parse_metadata(directory.read_member(index, buffer, offset))
