"""How far a download is, on stderr: bars on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

import click

from pixcrawler.cli._options import is_quiet
from pixcrawler.cli._show import count_text, size_text
from pixcrawler.exceptions import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import TaskID

    from pixcrawler.download.progress import DownloadProgress

__all__ = ["shown_progress"]

_LINE_EVERY_S = 5.0
_NAME_CHARACTERS = 40


@contextlib.contextmanager
def shown_progress(*, hidden: bool) -> Iterator[Callable[[DownloadProgress], None] | None]:
    """Something to call with each state of a download.

    Args:
        hidden: Show nothing, as ``-q`` does.
    """
    if hidden or is_quiet() or sys.stderr is None:
        yield None
    elif sys.stderr.isatty():
        with _bars() as show:
            yield show
    else:
        yield _lines()


def _facts(progress: DownloadProgress) -> str:
    """Images, rate, time left."""
    images = count_text(progress.images)
    if progress.images_total is not None:
        images += f" of {count_text(progress.images_total)}"
    failed = f", {count_text(progress.failed)} failed" if progress.failed else ""
    left = "" if progress.left_s is None else f", {_time_text(progress.left_s)} left"
    return f"{images} images{failed}, {size_text(round(progress.bytes_per_s))}/s{left}"


def _time_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _lines() -> Callable[[DownloadProgress], None]:
    told_s = time.monotonic()

    def show(progress: DownloadProgress) -> None:
        nonlocal told_s
        if time.monotonic() - told_s < _LINE_EVERY_S:
            return
        told_s = time.monotonic()
        total = "" if progress.bytes_total is None else f" of {size_text(progress.bytes_total)}"
        chunks = f"{count_text(progress.chunks_done)} of {count_text(progress.chunks_total)} chunks"
        # Where stderr is closed or full there is nobody to tell.
        with contextlib.suppress(OSError):
            click.echo(f"{size_text(progress.bytes_done)}{total}, {chunks}, {_facts(progress)}", err=True)

    return show


@contextlib.contextmanager
def _bars() -> Iterator[Callable[[DownloadProgress], None]]:
    """A bar for all bytes, and one for each chunk in work."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        whole = bars.add_task("downloading", total=None, facts="")
        tasks: dict[str, TaskID] = {}

        def show(progress: DownloadProgress) -> None:
            bars.update(
                whole,
                description=f"{progress.chunks_done} of {progress.chunks_total} chunks",
                completed=progress.bytes_done,
                total=progress.bytes_total,
                facts=_facts(progress),
            )
            active = {chunk.chunk_id: chunk for chunk in progress.active}
            for chunk_id in tasks.keys() - active.keys():
                bars.remove_task(tasks.pop(chunk_id))
            for chunk_id, chunk in active.items():
                if chunk_id not in tasks:
                    tasks[chunk_id] = bars.add_task(escape(chunk_id, limit=_NAME_CHARACTERS), total=None, facts="")
                bars.update(tasks[chunk_id], completed=chunk.bytes_done, total=chunk.size_bytes, facts=chunk.state)

        yield show
