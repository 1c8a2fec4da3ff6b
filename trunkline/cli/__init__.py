"""The ``trunkline`` command: one module per command, imported only when it is run."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

import click

from trunkline import __version__
from trunkline.cli.suggesting import SuggestingGroup, name_the_closest
from trunkline.errors import TrunklineError

#: Command → module of this package that defines it under the same name.
COMMANDS = {
    "asyncapi": "asyncapi",
    "bench": "bench",
    "broker": "broker",
    "completion": "completion",
    "demo": "demo",
    "dlq": "dlq",
    "drain": "ordering",
    "pause": "ordering",
    "publish": "publish",
    "resume": "ordering",
    "retries": "retries",
    "soak": "soak",
    "status": "status",
    "tail": "tail",
    "topics": "topics",
    "undrain": "ordering",
    "up": "up",
    "verify": "verify",
    "workers": "workers",
}
#: What a shell sets to ask for completions; see ``trunkline/cli/completion.py``.
COMPLETE_VARIABLE = "_TRUNKLINE_COMPLETE"


class _Commands(SuggestingGroup):
    """Imports a command's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"trunkline.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trunkline")
def cli() -> None:
    """Trunkline: an event backbone on Faust and Kafka in which no event is lost."""


def main() -> NoReturn:
    """Run the command line; exit 0 when done, 1 when it failed, 2 when it was asked wrongly."""
    try:
        code = cli.main(standalone_mode=False, complete_var=COMPLETE_VARIABLE)
    except click.ClickException as error:
        name_the_closest(error)
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("Aborted.", err=True)
        sys.exit(1)
    except TrunklineError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    # ctx.exit(1) is returned, not raised, when click is not standalone.
    sys.exit(code if isinstance(code, int) else 0)
