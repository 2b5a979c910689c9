"""``pixcrawler info``."""

from __future__ import annotations

import click

from pixcrawler.cli._options import access_options, as_json_option, given
from pixcrawler.cli._show import add_row, count_text, date_text, labels_text, print_json, print_table, size_text

__all__ = ["info"]


@click.command()
@click.argument("target", metavar="JOB|PATH")
@access_options
@as_json_option
def info(*, target: str, api_key: str | None, base_url: str | None, as_json: bool) -> None:
    """Show what is known of a job, or of a local folder or zip, without reading its images."""
    from pixcrawler import PixCrawlerError, load_dataset

    try:
        with load_dataset(target, **given(api_key=api_key, base_url=base_url)) as dataset:
            found = dataset.info
    except PixCrawlerError:
        raise
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        print_json(found)
        return
    from rich.table import Table

    height_width = "many" if found.image_size is None else "{} x {} (height x width)".format(*found.image_size)
    table = Table(box=None, show_header=False)
    for row in (
        ("job", found.job_id),
        ("name", found.name),
        ("status", found.status),
        ("version", str(found.version)),
        ("created", date_text(found.created_at)),
        ("images", count_text(found.num_images)),
        ("chunks", count_text(found.num_chunks)),
        ("images a chunk", count_text(found.chunk_size)),
        ("size", size_text(found.size_bytes)),
        ("image size", height_width),
        ("classes", count_text(len(found.classes))),
        ("labels", labels_text(found.labels)),
        ("tags", ", ".join(found.tags) or "-"),
    ):
        add_row(table, row)
    print_table(table)
