"""Options that several commands share."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

__all__ = ["access_options", "as_json_option", "complete_path", "given", "is_quiet", "read_line", "verbosity_options"]

_C = TypeVar("_C", bound="Callable[..., Any]")
_LINE_BYTES = 65_536
_QUIET = "pixcrawler.quiet"

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def access_options(command: _C) -> _C:
    """The key and the address of an API: ``api_key`` and ``base_url``, each None if it is not given.

    The client reads the environment, as it knows which key belongs where.
    """

    @functools.wraps(command)
    def with_key(*args: Any, api_key: str | None, api_key_file: Path | None, **options: Any) -> Any:
        return command(*args, api_key=_key_of(api_key, api_key_file), **options)

    key = click.option(
        "--api-key",
        metavar="KEY",
        help="API key; - reads it from stdin. Other users of a machine see arguments: better `pixcrawler login`, "
        "--api-key-file or the variable PIXCRAWLER_API_KEY.",
    )
    file = click.option(
        "--api-key-file",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File whose first line is the API key; else that in PIXCRAWLER_API_KEY_FILE.",
    )
    address = click.option(
        "--base-url",
        metavar="URL",
        callback=_checked_address,
        help="Address of the API; else that in PIXCRAWLER_BASE_URL.",
    )
    return cast("_C", key(file(address(with_key))))


def _key_of(api_key: str | None, file: Path | None) -> str | None:
    from pixcrawler._constants import DEFAULT_BASE_URL
    from pixcrawler._credentials import Credentials, read_key_file

    if api_key is not None and file is not None:
        message = "--api-key and --api-key-file exclude each other"
        raise click.UsageError(message, click.get_current_context())
    if file is not None:
        api_key = read_key_file(file)
    elif api_key == "-":
        api_key = read_line()
    if api_key is None:
        return None
    try:
        return Credentials(api_key, DEFAULT_BASE_URL).api_key
    except ValueError as error:
        raise click.UsageError(str(error), click.get_current_context()) from error


def read_line() -> str:
    """A line of stdin: a key through a pipe."""
    with click.open_file("-", "rb") as stdin:
        line: bytes = stdin.readline(_LINE_BYTES)
    return line.decode("utf-8", "replace").strip()


def _checked_address(_ctx: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    from pixcrawler._credentials import Credentials

    if value is None:
        return None
    try:
        return Credentials(None, value).base_url
    except ValueError as error:
        raise click.BadParameter(str(error).removeprefix("base_url ")) from error


def given(**options: Any) -> dict[str, Any]:
    """The options that were given; the others keep the defaults of the function that they go to."""
    return {name: value for name, value in options.items() if value is not None}


def complete_path(_ctx: click.Context, _option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete the name of a file or a folder."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def verbosity_options() -> tuple[click.Option, click.Option]:
    """``-q`` and ``-v``: of the program, and of each command, so that both orders are right."""
    quiet = click.Option(
        ["-q", "--quiet"],
        is_flag=True,
        expose_value=False,
        callback=_set_quiet,
        help="No progress and no notes: results, warnings and errors alone.",
    )
    verbose = click.Option(
        ["-v", "--verbose"],
        is_flag=True,
        expose_value=False,
        callback=_set_verbose,
        help="Log on stderr what is done, such as each request.",
    )
    return quiet, verbose


def _set_quiet(ctx: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[_QUIET] = True


def _set_verbose(_ctx: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        from pixcrawler.cli import _log

        _log.show_all()


def is_quiet() -> bool:
    """Whether the user asked for ``-q``. To be asked in the thread of the command."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.meta.get(_QUIET))
