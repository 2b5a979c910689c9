"""``pixcrawler completion``."""

from __future__ import annotations

import click

__all__ = ["completion"]

# Read by click when the shell asks for what a word may become.
_VARIABLE = "_PIXCRAWLER_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, *, shell: str) -> None:
    r"""Print the script that lets a shell complete commands, options and paths.

    \b
    bash: echo 'eval "$(pixcrawler completion bash)"' >> ~/.bashrc
    zsh:  echo 'eval "$(pixcrawler completion zsh)"' >> ~/.zshrc
    fish: pixcrawler completion fish > ~/.config/fish/completions/pixcrawler.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, "click knows these three"
    # Not source(), which starts the shell to look at its version.
    made = kind(ctx.find_root().command, {}, "pixcrawler", _VARIABLE)
    click.echo(made.source_template % made.source_vars())
