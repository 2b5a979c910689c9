"""``pixcrawler pack``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pixcrawler.cli._errors import wrong_arguments
from pixcrawler.cli._options import as_json_option
from pixcrawler.cli._show import count_text, note, print_json, progress_bar, size_text
from pixcrawler.exceptions import escape

if TYPE_CHECKING:
    from pixcrawler.server.store import PackResult

__all__ = ["pack"]

_SHOWN_REFUSALS = 20


@click.command()
@click.argument("source", metavar="FOLDER|ZIP", type=click.Path(exists=True, path_type=Path))
@click.option("--store", required=True, type=click.Path(path_type=Path), help="The store's folder; made if missing.")
@click.option("--name", required=True, help="What to call the dataset.")
@click.option("--project", metavar="ID", help="The project it belongs to.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A word to find it by; may be given several times.")
@click.option("--chunk-size", default=500, show_default=True, help="Images in a chunk.")
@as_json_option
def pack(
    *, source: Path, store: Path, name: str, project: str | None, tags: tuple[str, ...], chunk_size: int, as_json: bool
) -> None:
    """Make a dataset of the images in a folder or a zip.

    Images are known by their content and stored as they are. Labels are the names of their folders, or those that a
    metadata.jsonl at the top gives. Files that are not images are listed and left out. A new store shows its key once.
    """
    from pixcrawler.server.store import JobSpec, Store

    with wrong_arguments():
        spec = JobSpec(name, project, tags, chunk_size)
    opened, key = Store.open_or_create(store)
    with opened:
        if key is not None:
            # At once, and not on stdout with --json: whatever happens to the images, the key can be had only now.
            click.echo(
                f"New store at {escape(str(store))}. Its key, which is shown only now:\n\n    {key}\n", err=as_json
            )
        with progress_bar("packing") as on_file:
            result = opened.pack(source, spec, on_file)
    if as_json:
        print_json({"job": result.job, "refused": result.refused, "key": key})
    else:
        _print_result(result, store)


def _print_result(result: PackResult, store: Path) -> None:
    job = result.job
    chunks = f"{count_text(job.num_chunks)} chunk{'' if job.num_chunks == 1 else 's'}"
    click.echo(f"Packed {count_text(job.num_images)} images ({size_text(job.size_bytes)}) into {chunks}: {job.id}")
    if result.refused:
        click.echo(f"Left out {count_text(len(result.refused))} files:", err=True)
    for refused in result.refused[:_SHOWN_REFUSALS]:
        click.echo(f"    {escape(refused.name)}: {escape(refused.detail)} [{refused.code}]", err=True)
    if len(result.refused) > _SHOWN_REFUSALS:
        click.echo(f"    and {count_text(len(result.refused) - _SHOWN_REFUSALS)} more; --json lists them all", err=True)
    note(f"Serve it with: pixcrawler serve --store {escape(str(store))}")
