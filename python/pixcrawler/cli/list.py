"""``pixcrawler list``."""

from __future__ import annotations

import sys
from datetime import timezone
from typing import TYPE_CHECKING, Literal

import click

from pixcrawler.cli._errors import wrong_arguments
from pixcrawler.cli._options import access_options, as_json_option, given
from pixcrawler.cli._show import add_row, count_text, date_text, note, print_json, print_table, size_text
from pixcrawler.exceptions import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pixcrawler.records import Job

__all__ = ["list_jobs"]


@click.command("list")
@click.option("--project", metavar="ID", help="Only jobs of this project.")
@click.option(
    "--status",
    type=click.Choice(["pending", "running", "completed", "failed", "cancelled"]),
    help="Only jobs with this status.",
)
@click.option("--tag", metavar="TAG", help="Only jobs with this tag.")
@access_options
@as_json_option
def list_jobs(
    *,
    project: str | None,
    status: str | None,
    tag: str | None,
    api_key: str | None,
    base_url: str | None,
    as_json: bool,
) -> None:
    """List the jobs of an API or a served store, newest first.

    On a terminal a table. Through a pipe one line a job, without a head, of columns between tabs: id, name, project,
    status, progress (0 to 100), images, chunks, size in bytes, created (ISO 8601, UTC), tags (between commas); what is
    not known is empty.
    """
    from pixcrawler.client import PixCrawlerClient

    with wrong_arguments():
        client = PixCrawlerClient(**given(api_key=api_key, base_url=base_url))
    with client:
        jobs = client.list_jobs(project_id=project, status=status, tag=tag)
    if as_json:
        print_json([_document(job) for job in jobs])
    elif sys.stdout is not None and sys.stdout.isatty():
        _print_table(jobs)
    else:
        for job in jobs:
            click.echo("\t".join(_columns(job)))
    if not jobs:
        note("No jobs.")


def _document(job: Job) -> dict[str, object]:
    """A job without its chunks, which a list does not have."""
    from dataclasses import fields

    return {field.name: getattr(job, field.name) for field in fields(job) if field.name != "chunks"}


def _columns(job: Job) -> tuple[str, ...]:
    created = None if job.created_at is None else job.created_at.astimezone(timezone.utc)
    texts = (job.id, job.name, job.project_id, str(job.status), f"{job.progress:g}")
    numbers = (job.num_images, job.num_chunks, job.size_bytes)
    columns = (*texts, *numbers, created and created.isoformat(timespec="seconds"), ",".join(job.tags))
    return tuple("" if value is None else escape(str(value), limit=sys.maxsize) for value in columns)


def _print_table(jobs: Sequence[Job]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    # A table that is too wide for the terminal wraps these: an id is copied from here.
    least = {"name": 8, "project": 7, "tags": 4}
    for name in ("job", "name", "project", "status", "images", "size", "created", "tags"):
        justify: Literal["left", "right"] = "right" if name in {"images", "size"} else "left"
        table.add_column(name, justify=justify, no_wrap=name not in least, min_width=least.get(name), overflow="fold")
    for job in jobs:
        status_text = str(job.status) if job.status != "running" else f"running {job.progress:.0f} %"
        add_row(
            table,
            (
                job.id,
                job.name,
                job.project_id or "-",
                status_text,
                count_text(job.num_images),
                size_text(job.size_bytes),
                date_text(job.created_at).partition(" ")[0],
                ", ".join(job.tags) or "-",
            ),
        )
    print_table(table)
