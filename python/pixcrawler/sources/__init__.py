"""Where chunks come from. A source answers three questions; everything above it is the same for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pixcrawler._native import Buffer, Directory
    from pixcrawler.records import ChunkRecord, DatasetInfo

__all__ = ["OpenChunk", "ReadsMany", "SampleLabel", "Source"]


class SampleLabel(NamedTuple):
    """What a chunk's ``metadata.jsonl`` says of one sample.

    Attributes:
        label: Any JSON value; None if the line has none.
        metadata: All further fields of the line.
    """

    label: Any
    metadata: dict[str, Any]


class OpenChunk(NamedTuple):
    """A chunk whose members are known.

    Attributes:
        directory: Its members.
        labels: By member name, from its ``metadata.jsonl``; None if it has none, and then the member's folder is its
            label.
    """

    directory: Directory
    labels: Mapping[str, SampleLabel] | None


class Source(Protocol):
    """Chunks of one dataset. All methods may be called from several threads at once, block, and retry inside."""

    info: DatasetInfo
    chunks: tuple[ChunkRecord, ...]
    is_remote: bool
    """Whether reading has a latency worth hiding, and may return other bytes when repeated."""
    is_loose: bool
    """Whether each member is a file of its own, which can fail alone."""

    def for_run(self) -> Source:
        """The same source for one pass: it counts, gives up and is interrupted for itself."""

    def open(self, chunk: ChunkRecord) -> OpenChunk:
        """The members of a chunk and their labels.

        Raises:
            RangesUnsupportedError: Only :meth:`open_whole` can read chunks of this source.
            PixCrawlerError: The chunk as a whole cannot be read.
        """

    def open_whole(self, chunk: ChunkRecord) -> tuple[OpenChunk, Buffer]:
        """The same, and all bytes of the chunk, in one request."""

    def read(self, chunk: ChunkRecord, start: int, stop: int) -> Buffer:
        """The bytes [start, stop) of a chunk.

        Raises:
            PixCrawlerError: They cannot be had.
        """

    def stats(self) -> Mapping[str, int]:
        """What it asked a server for: ``requests``, ``retries``, ``bytes``; empty for a local source."""

    def interrupt(self) -> None:
        """End the reads that are under way in other threads; a pass's own source serves no later ones."""

    def close(self) -> None:
        """Let go of connections and files, and end reads that are under way. May be called again."""


@runtime_checkable
class ReadsMany(Protocol):
    """A source that reads many small ranges at less cost than a thread for each."""

    def read_many(self, ranges: Sequence[tuple[ChunkRecord, int, int]], at_once: int) -> Sequence[Buffer | None]:
        """The bytes of ranges (chunk, start, stop); None for those that only :meth:`Source.read` can get, or fail."""
