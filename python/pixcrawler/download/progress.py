"""How far a download is, and what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ChunkProgress", "DownloadProgress", "DownloadReport"]


@dataclass(frozen=True, slots=True)
class ChunkProgress:
    """One chunk that is in work.

    Attributes:
        chunk_id: The chunk.
        state: "waiting", "fetching", "checking", "ready", "writing" or "failed".
        bytes_done: Bytes of it that are there.
        size_bytes: Its size, if known.
    """

    chunk_id: str
    state: str
    bytes_done: int
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """How far a download is.

    Attributes:
        bytes_done: Bytes of chunks that are there or were used, in this run or an earlier one.
        bytes_total: Of all chunks, if known.
        bytes_fetched: Received in this run.
        images: Written.
        images_in_run: Of them, those that this run wrote.
        images_total: Of all chunks, if known.
        failed: Left out.
        chunks_done: Chunks that were written.
        chunks_total: All chunks.
        active: Chunks in work, in order.
        elapsed_s: Since this run began, in seconds.
    """

    bytes_done: int
    bytes_total: int | None
    bytes_fetched: int
    images: int
    images_in_run: int
    images_total: int | None
    failed: int
    chunks_done: int
    chunks_total: int
    active: tuple[ChunkProgress, ...]
    elapsed_s: float

    @property
    def bytes_per_s(self) -> float:
        """Received a second, over this run."""
        return self.bytes_fetched / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds left at the rates so far, of fetching or of writing, whichever is longer; None if nobody can tell."""
        left = []
        if self.bytes_total is not None and self.bytes_fetched:
            left.append(max(self.bytes_total - self.bytes_done, 0) / self.bytes_per_s)
        if self.images_total is not None and self.images_in_run:
            left.append(max(self.images_total - self.images - self.failed, 0) * self.elapsed_s / self.images_in_run)
        return max(left, default=None)


@dataclass(frozen=True, slots=True)
class DownloadReport:
    """What a download did.

    Attributes:
        folder: Where everything is.
        job_id: The job.
        version: Of the job.
        format: "numpy", "images" or "zip".
        layout: What the folder holds: of "numpy", "images" (``images.npy``: all of one size) or "pixels"
            (``pixels.npy``, ``offsets.npy``, ``shapes.npy``); else the format.
        num_images: Images in the folder.
        failed: Samples that were left out, listed in the folder's ``failures.jsonl``.
        num_chunks: Chunks of the job.
        chunks_fetched: Chunks that were fetched, or fetched to their end, in this run.
        bytes_fetched: Received in this run, what was discarded included.
        elapsed_s: How long this run took, in seconds.
        opens_with: A line of Python that opens the folder.
    """

    folder: str
    job_id: str
    version: int
    format: str
    layout: str
    num_images: int
    failed: int
    num_chunks: int
    chunks_fetched: int
    bytes_fetched: int
    elapsed_s: float
    opens_with: str

    def to_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)
