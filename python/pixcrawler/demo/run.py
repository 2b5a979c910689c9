"""Packs photographs into a store, serves it, streams it through ``load_dataset``, and tells what happened."""

from __future__ import annotations

import resource
import shlex
import sys
import tempfile
import warnings
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from pixcrawler import load_dataset
from pixcrawler.demo.contact_sheet import contact_sheet
from pixcrawler.exceptions import escape
from pixcrawler.server.run import ServerProcess
from pixcrawler.server.store import JobSpec, Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from pixcrawler.dataset import Dataset
    from pixcrawler.stats import Stats

__all__ = ["run"]

_IMAGE_SIZE = 224
_LARGEST_BATCH = 64
_SMALLEST_BATCH = 8


@dataclass(frozen=True)
class _Outcome:
    stats: Stats
    failures: list[str]
    sheet: Path


def run(photos: Path | None, out: Path, console: Console) -> None:
    """Run the demonstration.

    Args:
        photos: A folder or a zip of images, or None for the photographs that come with the package.
        out: Folder for the contact sheet, ``batch.png``; made if missing.
        console: Where to tell about it.

    Raises:
        PixCrawlerError: The photographs cannot be packed or read.
        OSError: ``out`` cannot be written.
    """
    with (
        as_file(files("pixcrawler.demo") / "photos") as own,
        tempfile.TemporaryDirectory(prefix="pixcrawler-") as folder,
    ):
        store = Path(folder, "store")
        job_id, key = _pack(photos or own, store, console)
        _step(console, 2, "Serve the store", f"pixcrawler serve --store {shlex.quote(str(store))} --port 0")
        with ServerProcess(store) as server:
            console.print(f"  It answers at {server.url}, in a process of its own.")
            outcome = _stream(job_id, key, server.url, out, console)
        _report(outcome, console)
        console.print("\nThe server has stopped, and its store is removed.")


def _step(console: Console, number: int, what: str, command: str) -> None:
    console.print(f"\n[bold]{number}. {what}[/bold]")
    console.print("  [dim]$[/dim] ", end="")
    console.print(escape(command, limit=2_000), highlight=False, soft_wrap=True, markup=False)


def _pack(photos: Path, store: Path, console: Console) -> tuple[str, str]:
    command = f"pixcrawler pack {shlex.quote(str(photos))} --store {shlex.quote(str(store))} --name demo"
    _step(console, 1, "Pack the photographs into a store", command)
    opened, key = Store.create(store)
    with opened, _progress(console, "packing") as advance:
        result = opened.pack(photos, JobSpec("demo", None, (), 500), advance)
    job = result.job
    console.print(
        f"  {job.num_images} images, {(job.size_bytes or 0) / 1e6:.1f} MB, {job.num_chunks} chunk(s): {job.id}"
    )
    for refused in result.refused[:5]:
        console.print(f"  left out {escape(refused.name)}: {escape(refused.detail)}", markup=False)
    if len(result.refused) > 5:  # noqa: PLR2004 - as many as are named above
        console.print(f"  and {len(result.refused) - 5} more")
    return job.id, key


def _stream(job_id: str, key: str, url: str, out: Path, console: Console) -> _Outcome:
    with load_dataset(job_id, key, url, on_error="skip") as dataset:
        batch_size = min(max(len(dataset) // 3, _SMALLEST_BATCH), _LARGEST_BATCH)
        console.print("\n[bold]3. Stream, inflate, decode, resize[/bold]")
        for line in (
            f'dataset = load_dataset("{job_id}", api_key="{key[:6]}...", base_url="{url}")',
            f"for images, labels in dataset.iter_batches(batch_size={batch_size}, image_size={_IMAGE_SIZE}): ...",
        ):
            console.print(f"  [dim]>>>[/dim] {line}", highlight=False, soft_wrap=True)
        return _consume(dataset, batch_size, out, console)


def _consume(dataset: Dataset, batch_size: int, out: Path, console: Console) -> _Outcome:
    sheet = out / "batch.png"
    out.mkdir(parents=True, exist_ok=True)
    first = None
    with warnings.catch_warnings(), _progress(console, "decoding") as advance:
        # What was left out is part of the report below.
        warnings.simplefilter("ignore")
        delivered = 0
        for images, labels in dataset.iter_batches(batch_size, image_size=_IMAGE_SIZE):
            first = first or (images, labels)
            delivered += len(labels)
            advance(delivered, len(dataset))
    stats = dataset.stats()
    if first is not None:
        contact_sheet(*first).save(sheet)
    return _Outcome(stats, [failure.reason for failure in dataset.failures], sheet)


def _progress(console: Console, what: str) -> _Progress:
    return _Progress(console, what)


class _Progress:
    """A live bar of images, from the first one on."""

    def __init__(self, console: Console, what: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task(what, total=None)

    def __enter__(self) -> Callable[[int, int], None]:
        self._progress.start()
        return lambda done, total: self._progress.update(self._task, completed=done, total=total)

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()


def _peak_memory_mb() -> float:
    """Peak resident memory of this process, in 10^6 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (peak if sys.platform == "darwin" else peak * 1024) / 1e6


def _report(outcome: _Outcome, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    stats = outcome.stats
    table = Table(show_header=False, box=None, padding=(0, 2))
    rows = {
        "images": f"{stats.images}",
        "speed": f"{stats.images_per_s:,.0f} images/s, {stats.bytes_fetched / stats.elapsed_s / 1e6:,.1f} MB/s",
        "first batch": f"after {(stats.first_batch_s or 0) * 1e3:,.0f} ms, all after {stats.elapsed_s * 1e3:,.0f} ms",
        "peak memory": f"{_peak_memory_mb():,.0f} MB, the interpreter included",
        "failures": f"{stats.failures}",
        "contact sheet": f"{outcome.sheet}",
    }
    for name, value in rows.items():
        table.add_row(f"[dim]{name}[/dim]", Text(escape(value)))
    console.print("\n[bold]What came out[/bold]")
    console.print(table)
    for reason in outcome.failures[:5]:
        console.print(f"  left out: {escape(reason)}", markup=False)
    console.print(f"  {stats.limit}", highlight=False)
