"""``pixcrawler demo``."""

from __future__ import annotations

from pathlib import Path

import click

from pixcrawler.cli._errors import needs_extra
from pixcrawler.cli._options import is_quiet

__all__ = ["demo"]


@click.command()
@click.argument("photos", metavar="[FOLDER|ZIP]", required=False, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out",
    default=Path("demo"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the contact sheet, batch.png.",
)
def demo(*, photos: Path | None, out: Path) -> None:
    """Show the main job: pack photographs, serve them, stream them over HTTP, decode them.

    Uses the 24 photographs that come with the package, or those of a folder or a zip.
    """
    with needs_extra("server"):
        from rich.console import Console

        from pixcrawler.demo.run import run

        run(photos, out, Console(quiet=is_quiet()))
