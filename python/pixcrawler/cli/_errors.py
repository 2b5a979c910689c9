"""From errors to one line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from pixcrawler import codes, exceptions
from pixcrawler.exceptions import (
    ArchiveError,
    DownloadError,
    IntegrityError,
    NetworkError,
    PixCrawlerError,
    escape,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "EXIT_DISK",
    "EXIT_ERROR",
    "EXIT_INTEGRITY",
    "EXIT_NETWORK",
    "Commands",
    "exit_code_of",
    "needs_extra",
]

EXIT_ERROR: Final = 1
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
_DISK_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


def exit_code_of(code: str) -> int:
    """The exit code for an error of that stable code."""
    if code == "file_io":
        return EXIT_DISK
    entry = codes.lookup(code)
    kind = PixCrawlerError if entry is None else getattr(exceptions, entry.exception, PixCrawlerError)
    return next((exit_code for base, exit_code in _EXIT_CODES if issubclass(kind, base)), EXIT_ERROR)


class Commands(click.Group):
    """A group whose commands fail with one line on stderr."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn errors of the outside world into exit codes. A bug keeps its traceback."""
        try:
            result = super().invoke(ctx)
            # What is still buffered belongs to the command: a closed pipe must show here, not at the very end.
            sys.stdout.flush()
        except PixCrawlerError as error:
            _fail(ctx, str(error), exit_code_of(error.code))
        except BrokenPipeError:
            _forget_stdout()
            ctx.exit(0)
        except OSError as error:
            _fail(ctx, _describe(error), EXIT_DISK if error.errno in _DISK_ERRORS else EXIT_ERROR)
        except KeyboardInterrupt:
            _fail(ctx, "interrupted", EXIT_INTERRUPTED)
        else:
            return result


@contextlib.contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Say which extra to install when a module of it is missing.

    Args:
        extra: Its name in the package's metadata.

    Raises:
        click.ClickException: A module of another package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "pixcrawler":
            raise
        message = f'{error.name} is not installed. Run: pip install "pixcrawler-sdk[{extra}]"'
        raise click.ClickException(message) from error


def _fail(ctx: click.Context, message: str, code: int) -> None:
    click.echo(f"Error: {message}", err=True)
    ctx.exit(code)


def _describe(error: OSError) -> str:
    place = f"{escape(os.fsdecode(error.filename))}: " if isinstance(error.filename, (str, bytes)) else ""
    return place + escape(error.strerror or str(error))


def _forget_stdout() -> None:
    """Point stdout elsewhere, so that what is left in its buffer makes no second error at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
