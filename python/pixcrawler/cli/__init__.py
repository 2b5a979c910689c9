"""The command ``pixcrawler``. Commands hold no logic, and import what they need when they run.

A new command is a module of this folder with a click command, and a line at the end of this one.
"""

from __future__ import annotations

import click

from pixcrawler.cli._errors import Commands
from pixcrawler.cli.demo import demo
from pixcrawler.cli.info import info
from pixcrawler.cli.list import list_jobs
from pixcrawler.cli.pack import pack
from pixcrawler.cli.serve import serve
from pixcrawler.cli.verify import verify

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pixcrawler-sdk", message="pixcrawler %(version)s")
def main() -> None:
    """Image datasets: pack them into a store, serve them, look at them, check them.

    Exit codes: 0 fine, 1 an error, 2 usage, 3 network, 4 integrity, 5 disk, 130 interrupted.
    """


for command in (demo, info, list_jobs, pack, serve, verify):
    main.add_command(command)
