"""What the API and a dataset say about themselves and their samples, as immutable records."""

from __future__ import annotations

import multiprocessing.context
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

__all__ = ["ChunkRecord", "DatasetInfo", "DecodedSample", "EncodedSample", "Job", "JobStatus", "LabelCount"]


class JobStatus(str, Enum):
    """Where a job stands. Each is also its text: ``job.status == "completed"``, in formatted texts and in JSON as well.

    Attributes:
        PENDING: It waits.
        RUNNING: It is being crawled; see :attr:`Job.progress`.
        COMPLETED: Its dataset is finished: ``load_dataset`` takes it.
        FAILED: It ended without a dataset.
        CANCELLED: Somebody ended it.
        UNKNOWN: The API gives a status that this version does not know. No filter of ``list_jobs``.
    """

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        """Its text, whatever the version of Python."""
        return self.value


@dataclass(frozen=True, slots=True)
class LabelCount:
    """A label and how many images have it.

    Attributes:
        name: The label.
        count: Images that have it.
    """

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """One chunk of a dataset, as the catalogue describes it.

    Attributes:
        id: The chunk's name in errors and in the catalogue.
        index: Position among the job's chunks, from 0.
        url: Where its bytes are: absolute, or relative to the API; a path for a local chunk. It may be presigned, so it
            is a secret and not part of the repr. One with a query or a user name is pickled for a child that
            multiprocessing is starting only; elsewhere the copy's is empty, and is asked for anew when it is needed.
        size_bytes: Length of the zip file, if known.
        num_images: Samples in it, if known.
        sha256: Of the zip file, 64 lower-case hex digits, if known.
        expires_at: When a presigned ``url`` stops working, if it is one.
    """

    id: str
    index: int
    url: str = field(repr=False)
    size_bytes: int | None = None
    num_images: int | None = None
    sha256: str | None = None
    expires_at: datetime | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """All fields; the address as told above."""
        values = [getattr(self, field.name) for field in fields(self)]
        is_secret = "?" in self.url or ("@" in self.url and "://" in self.url)
        if is_secret and multiprocessing.context.get_spawning_popen() is None:
            values[2] = ""
        return type(self), tuple(values)

    def __copy__(self) -> Self:
        """This same record, as it never changes."""
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        """This same record, as it never changes."""
        return self


@dataclass(frozen=True, slots=True)
class Job:
    """A dataset as the API knows it.

    Attributes:
        id: The job's id, as ``load_dataset`` takes it.
        name: What people call it; the id if the API gives no name.
        project_id: The project it belongs to, if any.
        status: ``JobStatus.COMPLETED`` if the API gives none.
        progress: 0 to 100; 100 for a completed job of which the API gives none, else 0.
        created_at: With time zone; None if the API gives none.
        updated_at: With time zone; None if the API gives none.
        version: Of the dataset, from 1.
        num_images: Samples in all chunks; None if the API gives none.
        num_chunks: Chunks; None if the API gives none.
        chunk_size: Samples in a full chunk; None if the API gives none.
        size_bytes: Of all chunks; None if the API gives none.
        image_size: (height, width) if all images share one size, else None.
        labels: The labels and their counts; empty if the API gives none.
        tags: Empty if the API gives none.
        chunks: The chunks in order; None if the answer did not hold them.
    """

    id: str
    name: str
    project_id: str | None = None
    status: JobStatus = JobStatus.COMPLETED
    progress: float = 0.0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    version: int = 1
    num_images: int | None = None
    num_chunks: int | None = None
    chunk_size: int | None = None
    size_bytes: int | None = None
    image_size: tuple[int, int] | None = None
    labels: tuple[LabelCount, ...] = field(default=(), repr=False)
    tags: tuple[str, ...] = ()
    chunks: tuple[ChunkRecord, ...] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What is known of a dataset without reading its images.

    Attributes:
        job_id: The job's id, or the path of a local dataset.
        name: What people call it.
        status: As in :class:`Job`.
        version: As in :class:`Job`.
        created_at: As in :class:`Job`.
        num_images: Samples; None if only reading the directories would tell.
        num_chunks: Chunks.
        chunk_size: Samples in a full chunk, if known.
        size_bytes: Of all chunks, if known.
        labels: The labels and their counts, if the catalogue gives them.
        classes: The sorted distinct string labels, if the catalogue gives them.
        tags: The job's tags.
        image_size: (height, width) if all images are known to share one size.
    """

    job_id: str
    name: str
    status: JobStatus = JobStatus.COMPLETED
    version: int = 1
    created_at: datetime | None = None
    num_images: int | None = None
    num_chunks: int = 0
    chunk_size: int | None = None
    size_bytes: int | None = None
    labels: tuple[LabelCount, ...] = field(default=(), repr=False)
    classes: tuple[str, ...] = field(default=(), repr=False)
    tags: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DecodedSample:
    """A sample, decoded.

    Attributes:
        chunk_id: The chunk.
        member: The file's name in it.
        image: uint8 (H, W, C).
        label: As it is stored, or what ``label_fn`` made of it.
        metadata: Further fields of the chunk's ``metadata.jsonl``; empty without any.
    """

    chunk_id: str
    member: str
    image: NDArray[np.uint8] = field(repr=False)
    label: Any
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EncodedSample:
    """A sample as it is stored.

    Attributes:
        chunk_id: The chunk.
        member: The file's name in it.
        data: The file's bytes, neither decoded nor encoded anew.
        label: As it is stored, or what ``label_fn`` made of it.
        metadata: Further fields of the chunk's ``metadata.jsonl``; empty without any.
        size: (height, width) of its picture when it is decoded at its own size, turned upright; None unless asked for.
    """

    chunk_id: str
    member: str
    data: bytes = field(repr=False)
    label: Any
    metadata: dict[str, Any]
    size: tuple[int, int] | None = None
