"""``pixcrawler barecat list``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pixcrawler.cli._errors import CommandError
from pixcrawler.cli.barecat._common import archive_argument, opened, print_lines
from pixcrawler.exceptions import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pixcrawler.barecat.reading import IndexReader

__all__ = ["list_entries"]


@click.command("list")
@archive_argument
@click.argument("paths", nargs=-1, metavar="[PATH|GLOB]...")
@click.option("-l", "--long", "is_long", is_flag=True, help="As ls -l: mode, owner, size, time.")
@click.option("-R", "--recursive", is_flag=True, help="All files below, as full paths.")
@click.option("--jsonl", is_flag=True, help="A JSON object a line.")
@click.option("-0", "--null", is_flag=True, help="NUL ends a name, not a line end.")
def list_entries(
    *, archive: str, paths: tuple[str, ...], is_long: bool, recursive: bool, jsonl: bool, null: bool
) -> None:
    """List an archive's entries: of the top, of directories, files, or what globs match.

    Directories end in a slash. A glob, or a directory with a slash behind it, shows full paths.
    """
    missing: list[str] = []
    with opened(archive) as source:
        for path in paths or ("",):
            lines = _lines(source.index, path, missing, is_long=is_long, recursive=recursive, jsonl=jsonl)
            print_lines(lines, end="\0" if null else "\n")
    if missing:
        raise CommandError(f"no such entry: {', '.join(map(escape, missing))}")


def _lines(
    index: IndexReader, path: str, missing: list[str], *, is_long: bool, recursive: bool, jsonl: bool
) -> Iterator[str]:
    from pixcrawler.barecat.exceptions import FileNotFoundBarecatError
    from pixcrawler.barecat.listing import json_line, listed, long_line, names, total_size

    try:
        found = listed(index, path, recursive=recursive)
        if jsonl:
            yield from (json_line(info) for _, info in found)
        elif is_long:
            entries = list(found) if not recursive else None
            if entries is not None and index.isdir(path):
                yield f"total {sum(total_size(info) for _, info in entries)}"
            yield from (long_line(shown, info) for shown, info in (found if entries is None else entries))
        else:
            yield from names(index, path, recursive=recursive)
    except FileNotFoundBarecatError:
        missing.append(path)
