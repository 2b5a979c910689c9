"""``pixcrawler doctor``."""

from __future__ import annotations

from dataclasses import asdict

import click

from pixcrawler.cli._errors import EXIT_ERROR, wrong_arguments
from pixcrawler.cli._options import access_options, as_json_option
from pixcrawler.cli._show import print_json
from pixcrawler.exceptions import escape

__all__ = ["doctor"]


@click.command()
@click.argument("job", metavar="[JOB]", required=False)
@click.option("--offline", is_flag=True, help="Leave out the API.")
@access_options
@as_json_option
@click.pass_context
def doctor(
    ctx: click.Context, *, job: str | None, offline: bool, api_key: str | None, base_url: str | None, as_json: bool
) -> None:
    """Look for what keeps datasets from loading, or from loading fast, and tell what to do about it.

    Looks at versions, the build and its SIMD, cores, memory, frameworks (none is imported), login, and the API: whether
    it answers, and how fast. With a JOB, also how fast its chunks come.

    Exit code 1 if there is a problem.
    """
    from pixcrawler.doctor import examine

    checks = []
    with wrong_arguments():
        for check in examine(api_key, base_url, job_id=job, offline=offline):
            checks.append(check)
            if not as_json:
                click.echo(f"{'ok ' if check.problem is None else 'BAD'} {check.name}: {_shown(check.found)}")
                if check.problem is not None:
                    click.echo(f"      {_shown(check.problem)}\n      -> {_shown(check.remedy or '')}")
    healthy = all(check.problem is None for check in checks)
    if as_json:
        print_json({"healthy": healthy, "checks": [asdict(check) for check in checks]})
    if not healthy:
        ctx.exit(EXIT_ERROR)


def _shown(text: str) -> str:
    return escape(text, limit=1_000)
