"""``pixcrawler list``."""

from __future__ import annotations

import click

from pixcrawler.cli._options import access_options, as_json_option, given
from pixcrawler.cli._show import add_row, count_text, date_text, print_json, print_table, size_text

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
    """List the jobs of an API or a served store, newest first."""
    from pixcrawler.client import PixCrawlerClient

    with PixCrawlerClient(**given(api_key=api_key, base_url=base_url)) as client:
        jobs = client.list_jobs(project_id=project, status=status, tag=tag)
    if as_json:
        print_json(jobs)
        return
    from rich import box
    from rich.table import Table

    table = Table("job", "name", "project", "status", "images", "chunks", "size", "created", "tags", box=box.SIMPLE)
    for job in jobs:
        status_text = job.status if job.status != "running" else f"running {job.progress:.0f} %"
        add_row(
            table,
            (
                job.id,
                job.name,
                job.project_id or "-",
                status_text,
                count_text(job.num_images),
                count_text(job.num_chunks),
                size_text(job.size_bytes),
                date_text(job.created_at),
                ", ".join(job.tags) or "-",
            ),
        )
    print_table(table)
