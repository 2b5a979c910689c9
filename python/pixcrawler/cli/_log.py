"""What the package logs and warns of, on stderr: warnings always, the rest with ``-v``."""

from __future__ import annotations

import contextlib
import logging
import warnings
from typing import TYPE_CHECKING

import click

from pixcrawler.exceptions import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["show_all", "to_stderr"]

_LINE_CHARACTERS = 2_000
_package = logging.getLogger("pixcrawler")


class _Stderr(logging.Handler):
    """One line a record, fit for a terminal, without what looks like a secret."""

    def emit(self, record: logging.LogRecord) -> None:
        from pixcrawler._credentials import mask_likely

        try:
            line = escape(mask_likely(record.getMessage()), limit=_LINE_CHARACTERS)
            click.echo(f"{record.levelname.capitalize()}: {line}", err=True)
            if record.exc_info:
                click.echo(mask_likely(logging.Formatter().formatException(record.exc_info)), err=True)
        except OSError:
            # stderr is closed or full: nobody can be told.
            pass


@contextlib.contextmanager
def to_stderr() -> Iterator[None]:
    """Show the package's warnings on stderr, one line each, while a command runs."""

    def show(message: Warning | str, *_: object) -> None:
        _package.warning("%s", message)

    handler, level, propagate = _Stderr(), _package.level, _package.propagate
    _package.addHandler(handler)
    _package.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show  # type: ignore[assignment]
            yield
    finally:
        _package.removeHandler(handler)
        _package.setLevel(level)
        _package.propagate = propagate


def show_all() -> None:
    """Show what the package logs for whoever looks for a fault, too."""
    _package.setLevel(logging.DEBUG)
