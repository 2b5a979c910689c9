"""What is known of a dataset, finished or not, without reading its images."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from pixcrawler.client import PixCrawlerClient
from pixcrawler.load import load_dataset
from pixcrawler.records import DatasetInfo, JobStatus
from pixcrawler.sources.api import info_of
from pixcrawler.sources.local import is_local

if TYPE_CHECKING:
    import os

    from pixcrawler.limits import Limits

__all__ = ["describe"]


def describe(
    target: str | os.PathLike[str],
    api_key: str | None = None,
    base_url: str | None = None,
    *,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """All that the API, or the directories of local zips, tell about a dataset.

    Args:
        target: A job's id or a local path, as ``load_dataset`` takes it; the job may be unfinished.
        api_key: As in ``load_dataset``.
        base_url: As in ``load_dataset``.
        limits: Bounds on untrusted input.

    Returns:
        The fields of :class:`DatasetInfo`, then ``project_id``, ``progress`` and ``updated_at`` of :class:`Job`.

    Raises:
        ValueError: An argument is out of its range.
        NotFoundError: There is no such job or path.
        PixCrawlerError: The API or a file cannot be read.
    """
    if is_local(target):
        with load_dataset(target, limits=limits) as dataset:
            info = replace(dataset.info, num_images=len(dataset), classes=dataset.classes)
        return {**_fields(info), "project_id": None, "progress": 100.0, "updated_at": None}
    with PixCrawlerClient(api_key, base_url, limits=limits) as client:
        # Not in a traceback that lists variables.
        del api_key
        job = client.get_job(str(target))
        is_complete = job.status is JobStatus.COMPLETED
        info = info_of(job, tuple(client.iter_chunks(job)) if is_complete else ())
    if not is_complete:
        # What there is of it is not the sum of chunks.
        info = replace(info, num_images=job.num_images, size_bytes=job.size_bytes, num_chunks=job.num_chunks or 0)
    return {
        **_fields(info),
        "project_id": job.project_id,
        "progress": job.progress,
        "updated_at": job.updated_at,
    }


def _fields(info: DatasetInfo) -> dict[str, Any]:
    return {field.name: getattr(info, field.name) for field in fields(info)}
