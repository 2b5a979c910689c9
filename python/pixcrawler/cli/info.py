"""``pixcrawler info``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pixcrawler.cli._errors import wrong_arguments
from pixcrawler.cli._options import access_options, as_json_option, complete_path, given
from pixcrawler.cli._show import count_text, date_text, print_json, size_text
from pixcrawler.exceptions import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["info"]

_SHOWN_LABELS = 20


@click.command()
@click.argument("target", metavar="JOB|PATH", shell_complete=complete_path)
@access_options
@as_json_option
def info(*, target: str, api_key: str | None, base_url: str | None, as_json: bool) -> None:
    """Show what is known of a job, or of a local folder or zip, without reading its images.

    --json has more: labels with their counts, tags, version, image size.
    """
    from pixcrawler.describe import describe

    with wrong_arguments():
        found = describe(target, **given(api_key=api_key, base_url=base_url))
    if as_json:
        print_json(found)
        return
    status = f"{found['status']} ({found['progress']:.0f} %)" if found["status"] == "running" else found["status"]
    lines = {
        "Dataset": found["name"],
        "Status": status,
        "Images": count_text(found["num_images"]),
        "Chunks": count_text(found["num_chunks"]),
        "Size": size_text(found["size_bytes"]),
        "Created": date_text(found["created_at"]),
        "Labels": _labels_text([label.name for label in found["labels"]] or found["classes"]),
    }
    for name, value in lines.items():
        click.echo(f"{name}: {escape(str(value), limit=2_000)}")


def _labels_text(names: Sequence[Any]) -> str:
    if not names:
        return "-"
    more = ", ..." if len(names) > _SHOWN_LABELS else ""
    return f"{', '.join(names[:_SHOWN_LABELS])}{more} ({len(names):,} class{'' if len(names) == 1 else 'es'})"
