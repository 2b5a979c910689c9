"""``pixcrawler serve``."""

from __future__ import annotations

from pathlib import Path

import click

from pixcrawler.cli._errors import needs_extra
from pixcrawler.cli._show import note
from pixcrawler.exceptions import escape

__all__ = ["serve"]


@click.command()
@click.option("--store", required=True, type=click.Path(path_type=Path), help="The store's folder.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65_535), help="Port to listen on; 0: a free one."
)
def serve(*, store: Path, host: str, port: int) -> None:
    """Serve a store over HTTP until Ctrl-C."""
    from pixcrawler.server import run

    if not run.is_loopback(host):
        click.echo(
            f"Warning: {escape(host)} can be reached from other machines, and keys and images travel unencrypted. "
            "Put a proxy that speaks TLS in front.",
            err=True,
        )

    def on_ready(url: str) -> None:
        click.echo(f"Serving {escape(str(store))} at {url} (Ctrl-C stops)")
        note(f"List its jobs with: pixcrawler list --base-url {url}")

    with needs_extra("server"):
        run.serve(store, host=host, port=port, on_ready=on_ready)
