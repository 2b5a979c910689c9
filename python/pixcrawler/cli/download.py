"""``pixcrawler download``."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pixcrawler.cli._download_progress import shown_progress
from pixcrawler.cli._errors import EXIT_DISK, EXIT_ERROR, EXIT_INTERRUPTED, EXIT_USAGE, CommandError, wrong_arguments
from pixcrawler.cli._options import access_options, as_json_option, given
from pixcrawler.cli._show import count_text, print_json, size_text
from pixcrawler.exceptions import PixCrawlerError, escape

if TYPE_CHECKING:
    from pixcrawler.download.formats import Format
    from pixcrawler.download.progress import DownloadReport

__all__ = ["download"]

_CONTINUES = "run the same command again: it continues where this one ended."


def _size_of(_ctx: click.Context, _option: click.Parameter, value: str | None) -> int | tuple[int, int] | None:
    """``224`` or ``240x320``, height first."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,5})(?:[xX](\d{1,5}))?", value, re.ASCII)
    if match is None:
        message = f"expected a number or HEIGHTxWIDTH, such as 224 or 240x320, not {value!r}"
        raise click.BadParameter(message)
    height, width = match.groups()
    return int(height) if width is None else (int(height), int(width))


@click.command()
@click.argument("job")
@click.option(
    "--output-dir",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("./datasets"),
    show_default=True,
    help="The job gets a folder of its name in it.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["numpy", "images", "zip"]),
    default="numpy",
    show_default=True,
    help="numpy: decoded arrays, which pixcrawler.open_arrays opens. images: the original files in folders by label, "
    "with metadata.jsonl. zip: the chunks as they are.",
)
@click.option(
    "--image-size", metavar="N|HxW", callback=_size_of, help="Of numpy: resize each image; else each keeps its size."
)
@click.option("--max-workers", type=click.IntRange(min=1), default=4, show_default=True, help="Requests at once.")
@click.option("--no-progress", is_flag=True, help="Show no progress.")
@click.option("--strict", is_flag=True, help="Exit with 1 if samples were left out.")
@click.option(
    "--force", is_flag=True, help="Begin anew: remove an earlier download of the job, replace files in the way."
)
@access_options
@as_json_option
@click.pass_context
def download(
    ctx: click.Context,
    *,
    job: str,
    output_dir: Path,
    form: Format,
    image_size: int | tuple[int, int] | None,
    max_workers: int,
    no_progress: bool,
    strict: bool,
    force: bool,
    api_key: str | None,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Download a finished job, each chunk verified. Interrupted, the same command continues.

    What cannot be decoded (numpy) or unpacked (images) is left out and listed in failures.jsonl. The last line says
    what was done, and how to open it.

    Exit codes: 0 done; 1 with --strict, samples were left out (or another error); 2 usage, a folder that holds
    something else among it; 3 network; 4 a chunk is not what the catalogue promises; 5 disk; 130 interrupted.
    """
    from pixcrawler import download_dataset

    try:
        with wrong_arguments(), shown_progress(hidden=no_progress) as on_progress:
            report = download_dataset(
                job,
                output_dir,
                form,
                image_size=image_size,
                force=force,
                max_workers=max_workers,
                on_progress=on_progress,
                **given(api_key=api_key, base_url=base_url),
            )
    except KeyboardInterrupt as error:
        raise CommandError("interrupted", f"To go on, {_CONTINUES}", exit_code=EXIT_INTERRUPTED) from error
    except PixCrawlerError:
        raise
    except FileExistsError as error:
        what = f"{escape(str(error.filename))}: {error.strerror}"
        raise CommandError(
            what, "Choose another --output-dir, or begin anew with --force.", exit_code=EXIT_USAGE
        ) from error
    except OSError as error:
        what = ": ".join(escape(str(part)) for part in (error.filename, error.strerror or error) if part)
        room = "Free some space" if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} else "Check the disk"
        raise CommandError(what, f"{room}, then {_CONTINUES}", exit_code=EXIT_DISK) from error
    if as_json:
        print_json(report.to_dict())
    else:
        click.echo(_summary(report))
    ctx.exit(EXIT_ERROR if strict and report.failed else 0)


def _summary(report: DownloadReport) -> str:
    images = f"{count_text(report.num_images)} image{'' if report.num_images == 1 else 's'}"
    failed = f"{count_text(report.failed)} failed" + (" (see failures.jsonl)" if report.failed else "")
    place = escape(report.folder)
    opened = f"Open it: {escape(report.opens_with, limit=5_000)}"
    if not report.chunks_fetched:
        return f"Already complete: {images} in {place}, {failed}. {opened}"
    rate = size_text(round(report.bytes_fetched / report.elapsed_s)) if report.elapsed_s else "-"
    fetched = f"{size_text(report.bytes_fetched)} in {report.elapsed_s:.1f} s, {rate}/s"
    return f"Downloaded {images} to {place} ({fetched}), {failed}. {opened}"
