"""``pixcrawler barecat``: commands on archives.

A new one is a module of this folder and a line at the end of this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from pixcrawler.cli._errors import EXIT_ERROR, EXIT_INTERRUPTED, CommandError, Commands
from pixcrawler.cli.barecat.conversion import convert, merge, reshard, subset, upgrade
from pixcrawler.cli.barecat.create import add, create
from pixcrawler.cli.barecat.dump import index_to_csv, to_ncdu_json
from pixcrawler.cli.barecat.extract import cat, extract
from pixcrawler.cli.barecat.find import du, find, tree
from pixcrawler.cli.barecat.list import list_entries
from pixcrawler.cli.barecat.upkeep import defrag, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["barecat"]

_ALIASES: Final = {"c": "create", "a": "add", "x": "extract", "ls": "list", "l": "list", "t": "list"}


class ArchiveCommands(Commands):
    """A group whose commands have short names too, and exit with 0, 1 or 2 as those of Barecat do."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name or its short name."""
        return super().get_command(ctx, _ALIASES.get(cmd_name, cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the arguments; messages have its full name."""
        _, command, rest = super().resolve_command(ctx, args)
        return command.name if command else None, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error takes one line."""
        try:
            return super().invoke(ctx)
        except CommandError as error:
            code = EXIT_INTERRUPTED if error.exit_code == EXIT_INTERRUPTED else EXIT_ERROR
            raise CommandError(error.message, exit_code=code) from error


def _commands() -> Sequence[click.Command]:
    read = (cat, du, extract, find, index_to_csv, list_entries, to_ncdu_json, tree, verify)
    return (*read, add, convert, create, defrag, merge, reshard, subset, upgrade)


@click.group(cls=ArchiveCommands)
def barecat() -> None:
    """Archives of millions of files, any of which can be read at once: make, list, search, check, unpack them.

    The format and the commands are those of Barecat: what either writes, the other reads.

    Short names: c create, a add, x extract, ls l t list. Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted.
    """


for command in _commands():
    barecat.add_command(command)
