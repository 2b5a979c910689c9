"""What the server answers: the wire contract, and the OpenAPI description made from it."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  (pydantic reads annotations at run time)
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from typing_extensions import Self

    from pixcrawler.records import ChunkRecord, Job

__all__ = ["ChunkModel", "ChunkPage", "ErrorAnswer", "ErrorModel", "JobDetailModel", "JobModel", "JobPage", "JobStatus"]

JobStatus = Literal["pending", "running", "completed", "failed", "cancelled"]


class LabelModel(BaseModel):
    """A label and how many images have it."""

    name: str
    count: int


class ChunkModel(BaseModel):
    """One zip file of a job."""

    id: str
    index: int = Field(description="Position in the job, from 0.")
    url: str = Field(description="Where its bytes are: relative to this API's origin.")
    size_bytes: int | None
    num_images: int | None
    sha256: str | None

    @classmethod
    def of(cls, chunk: ChunkRecord) -> Self:
        """A record of the catalogue as it goes over the wire."""
        return cls(
            id=chunk.id,
            index=chunk.index,
            url=f"/api/v1/{chunk.url}",
            size_bytes=chunk.size_bytes,
            num_images=chunk.num_images,
            sha256=chunk.sha256,
        )


class JobModel(BaseModel):
    """A dataset."""

    id: str
    name: str
    project_id: str | None
    status: JobStatus
    progress: float = Field(ge=0, le=100)
    created_at: datetime | None
    updated_at: datetime | None
    version: int
    num_images: int | None
    num_chunks: int | None
    chunk_size: int | None = Field(description="Images in a full chunk.")
    size_bytes: int | None
    image_size: tuple[int, int] | None = Field(description="[height, width] when all images share one size.")
    labels: list[LabelModel]
    tags: list[str]

    @classmethod
    def of(cls, job: Job) -> Self:
        """A record of the catalogue as it goes over the wire."""
        return cls.model_validate(job, from_attributes=True)


class JobDetailModel(JobModel):
    """A dataset with its chunks."""

    chunks: list[ChunkModel]

    @classmethod
    def of(cls, job: Job) -> Self:
        """A record of the catalogue, its chunks included, as it goes over the wire."""
        plain = JobModel.of(job)
        return cls(**dict(plain), chunks=[ChunkModel.of(chunk) for chunk in job.chunks or ()])


class JobPage(BaseModel):
    """One page of jobs."""

    items: list[JobModel]
    total: int = Field(description="Jobs on all pages.")
    page: int
    size: int


class ChunkPage(BaseModel):
    """One page of chunks."""

    items: list[ChunkModel]
    total: int = Field(description="Chunks on all pages.")
    page: int
    size: int


class ErrorModel(BaseModel):
    """What went wrong."""

    code: str = Field(description="A stable name.")
    message: str
    id: str | None = Field(default=None, description="Names the entry in the server's log, where there is one.")


class ErrorAnswer(BaseModel):
    """The one shape of all errors."""

    error: ErrorModel
