"""What the ``trunkline dlq`` commands have in common: filters, progress, and how they are ended."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from trunkline.cli.names import EVENT_TOPIC, GROUP
from trunkline.dead_letters.filters import LetterFilter, parse_filter
from trunkline.settings import Settings, load_settings
from trunkline.topology import Topology

_FILTERS = (
    click.option(
        "--topic", "topics", multiple=True, type=EVENT_TOPIC, metavar="TOPIC", help="Of this topic."
    ),
    click.option(
        "--group",
        "groups",
        multiple=True,
        type=GROUP,
        metavar="GROUP",
        help="Failed by this group.",
    ),
    click.option(
        "--exception",
        "exceptions",
        multiple=True,
        metavar="CLASS",
        help="With this error: qualified or short, * and ? for any.",
    ),
    click.option("--key", "keys", multiple=True, metavar="KEY", help="With this key."),
    click.option("--since", metavar="TIME", help="Failed since: 2h, 3d, 2026-03-01T14:30."),
    click.option("--until", metavar="TIME", help="Failed before; the same forms."),
    click.option(
        "--header", "headers", multiple=True, metavar="NAME[=VALUE]", help="With this header."
    ),
    click.option(
        "--fingerprint", "fingerprints", multiple=True, metavar="HEX", help="As 'ls' shows it."
    ),
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would be done.")
rate_option = click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="Most dead letters a second."
)
limit_option = click.option("--limit", type=click.IntRange(1), help="So many at most.")
force_option = click.option(
    "--force", is_flag=True, help="Also those that were redriven --max-redrives times."
)


class Asked(NamedTuple):
    """What a command was asked about."""

    settings: Settings
    topology: Topology
    wanted: LetterFilter


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filter options and ``[ID]…``; it gets ``asked`` instead of them."""

    @functools.wraps(command)
    def with_filter(**options: Any) -> None:
        names = [option for option in _WORDS if option in options]
        words = {name: options.pop(name) for name in names}
        settings, topology = environment()
        wanted = parse_filter(topology, int(time.time() * 1000), **words)
        command(asked=Asked(settings, topology, wanted), **options)

    wrapped: Callable[..., None] = with_filter
    for option in reversed(_FILTERS):
        wrapped = option(wrapped)
    return click.argument("ids", nargs=-1, metavar="[ID]...")(wrapped)


_WORDS = (
    "topics",
    "groups",
    "exceptions",
    "keys",
    "since",
    "until",
    "headers",
    "fingerprints",
    "ids",
)


def environment() -> tuple[Settings, Topology]:
    """Return the settings and the topology; aiokafka's own log lines are kept quiet."""
    # It logs each attempt to reach a broker; ours is the one message that is needed.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    settings = load_settings()
    return settings, Topology(settings.namespace)


@contextlib.contextmanager
def progress_bar(
    what: str, total: int | None, *, shown: bool = True
) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal's standard error; gives a function to tell how far of what it is."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not (shown and console.is_terminal)
    ) as progress:
        task = progress.add_task(what, total=total)
        yield lambda completed, of: progress.update(task, completed=completed, total=of)


@contextlib.contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM finish what is on its way; a second one ends at once."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def on_signal() -> None:
        stop()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
