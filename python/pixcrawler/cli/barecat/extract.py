"""``pixcrawler barecat extract`` and ``cat``."""

from __future__ import annotations

import sys

import click

from pixcrawler.cli._errors import CommandError
from pixcrawler.cli._show import progress_bar
from pixcrawler.cli.barecat._common import FilteredCommand, archive_argument, opened
from pixcrawler.exceptions import escape

__all__ = ["cat", "extract"]


@click.command(cls=FilteredCommand)
@archive_argument
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option(
    "-C", "--directory", default=".", metavar="DIR", type=click.Path(file_okay=False), help="Where to; made if missing."
)
@click.option("--pattern", metavar="GLOB", help="Take only files that match.")
@click.option("-i", "--include", multiple=True, metavar="GLOB", help="Take files that match; the first rule decides.")
@click.option("-x", "--exclude", multiple=True, metavar="GLOB", help="Leave out what matches; the first rule decides.")
def extract(
    *, archive: str, paths: tuple[str, ...], directory: str, pattern: str | None, filter_rules: list[tuple[str, str]]
) -> None:
    """Write an archive's files below a folder, with modes and times. Files that are there are replaced.

    PATHs are files and directories of the archive; one single file is written to stdout. Each file's checksum is
    compared. Nothing is written outside of the folder, whatever the archive and links in the folder say.
    """
    from pixcrawler.barecat import extraction

    if pattern is not None and filter_rules:
        message = "--pattern excludes -i and -x"
        raise click.UsageError(message, click.get_current_context())
    with opened(archive) as source:
        if len(paths) == 1 and source.isfile(paths[0]):
            extraction.write_content(source, paths[0], sys.stdout.buffer)
            return
        with progress_bar("extracting") as on_progress:
            done = extraction.extract(
                source, directory, paths, pattern=pattern, filter_rules=filter_rules, on_progress=on_progress
            )
    if done.first is not None:
        entries = "1 entry was" if done.refused == 1 else f"{done.refused} entries were"
        raise CommandError(f"{entries} not extracted, first {escape(done.first.path)}: {done.first.reason}")


@click.command()
@archive_argument
@click.argument("path")
def cat(*, archive: str, path: str) -> None:
    """Write a file's bytes to stdout."""
    from pixcrawler.barecat.extraction import write_content

    with opened(archive) as source:
        write_content(source, path, sys.stdout.buffer)
