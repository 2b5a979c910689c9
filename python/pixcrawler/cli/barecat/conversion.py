"""``pixcrawler barecat convert``, ``merge``, ``subset``, ``reshard`` and ``upgrade``."""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from pixcrawler.cli._errors import CommandError
from pixcrawler.cli._options import complete_path
from pixcrawler.cli.barecat._common import SIZE, FilteredCommand, archive_argument, refusals, threads_option
from pixcrawler.exceptions import escape

__all__ = ["convert", "merge", "reshard", "subset", "upgrade"]

_limit_option: Final = click.option(
    "-s", "--shard-size-limit", "limit", type=SIZE, help="Bytes that a shard may have, such as 50G."
)
_force_option: Final = click.option("-f", "--force", is_flag=True, help="Replace what is there.")
_output_option: Final = click.option(
    "-o", "--output", metavar="OUT", required=True, shell_complete=complete_path, help="The new archive."
)
_filter_options: Final = (
    click.option("--pattern", metavar="GLOB", help="Take only files that match."),
    click.option("-i", "--include", multiple=True, metavar="GLOB", help="Take what matches; the first rule decides."),
    click.option("-x", "--exclude", multiple=True, metavar="GLOB", help="Leave out what matches; as -i."),
)


def _filtered(command: Any) -> Any:
    for decorator in reversed(_filter_options):
        command = decorator(command)
    return command


def _check(*, is_wrong: bool, message: str) -> None:
    if is_wrong:
        raise click.UsageError(message, click.get_current_context())


@click.command()
@click.argument("source", metavar="INPUT", shell_complete=complete_path)
@click.argument("target", metavar="OUTPUT", shell_complete=complete_path)
@_limit_option
@_force_option
@click.option("--stdin", is_flag=True, help="Read from stdin; INPUT is tar, tar.gz, tar.bz2 or tar.xz.")
@click.option("--stdout", is_flag=True, help="Write to stdout; OUTPUT is tar, tar.gz, tar.bz2 or tar.xz.")
@click.option("--root-dir", metavar="NAME", help="Put everything below a folder of the tar or zip.")
@click.option("--wrap", is_flag=True, help="Copy nothing: index an uncompressed tar or a zip of stored entries.")
def convert(
    *,
    source: str,
    target: str,
    limit: int | None,
    force: bool,
    stdin: bool,
    stdout: bool,
    root_dir: str | None,
    wrap: bool,
) -> None:
    """Make an archive of a tar or a zip, or the other way round: the ends of the names tell.

    Directories, modes, owners and times come along, in a zip the times alone. Symbolic links are left out and counted,
    hard links become files. What is made appears when it is complete.
    """
    from pixcrawler.barecat import conversion
    from pixcrawler.barecat.foreign import TAR_KINDS, kind_of

    _check(is_wrong=stdin and (stdout or wrap), message="--stdin excludes --stdout and --wrap")
    for is_stream, name, value in ((stdin, "--stdin", source), (stdout, "--stdout", target)):
        if is_stream and value not in TAR_KINDS:
            raise CommandError(f"with {name} a side is one of {', '.join(TAR_KINDS)}, not {value!r}")
    is_packed_in, is_packed_out = stdin or kind_of(source) is not None, stdout or kind_of(target) is not None
    if is_packed_in == is_packed_out:
        found = "both are" if is_packed_in else "neither is"
        message = f"one of INPUT and OUTPUT has to be a tar or a zip by its name's end, the other an archive; {found}"
        raise CommandError(message)
    if is_packed_out and wrap:
        raise CommandError("--wrap needs a tar or a zip as INPUT")
    _check(is_wrong=is_packed_in and root_dir is not None, message="--root-dir is for a tar or a zip as OUTPUT")
    with refusals():
        if wrap:
            conversion.wrap_archive(source, target, overwrite=force)
        elif is_packed_in:
            stream = sys.stdin.buffer if stdin else source
            conversion.archive2barecat(stream, target, limit, force, kind=source if stdin else None)
        elif stdout:
            conversion.barecat2archive(source, sys.stdout.buffer, root_dir, kind=target)
        else:
            conversion.barecat2archive(source, target, root_dir, overwrite=force)


@click.command(cls=FilteredCommand)
@click.argument("sources", metavar="ARCHIVE...", nargs=-1, required=True, shell_complete=complete_path)
@_output_option
@_limit_option
@_force_option
@click.option("-a", "--append", is_flag=True, help="Add to OUT if it is there; files that it has stay.")
@click.option("--symlink", is_flag=True, help="Copy nothing: shards are links to those of the archives.")
@click.option("--ignore-duplicates", is_flag=True, help="Of files of one path take the first.")
@click.option("--as-subdirs", is_flag=True, help="Put each below a folder of its name.")
@click.option("--prefix", metavar="P", help="Put everything below a folder.")
@_filtered
def merge(
    *,
    sources: tuple[str, ...],
    output: str,
    limit: int | None,
    force: bool,
    append: bool,
    symlink: bool,
    ignore_duplicates: bool,
    as_subdirs: bool,
    prefix: str | None,
    pattern: str | None,
    filter_rules: list[tuple[str, str]],
) -> None:
    """Make one archive of several, which may be tars and zips too. It appears when it is complete."""
    from pixcrawler.barecat import merging

    _check(is_wrong=pattern is not None and bool(filter_rules), message="--pattern excludes -i and -x")
    _check(is_wrong=append and (force or symlink), message="--append excludes --force and --symlink")
    _check(is_wrong=symlink and limit is not None, message="--symlink keeps the shards: it excludes -s")
    with refusals():
        options: dict[str, Any] = {
            "as_subdirs": as_subdirs,
            "prefix": prefix,
            "pattern": pattern,
            "filter_rules": filter_rules,
            "on_source": _tell,
        }
        if append:
            merging.append(sources, output, limit, **options)
        elif symlink:
            merging.merge_symlink(sources, output, force, ignore_duplicates, **options)
        else:
            merging.merge(sources, output, limit, force, ignore_duplicates, **options)


def _tell(source: str, place: str) -> None:
    click.echo(f"Merging files from {escape(source)}" + (f" -> {escape(place)}/" if place else ""))


@click.command(cls=FilteredCommand)
@archive_argument
@_output_option
@_limit_option
@_force_option
@_filtered
def subset(
    *,
    archive: str,
    output: str,
    limit: int | None,
    force: bool,
    pattern: str | None,
    filter_rules: list[tuple[str, str]],
) -> None:
    """Make an archive of some of another's files, with the directories that they lie in."""
    from pixcrawler.barecat import merging

    _check(is_wrong=pattern is not None and bool(filter_rules), message="--pattern excludes -i and -x")
    with refusals():
        merging.subset(archive, output, limit, force, pattern, filter_rules)


@click.command()
@archive_argument
@click.option("-s", "--shard-size-limit", "limit", type=SIZE, required=True, help="Bytes that a shard may have.")
def reshard(*, archive: str, limit: int) -> None:
    """Lay an archive's files out anew, in shards of another size. A crash at any moment loses nothing: run it again."""
    from pixcrawler.barecat.resharding import reshard as run

    with refusals():
        run(archive, limit)


@click.command()
@archive_argument
@threads_option("read files, where they have no checksums yet")
@click.option(
    "--preserve-backup/--no-preserve-backup", default=True, show_default=True, help="Keep the old index as INDEX.old."
)
def upgrade(*, archive: str, threads: int | None, preserve_backup: bool) -> None:
    """Bring the index of an older version to the schema of today. Shards are not touched."""
    from pixcrawler.barecat.upgrading import upgrade as run

    with refusals():
        is_done = run(archive, workers=threads, preserve_backup=preserve_backup)
    if not is_done:
        click.echo(f"{escape(archive)} has the schema of today.")
