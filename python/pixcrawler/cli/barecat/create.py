"""``pixcrawler barecat create`` and ``add``."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pixcrawler.cli._options import complete_path
from pixcrawler.cli._show import note, progress_bar
from pixcrawler.cli.barecat._common import SIZE, archive_argument, refusals, threads_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pixcrawler.barecat.creation import Packed
    from pixcrawler.barecat.walking import Walk

__all__ = ["add", "create"]

_C = TypeVar("_C", bound="Callable[..., Any]")


def _source_options(command: _C) -> _C:
    decorators: tuple[Callable[[_C], _C], ...] = (
        archive_argument,
        click.argument("paths", nargs=-1, metavar="[PATH]...", shell_complete=complete_path),
        click.option("-T", "--files-from", metavar="FILE", help="Read names from FILE, one a line; - is stdin."),
        click.option("-0", "--null", is_flag=True, help="NUL ends a name; without PATH and -T, names come from stdin."),
        click.option(
            "-C",
            "--directory",
            metavar="DIR",
            type=click.Path(exists=True, file_okay=False),
            help="Folder that PATHs and names begin at.",
        ),
        click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out what matches; **/ is any folders."),
        click.option("-i", "--include", multiple=True, metavar="GLOB", help="Take only files that match."),
        threads_option("read files"),
        click.option("-s", "--shard-size-limit", "limit", type=SIZE, help="Bytes that a shard may have, such as 50G."),
        click.option(
            "--index-suffix", is_flag=True, help="Name a new index as older versions did, ARCHIVE-sqlite-index."
        ),
        click.option("--resume", is_flag=True, help="Keep files that are there with the same size and time."),
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


@click.command()
@_source_options
@click.option("-f", "--force", is_flag=True, help="Replace an archive that is there.")
def create(
    *,
    archive: str,
    force: bool,
    resume: bool,
    index_suffix: bool,
    limit: int | None,
    threads: int | None,
    **source: Any,
) -> None:
    """Make an archive of files and folders.

    A folder stands in it as it is named; with a slash at its end, its content stands at the top. Links are followed.
    What is interrupted leaves an archive that opens, and the same command with --resume goes on.
    """
    from pixcrawler.barecat import creation

    if force and resume:
        message = "-f and --resume exclude each other"
        raise click.UsageError(message, click.get_current_context())
    with refusals(), ExitStack() as stack, progress_bar("storing") as on_progress:
        walk = _walk(archive, stack, **source)
        packed = creation.create(
            archive,
            walk,
            limit=limit,
            overwrite=force,
            resume=resume,
            index_suffix=index_suffix,
            threads=_threads(threads),
            on_progress=on_progress,
        )
    _tell(packed, walk)


@click.command()
@_source_options
@click.option("-c", "--create", "make", is_flag=True, help="Make the archive if there is none.")
def add(
    *, archive: str, make: bool, resume: bool, index_suffix: bool, limit: int | None, threads: int | None, **source: Any
) -> None:
    """Add files and folders to an archive.

    What is there stays as it is; a file whose path is taken is an error.
    """
    from pixcrawler.barecat import creation

    with refusals(), ExitStack() as stack, progress_bar("storing") as on_progress:
        walk = _walk(archive, stack, **source)
        packed = creation.add(
            archive,
            walk,
            limit=limit,
            make=make,
            resume=resume,
            index_suffix=index_suffix,
            threads=_threads(threads),
            on_progress=on_progress,
        )
    _tell(packed, walk)


def _threads(threads: int | None) -> int:
    from pixcrawler._machine import usable_cpus

    return threads or usable_cpus()


def _walk(
    archive: str,
    stack: ExitStack,
    *,
    paths: tuple[str, ...],
    files_from: str | None,
    null: bool,
    directory: str | None,
    exclude: tuple[str, ...],
    include: tuple[str, ...],
) -> Walk:
    from pixcrawler.barecat.walking import Walk, read_names

    if files_from is None and not paths:
        if not null:
            message = "nothing to store: give a PATH, -T FILE, or -0 with names on stdin"
            raise click.UsageError(message, click.get_current_context())
        files_from = "-"
    names: Iterable[str] = ()
    if files_from is not None:
        names = read_names(stack.enter_context(click.open_file(files_from, "rb")), null=null)
    return Walk(archive, paths, names, directory or "", exclude, include)


def _tell(packed: Packed, walk: Walk) -> None:
    for kind, count in sorted(walk.skipped.items()):
        note(f"Skipped {count} of the kind: {kind}.")
    if packed.kept:
        note(f"Kept {packed.kept} files that were there.")
