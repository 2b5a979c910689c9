"""``pixcrawler barecat index-to-csv`` and ``to-ncdu-json``."""

from __future__ import annotations

import io
import sys

import click

from pixcrawler.cli.barecat._common import archive_argument, opened, write_text

__all__ = ["index_to_csv", "to_ncdu_json"]


@click.command()
@archive_argument
def index_to_csv(*, archive: str) -> None:
    """Print path, shard, offset, size and CRC-32C of all files as CSV, by path."""
    from pixcrawler.barecat.listing import write_csv

    with opened(archive) as source:
        file = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", errors="surrogateescape", newline="")
        try:
            write_csv(source.index, file)
        finally:
            file.detach()


@click.command()
@archive_argument
def to_ncdu_json(*, archive: str) -> None:
    """Print the directories and their sizes for `ncdu -f -`."""
    from pixcrawler import __version__
    from pixcrawler.barecat.listing import ncdu_json

    with opened(archive) as source:
        write_text(ncdu_json(source.index, __version__))
