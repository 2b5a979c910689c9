"""The command ``pixcrawler``. Commands hold no logic, and import what they need when they run.

A new command is a module of this folder with a click command, and a line at the end of this one.
"""

from __future__ import annotations

import click

from pixcrawler import __version__
from pixcrawler.cli._errors import Commands
from pixcrawler.cli._options import verbosity_options
from pixcrawler.cli.barecat import barecat
from pixcrawler.cli.completion import completion
from pixcrawler.cli.demo import demo
from pixcrawler.cli.doctor import doctor
from pixcrawler.cli.download import download
from pixcrawler.cli.info import info
from pixcrawler.cli.list import list_jobs
from pixcrawler.cli.login import login, logout, whoami
from pixcrawler.cli.pack import pack
from pixcrawler.cli.serve import serve
from pixcrawler.cli.verify import verify

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="pixcrawler %(version)s")
def main() -> None:
    """Image datasets: find them, look at them, check them; pack them into a store of your own and serve it.

    Results are on stdout; errors, notes and progress on stderr. -q and -v may also stand after the command's name.

    Exit codes: 0 fine, 1 an error, 2 usage, 3 network, 4 integrity, 5 disk, 130 interrupted.
    """


main.params.extend(verbosity_options())
for command in (
    barecat,
    completion,
    demo,
    doctor,
    download,
    info,
    list_jobs,
    login,
    logout,
    pack,
    serve,
    verify,
    whoami,
):
    main.add_command(command)
