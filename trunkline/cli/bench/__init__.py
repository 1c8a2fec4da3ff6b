"""``trunkline bench``: what this machine does, as ratios in one run."""

from __future__ import annotations

import importlib
import logging
import signal

import click

from trunkline.cli.suggesting import SuggestingGroup

#: Commands, in the order of their help; each stands in the module of its name, ``-`` as ``_``.
COMMANDS = (
    "throughput",
    "scaling",
    "concurrency",
    "publish",
    "latency",
    "failures",
    "retry-delay",
    "broadcast",
    "failover",
    "recovery",
    "starting",
    "sizes",
    "quick",
)


class _Benchmarks(SuggestingGroup):
    """Imports a benchmark's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{name}"), name)
        return command


@click.group(cls=_Benchmarks)
def bench() -> None:
    """Measure speed: contestants interleaved in one run, medians and ratios."""
    # As Ctrl-C: contestants are ended, and topics deleted, on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Topics that are made and deleted all the time are news to the client each time.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
