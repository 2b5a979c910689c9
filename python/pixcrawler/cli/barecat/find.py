"""``pixcrawler barecat find``, ``tree`` and ``du``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pixcrawler.cli.barecat._common import archive_argument, opened, print_lines

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["du", "find", "tree"]

_path_argument = click.argument("path", required=False, default="")


def _size_test(_ctx: click.Context, _option: click.Parameter, value: str | None) -> Callable[[int], bool] | None:
    from pixcrawler.barecat.listing import size_test

    if value is None:
        return None
    try:
        return size_test(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@archive_argument
@_path_argument
@click.option("-name", "name", metavar="GLOB", help="The last part of the path matches.")
@click.option("-path", "-wholename", "glob", metavar="GLOB", help="The path matches; * matches slashes too.")
@click.option("-type", "kind", type=click.Choice(["f", "d"]), help="f files, d directories.")
@click.option("-size", "size", metavar="[+-]N[kMG]", callback=_size_test, help="Bytes: +N more, -N less, N exactly.")
@click.option("-maxdepth", "max_depth", metavar="N", type=click.IntRange(0), help="At most so far below PATH.")
@click.option("-print0", "null", is_flag=True, help="NUL ends a path, not a line end.")
def find(*, archive: str, path: str, glob: str | None, null: bool, **tests: Any) -> None:
    """Search an archive as find does: entries below PATH that pass all tests. The root is shown as a dot."""
    from pixcrawler.barecat import listing

    with opened(archive) as source:
        print_lines(listing.find(source.index, path, path=glob, **tests), end="\0" if null else "\n")


@click.command()
@archive_argument
@_path_argument
@click.option("-L", "--level", "max_depth", metavar="N", type=click.IntRange(0), help="At most so far below PATH.")
@click.option("-d", "--dirs-only", is_flag=True, help="Directories alone.")
def tree(*, archive: str, path: str, max_depth: int | None, dirs_only: bool) -> None:
    """Draw an archive's directories as a tree."""
    from pixcrawler.barecat.listing import tree_lines

    with opened(archive) as source:
        print_lines(tree_lines(source.index, path, max_depth=max_depth, dirs_only=dirs_only))


@click.command()
@archive_argument
@_path_argument
@click.option("-a", "--all", "with_files", is_flag=True, help="Files too.")
@click.option("-s", "--summarize", is_flag=True, help="The sum alone.")
@click.option("-H", "--human-readable", is_flag=True, help="Sizes as 1.5K, 2.0M.")
@click.option("-d", "--max-depth", metavar="N", type=click.IntRange(0), help="At most so far below PATH.")
def du(
    *, archive: str, path: str, with_files: bool, summarize: bool, human_readable: bool, max_depth: int | None
) -> None:
    """Show the bytes of the files below each directory."""
    from pixcrawler.barecat.listing import disk_usage, human_size

    text = human_size if human_readable else str
    depth = 0 if summarize else max_depth
    with opened(archive) as source:
        found = disk_usage(source.index, path, with_files=with_files, max_depth=depth)
        print_lines(f"{text(size)}\t{name}" for size, name in found)
