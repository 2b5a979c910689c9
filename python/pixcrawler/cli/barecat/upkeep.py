"""``pixcrawler barecat verify`` and ``defrag``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pixcrawler.cli._errors import CommandError
from pixcrawler.cli._show import note, progress_bar
from pixcrawler.cli.barecat._common import archive_argument, opened, print_lines, refusals, threads_option

if TYPE_CHECKING:
    from pixcrawler.barecat.maintenance import Holes

__all__ = ["defrag", "verify"]


@click.command()
@archive_argument
@click.option("--quick", is_flag=True, help="All but the checksums of all files but the last.")
@threads_option("compare checksums")
def verify(*, archive: str, quick: bool, threads: int | None) -> None:
    """Check an archive: the index, that every file's bytes are there, and their checksums.

    Problems are on stdout, one a line. Bytes that belong to no file are told, and are no problem.
    """
    from pixcrawler.barecat.listing import human_size
    from pixcrawler.barecat.maintenance import Problem, orphaned_bytes, problems

    is_content_bad = is_index_bad = False

    def told(problem: Problem) -> str:
        nonlocal is_content_bad, is_index_bad
        is_content_bad |= problem.is_content
        is_index_bad |= not problem.is_content
        return str(problem)

    with opened(archive) as source:
        with progress_bar("verifying") as on_progress:
            print_lines(map(told, problems(source, quick=quick, threads=threads, on_progress=on_progress)))
        if is_content_bad or is_index_bad:
            raise CommandError(_failure(quick=quick, is_content_bad=is_content_bad, is_index_bad=is_index_bad))
        if orphans := orphaned_bytes(source):
            note(
                f"{human_size(orphans)} bytes of the shards belong to no file; `pixcrawler barecat defrag` frees them."
            )
        count, size = source.num_files, source.total_size
    what = "(quick check), all OK" if quick else f"({human_size(size)}), all checksums OK"
    click.echo(f"Verified {count} files {what}.")


def _failure(*, quick: bool, is_content_bad: bool, is_index_bad: bool) -> str:
    if quick:
        return "Integrity verification failed."
    content = ["CRC32C verification failed."] if is_content_bad else []
    return " ".join([*content, *(["Index integrity errors were found."] if is_index_bad else [])])


@click.command()
@archive_argument
@click.option("-n", "--dry-run", is_flag=True, help="Tell what could be freed, and change nothing.")
@click.option("--quick", is_flag=True, help="Only move files from the end into holes that they fit in.")
@click.option("--smart", is_flag=True, help="As without: taken for Barecat's sake.")
@click.option(
    "--max-seconds",
    metavar="SEC",
    type=click.FloatRange(0),
    default=300.0,
    show_default=True,
    help="With --quick: begin no move after that time.",
)
def defrag(*, archive: str, dry_run: bool, quick: bool, smart: bool, max_seconds: float) -> None:
    """Close the holes that deleted files left. A crash at any moment loses nothing."""
    from pixcrawler.barecat import maintenance
    from pixcrawler.barecat.archive import Barecat
    from pixcrawler.barecat.listing import human_size

    if quick and smart:
        message = "--quick and --smart exclude each other"
        raise click.UsageError(message, click.get_current_context())
    if dry_run:
        with opened(archive) as source:
            _tell(maintenance.holes(source))
        return
    # Opened for writing, what is not there would be made.
    opened(archive).close()
    with refusals(), Barecat(archive, readonly=False) as target:
        freed = maintenance.defrag(target, quick=quick, max_seconds=max_seconds)
    click.echo(f"Freed {human_size(freed)}")


def _tell(holes: Holes) -> None:
    from pixcrawler.barecat.listing import human_size

    ratio = holes.physical_size / holes.logical_size if holes.logical_size else 1.0
    click.echo(f"Physical size:       {human_size(holes.physical_size)}")
    click.echo(f"Logical size:        {human_size(holes.logical_size)}")
    click.echo(f"Freeable space:      {human_size(holes.physical_size - holes.logical_size)}")
    click.echo(f"Number of gaps:      {holes.num_gaps}")
    click.echo(f"Fragmentation ratio: {ratio:.3f}")
