"""Records on a terminal and as JSON."""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from pixcrawler.cli._options import is_quiet
from pixcrawler.exceptions import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.table import Table

__all__ = [
    "add_row",
    "count_text",
    "date_text",
    "note",
    "print_json",
    "print_table",
    "progress_bar",
    "size_text",
]

_KILO = 1000


def print_json(value: Any) -> None:
    """A record, or a list of them, as JSON on stdout."""
    click.echo(json.dumps(value, default=_plain, indent=2))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return str(value)


def note(text: str) -> None:
    """A line on stderr for a person; nothing with ``-q``."""
    if not is_quiet():
        click.echo(text, err=True)


def print_table(table: Table) -> None:
    """A table on stdout, as wide as it needs to be where no terminal limits it."""
    from rich.console import Console

    console = Console(file=sys.stdout, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 10_000
    # Not printed by the console, which has an exit code of its own for a closed pipe.
    with console.capture() as shown:
        console.print(table)
    click.echo(shown.get(), nl=False)


def add_row(table: Table, cells: Iterable[str]) -> None:
    """Add a row of texts from outside, made fit for a terminal."""
    from rich.text import Text

    table.add_row(*(Text(escape(cell)) for cell in cells))


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int | None], None] | None]:
    """A live bar on stderr, if that is a terminal and ``-q`` was not given.

    Args:
        what: Stands before the bar.

    Yields:
        To call with the number done and the number of all, if that is known; None where there is no bar.
    """
    if is_quiet() or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def show(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        yield show


def size_text(size_bytes: int | None) -> str:
    """A number of bytes with a decimal unit."""
    if size_bytes is None:
        return "-"
    amount, units = float(size_bytes), ["B", "kB", "MB", "GB", "TB", "PB"]
    while amount >= _KILO and len(units) > 1:
        amount /= _KILO
        units.pop(0)
    return f"{size_bytes} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def count_text(count: int | None) -> str:
    """A number with thousands apart."""
    return "-" if count is None else f"{count:,}"


def date_text(when: datetime | None) -> str:
    """A time of this machine's zone, to the minute."""
    return "-" if when is None else when.astimezone().strftime("%Y-%m-%d %H:%M")
