"""``pixcrawler verify``."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pixcrawler import codes
from pixcrawler.cli._errors import EXIT_DISK, EXIT_ERROR, EXIT_INTEGRITY, EXIT_NETWORK, exit_code_of, wrong_arguments
from pixcrawler.cli._options import access_options, as_json_option, complete_path, given
from pixcrawler.cli._show import add_row, count_text, print_json, print_table, progress_bar, size_text
from pixcrawler.exceptions import escape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pixcrawler.verify import Problem, RepairReport, VerifyReport

__all__ = ["verify"]

_SHOWN_PROBLEMS = 20
# Of several kinds of problems the first decides: what could not be read is to be tried again before all else.
_WORST_FIRST = (EXIT_DISK, EXIT_NETWORK, EXIT_INTEGRITY, EXIT_ERROR)


@click.command()
@click.argument("target", metavar="PATH|JOB", shell_complete=complete_path)
@click.option(
    "--repair",
    metavar="OUT",
    type=click.Path(file_okay=False, path_type=Path),
    help="New or empty folder for copies of the chunks (or of a folder's files) without the bad members.",
)
@click.option("--keep-truncated", is_flag=True, help="Take JPEGs that end too early for good.")
@click.option(
    "--all", "show_all", is_flag=True, help=f"List every problem; else about {_SHOWN_PROBLEMS}, some of each kind."
)
@access_options
@as_json_option
@click.pass_context
def verify(
    ctx: click.Context,
    *,
    target: str,
    repair: Path | None,
    keep_truncated: bool,
    show_all: bool,
    api_key: str | None,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Check every chunk and every image of a job, or of a local folder or zip.

    Each zip's structure is checked, each member's CRC, and that each image decodes to its end; of a job's chunks the
    size and the SHA-256 as well. Nothing is changed: --repair writes copies.

    Exit codes: 0 all is well; 1 some members are bad (or another error); 2 usage; 3 some chunks could not be fetched; 4
    a chunk as a whole is broken; 5 a file cannot be read or written; 130 interrupted.
    """
    from pixcrawler.verify import verify_dataset

    try:
        with wrong_arguments(), progress_bar("verifying") as on_progress:
            report = verify_dataset(
                target,
                **given(api_key=api_key, base_url=base_url),
                on_truncated="keep" if keep_truncated else "fail",
                repair_to=repair,
                on_progress=on_progress,
            )
    except FileExistsError as error:
        raise click.UsageError(f"{escape(str(error.filename))}: {error.strerror}", ctx) from error
    if as_json:
        print_json(report.to_dict())
    else:
        _print_summary(report)
        _print_problems(report, None if show_all else _SHOWN_PROBLEMS)
        if report.repair is not None:
            _print_repair(report.repair)
    ctx.exit(_exit_code(report))


def _exit_code(report: VerifyReport) -> int:
    found = {exit_code_of(problem.code) for chunk in report.chunks for problem in chunk.unchecked}
    for chunk in report.chunks:
        if chunk.error is not None:
            code = exit_code_of(chunk.error.code)
            found.add(EXIT_INTEGRITY if code == EXIT_ERROR else code)
    if report.bad:
        found.add(EXIT_ERROR)
    return next((code for code in _WORST_FIRST if code in found), 0)


def _print_summary(report: VerifyReport) -> None:
    from rich.table import Table

    images = report.good + report.bad + report.unchecked
    broken = sum(chunk.error is not None for chunk in report.chunks)
    chunks = _counted(len(report.chunks), "chunk")
    if broken:
        chunks += f", {count_text(broken)} of them broken as a whole"
    rate = images / report.elapsed_s if report.elapsed_s else 0
    rows = [
        ("checked", f"{_counted(images, 'image')} in {chunks}"),
        ("read", f"{size_text(report.size_bytes)} in {report.elapsed_s:.1f} s, {rate:,.0f} images/s"),
        ("good", count_text(report.good)),
        ("bad", count_text(report.bad)),
    ]
    if report.unchecked:
        rows.append(("not checked", count_text(report.unchecked)))
    if report.smallest is not None and report.largest is not None:
        smallest, largest = ("{} x {}".format(*size) for size in (report.smallest, report.largest))
        sizes = smallest if smallest == largest else f"{smallest} to {largest}"
        turned = {f"turned (EXIF {value})": count for value, count in report.orientations.items() if value != 1}
        rows += [
            ("sizes", f"{sizes} (height x width)"),
            ("formats", _counts(report.formats)),
            ("colours", _counts(report.colors)),
            ("orientation", _counts({"upright": report.orientations.get(1, 0), **turned})),
            ("decoded by", _counts(report.decoders)),
        ]
    table = Table(box=None, show_header=False)
    for row in rows:
        add_row(table, row)
    print_table(table)


def _counted(count: int, what: str) -> str:
    return f"{count_text(count)} {what}{'' if count == 1 else 's'}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count_text(count)}" for name, count in counts.items() if count)


def _print_problems(report: VerifyReport, shown: int | None) -> None:
    """All problems by code, each code explained once; chunks as a whole first."""
    if report.is_clean:
        click.echo("\nAll is well.")
        return
    chunks = [chunk.error for chunk in report.chunks if chunk.error is not None]
    members = [problem for chunk in report.chunks for problem in (*chunk.bad, *chunk.unchecked)]
    groups = [
        list(group)
        for problems in (chunks, members)
        for _, group in groupby(sorted(problems, key=lambda problem: problem.code), key=lambda problem: problem.code)
    ]
    # Some of every kind.
    shown_of_each = None if shown is None else max(shown // len(groups), 1)
    for problems in groups:
        _print_group(problems, shown_of_each, with_chunk=len(report.chunks) > 1)


def _print_group(problems: Sequence[Problem], shown: int | None, *, with_chunk: bool) -> None:
    code = problems[0].code
    entry = codes.lookup(code)
    explained = "" if entry is None else f" {entry.cause} {entry.remedy}"
    click.echo(f"\n{escape(code)} ({count_text(len(problems))}):{explained}")
    for problem in problems[:shown]:
        places = [problem.chunk_id] if with_chunk or problem.member is None else []
        places += [] if problem.member is None else [problem.member]
        click.echo(f"    {': '.join(map(escape, places))}: {escape(problem.detail)}")
    hidden = 0 if shown is None else len(problems[shown:])
    if hidden:
        click.echo(f"    and {count_text(hidden)} more; --all lists them")


def _print_repair(repair: RepairReport) -> None:
    click.echo(
        f"\nWrote {_counted(repair.chunks, 'chunk')} to {escape(repair.folder)}, "
        f"without {_counted(repair.removed, 'bad member')}."
    )
    for name in repair.left_out:
        click.echo(f"    not written: {escape(name)}")
