"""What commands on archives share."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from pixcrawler.cli._errors import CommandError
from pixcrawler.cli._options import complete_path
from pixcrawler.exceptions import PixCrawlerError, escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pixcrawler.barecat.archive import Barecat

__all__ = [
    "SIZE",
    "FilteredCommand",
    "archive_argument",
    "opened",
    "print_lines",
    "refusals",
    "threads_option",
    "write_text",
]

_BLOCK: Final = 1000
_UNITS: Final = ("K", "M", "G", "T")


if TYPE_CHECKING:
    _Type = click.ParamType[int]
else:
    # Older versions of click have no type of its kind.
    _Type = click.ParamType


class Size(_Type):
    """Bytes: a number, also with K, M, G or T, powers of 1024; KB and KiB mean K."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Take the text of an option."""
        from pixcrawler.barecat.paths import parse_size

        text = str(value).strip().upper()
        for suffix in ("IB", "B"):
            if text.removesuffix(suffix).endswith(_UNITS):
                text = text.removesuffix(suffix)
                break
        try:
            size = parse_size(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        assert size is not None
        return size


SIZE: Final = Size()


class FilteredCommand(click.Command):
    """A command whose options ``include`` and ``exclude`` also become ``filter_rules``, in the order they stand in."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments, the order of the options too."""
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        rest = super().parse_args(ctx, args)
        globs = {name: iter(ctx.params.pop(name) or ()) for name in ("include", "exclude")}
        signs = {"include": "+", "exclude": "-"}
        ctx.params["filter_rules"] = [
            (signs[param.name], next(globs[param.name])) for param in order if param.name in signs
        ]
        return rest


archive_argument: Final = click.argument("archive", metavar="ARCHIVE", shell_complete=complete_path)


def threads_option(what: str) -> Callable[[Any], Any]:
    """``-j N``: how many threads do what."""
    return click.option(
        "-j",
        "--workers",
        "threads",
        metavar="N",
        type=click.IntRange(1, 1024),
        help=f"Threads that {what}; one a processor if it is not given.",
    )


def opened(archive: str) -> Barecat:
    """An archive, read-only; shards are opened when they are read from."""
    from pixcrawler.barecat.archive import Barecat

    return Barecat(archive)


@contextmanager
def refusals() -> Iterator[None]:
    """Take a ValueError for what an archive says of a change that it refuses.

    Raises:
        CommandError: There was one that is not an error of the outside world.
    """
    try:
        yield
    except PixCrawlerError:
        raise
    except ValueError as error:
        raise CommandError(str(error)) from error


def print_lines(lines: Iterable[str], *, end: str = "\n") -> None:
    """Names on stdout as they are, for other programs; on a terminal fit for it."""
    stream = sys.stdout.buffer
    shows = end == "\n" and sys.stdout.isatty()
    block: list[str] = []
    for line in lines:
        block.append(escape(line) if shows else line)
        if len(block) == _BLOCK:
            _write(stream, block, end)
    _write(stream, block, end)


def _write(stream: Any, block: list[str], end: str) -> None:
    if block:
        stream.write((end.join(block) + end).encode("utf-8", "surrogateescape"))
        block.clear()


def write_text(parts: Iterable[str]) -> None:
    """Text on stdout, as it is."""
    stream = sys.stdout.buffer
    for part in parts:
        stream.write(part.encode("utf-8", "surrogateescape"))
