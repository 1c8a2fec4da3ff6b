"""``trunkline completion``: what a shell needs to complete commands, options and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash: eval "$(trunkline completion bash)"       in ~/.bashrc
    zsh:  eval "$(trunkline completion zsh)"        in ~/.zshrc
    fish: trunkline completion fish | source        in ~/.config/fish/config.fish

    Topics, groups and pods are completed from the topology; no broker is asked.
    """  # noqa: D301  # click wants a real backspace
    from trunkline.cli import COMPLETE_VARIABLE, cli  # noqa: PLC0415  # it imports this module

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(cli, {}, "trunkline", COMPLETE_VARIABLE).source())
