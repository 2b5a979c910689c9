"""``pixcrawler login``, ``logout`` and ``whoami``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import click

from pixcrawler.cli._errors import wrong_arguments
from pixcrawler.cli._options import access_options, as_json_option, read_line
from pixcrawler.cli._show import note, print_json
from pixcrawler.exceptions import escape

if TYPE_CHECKING:
    from pixcrawler._credentials import KeySource

__all__ = ["login", "logout", "whoami"]

_SOURCES: Final[dict[KeySource, str]] = {
    "argument": "from the command line",
    "PIXCRAWLER_API_KEY": "from PIXCRAWLER_API_KEY",
    "PIXCRAWLER_API_KEY_FILE": "from the file that PIXCRAWLER_API_KEY_FILE names",
    "login": "from `pixcrawler login`",
}


@click.command()
@access_options
def login(*, api_key: str | None, base_url: str | None) -> None:
    """Check an API key and keep it, with its address, for all later commands and programs of this user.

    The key is asked for without showing it, or read from stdin where that is a pipe. It is checked with one request
    and written to a file that only this user can read (~/.config/pixcrawler/credentials.json).
    """
    from pixcrawler import login as account

    with wrong_arguments():
        url = account.address(base_url)
    if api_key is None:
        api_key = _ask(url)
    if not api_key:
        message = "no API key was given"
        raise click.UsageError(message, click.get_current_context())
    with wrong_arguments():
        path = account.login(api_key, url)
    del api_key
    note(f"Logged in to {escape(url)}. The key is in {escape(str(path))}.")
    for name in ("PIXCRAWLER_API_KEY", "PIXCRAWLER_API_KEY_FILE"):
        if os.environ.get(name):
            note(f"{name} is set and goes before this login.")


def _ask(url: str) -> str:
    if sys.stdin is not None and sys.stdin.isatty():
        key: str = click.prompt(f"API key for {escape(url)}", hide_input=True, err=True)
        return key.strip()
    return read_line()


@click.command()
def logout() -> None:
    """Remove the key that `pixcrawler login` keeps."""
    from pixcrawler import login as account

    note("Logged out." if account.logout() else "Not logged in.")


@click.command()
@access_options
@as_json_option
def whoami(*, api_key: str | None, base_url: str | None, as_json: bool) -> None:
    """Show which API is used, where the key comes from, and whether the API accepts it.

    The exit code is 0 only if it does.
    """
    from pixcrawler import login as account

    with wrong_arguments():
        found = account.whoami(api_key, base_url)
    if as_json:
        print_json({"base_url": found.base_url, "key_source": found.key_source, "accepted": found.accepted})
    else:
        key = "none" if found.key_source is None else f"*** ({_SOURCES[found.key_source]})"
        accepted = {True: "yes", False: "no", None: "not known"}[found.accepted]
        click.echo(f"API: {escape(found.base_url)}\nKey: {key}\nAccepted: {accepted}")
    if found.error is not None:
        raise found.error
