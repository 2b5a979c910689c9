"""From errors to two lines on stderr, what and what to do, and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from pixcrawler import codes, exceptions
from pixcrawler.cli import _log
from pixcrawler.cli._options import verbosity_options
from pixcrawler.exceptions import (
    ArchiveError,
    DownloadError,
    IntegrityError,
    NetworkError,
    PixCrawlerError,
    escape,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "EXIT_DISK",
    "EXIT_ERROR",
    "EXIT_INTEGRITY",
    "EXIT_INTERRUPTED",
    "EXIT_NETWORK",
    "EXIT_USAGE",
    "CommandError",
    "Commands",
    "exit_code_of",
    "needs_extra",
    "wrong_arguments",
]

EXIT_ERROR: Final = 1
EXIT_USAGE: Final = 2
EXIT_NETWORK: Final = 3
EXIT_INTEGRITY: Final = 4
EXIT_DISK: Final = 5
EXIT_INTERRUPTED: Final = 130

# The most specific first.
_EXIT_CODES: Final[tuple[tuple[type[PixCrawlerError], int], ...]] = (
    (IntegrityError, EXIT_INTEGRITY),
    (ArchiveError, EXIT_INTEGRITY),
    (DownloadError, EXIT_NETWORK),
    (NetworkError, EXIT_NETWORK),
    (PixCrawlerError, EXIT_ERROR),
)
_DISK_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG})
_MESSAGE_CHARACTERS: Final = 4_000


def exit_code_of(code: str) -> int:
    """The exit code for an error of that stable code."""
    if code == "file_io":
        return EXIT_DISK
    entry = codes.lookup(code)
    kind = PixCrawlerError if entry is None else getattr(exceptions, entry.exception, PixCrawlerError)
    return next((exit_code for base, exit_code in _EXIT_CODES if issubclass(kind, base)), EXIT_ERROR)


class CommandError(click.ClickException):
    """An expected failure of a command.

    Args:
        what: What is wrong, one line.
        to_do: What to do about it, one line; empty for nothing.
        exit_code: As the command's help lists them.
    """

    def __init__(self, what: str, to_do: str = "", *, exit_code: int = EXIT_ERROR) -> None:
        super().__init__(what)
        self.to_do = to_do
        self.exit_code = exit_code  # type: ignore[misc]  # click's own subclasses do so


class Commands(click.Group):
    """A group whose commands fail with two lines on stderr, and all take -q and -v."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, which then takes -q and -v as the group does."""
        cmd.params.extend(verbosity_options())
        super().add_command(cmd, name)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run it and exit; every expected error is reported here, wrong arguments included."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        for stream in (sys.stdout, sys.stderr):
            # A name that the terminal's encoding lacks is no reason to fail.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        with _log.to_stderr():
            try:
                code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            except click.Abort:
                code = _report(CommandError("interrupted", exit_code=EXIT_INTERRUPTED))
            except click.ClickException as error:
                code = _report(error)
        sys.exit(code)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the arguments; ``--help`` and ``--version`` print and exit here."""
        with _translated():
            return super().make_context(*args, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the group's own arguments; without any, help is what is wanted."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn errors of the outside world into exit codes. A bug keeps its traceback."""
        with _translated():
            result = super().invoke(ctx)
            # What is still buffered belongs to the command: a full disk must show here, not at the very end.
            if sys.stdout is not None:
                sys.stdout.flush()
            return result


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PixCrawlerError as error:
        what = str(error).removesuffix(error.remedy).rstrip()
        raise CommandError(what, error.remedy, exit_code=exit_code_of(error.code)) from error
    except BrokenPipeError as error:
        _forget_stdout()
        raise click.exceptions.Exit(0) from error
    except OSError as error:
        _forget_stdout()
        raise _of_os(error) from error
    except KeyboardInterrupt as error:
        raise CommandError("interrupted", exit_code=EXIT_INTERRUPTED) from error


@contextlib.contextmanager
def wrong_arguments() -> Iterator[None]:
    """Take a ValueError for what it says of the command's arguments. Only for the calls that check them.

    Raises:
        click.UsageError: There was one that is not an error of the outside world.
    """
    try:
        yield
    except PixCrawlerError:
        raise
    except ValueError as error:
        raise click.UsageError(str(error), click.get_current_context()) from error


@contextlib.contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Say which extra to install when a module of it is missing.

    Args:
        extra: Its name in the package's metadata.

    Raises:
        CommandError: A module of another package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "pixcrawler":
            raise
        raise CommandError(f"{error.name} is not installed", f'pip install "pixcrawler-sdk[{extra}]"') from error


def _report(error: click.ClickException) -> int:
    """Show an error; its exit code."""
    # A message of click's may have several lines.
    what = escape(" ".join(error.format_message().split()), limit=_MESSAGE_CHARACTERS)
    if isinstance(error, CommandError):
        to_do = error.to_do
    else:
        ctx = getattr(error, "ctx", None)
        to_do = f"see `{'pixcrawler' if ctx is None else ctx.command_path} --help`"
    lines = [f"Error: {what}", *([f"Hint: {escape(to_do)}"] if to_do else [])]
    # Where stderr is closed or full the exit code has to say it alone.
    with contextlib.suppress(OSError):
        click.echo("\n".join(lines), err=True)
    return error.exit_code


def _of_os(error: OSError) -> CommandError:
    place = f"{escape(os.fsdecode(error.filename))}: " if isinstance(error.filename, (str, bytes)) else ""
    what = place + escape(error.strerror or str(error))
    if error.errno == errno.ENOSPC:
        return CommandError(what, "Free some space, or choose another disk.", exit_code=EXIT_DISK)
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return CommandError(what, "Allow more open files: ulimit -n.")
    if place or error.errno in _DISK_ERRORS:
        return CommandError(what, "Check the path, its permissions and the disk.", exit_code=EXIT_DISK)
    return CommandError(what)


def _forget_stdout() -> None:
    """If stdout does not take what is left in its buffer, point it elsewhere: that makes no second error at exit."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
