"""Find the waiting events that a ``trunkline retries`` command is about."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from trunkline.cli.names import EVENT_TOPIC, GROUP
from trunkline.retries.inspection import Inspection, OnProgress, WaitingEvent, inspect
from trunkline.retries.selection import Selection, groups_named, parse_selection
from trunkline.settings import Settings, load_settings
from trunkline.topology import Topology


class Found(NamedTuple):
    """What a command is about.

    Attributes:
        events: Those that are meant, as many as asked for.
        all: Everything that waits in the groups.
        matching: How many of it are meant.
        not_found: Ids that were asked for and do not wait.
        now_ms: When it was read (Unix time).

    """

    events: list[WaitingEvent]
    all: list[WaitingEvent]
    matching: int
    not_found: list[str]
    now_ms: int


class Asked(NamedTuple):
    """What a command was asked about.

    Attributes:
        groups: Names of groups; none is all.
        selection: Which of their events.
        limit: How many of them at most.

    """

    settings: Settings
    topology: Topology
    groups: Sequence[str]
    selection: Selection
    limit: int | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing was said about what is meant."""
        return not self.groups and self.selection.is_empty

    def find(self, *, details: bool = False) -> Found:
        """Read what waits, with a progress bar on a terminal.

        Args:
            details: Whether payloads, headers and stack traces are wanted.

        Raises:
            BrokerError: Kafka is away.
            ConfigurationError: There is no such group.
            TopologyError: None of the groups has a retries table.

        """
        groups = groups_named(self.topology, self.groups)
        events = _inspect(self.settings, self.topology, groups, details=details).events
        matching = [event for event in events if self.selection.matches(event)]
        return Found(
            matching[: self.limit],
            events,
            len(matching),
            self.selection.not_found(events),
            int(time.time() * 1000),
        )


group_option = click.option(
    "--group",
    "groups",
    multiple=True,
    type=GROUP,
    metavar="GROUP",
    help="Of this group; default: all.",
)
_FILTERS = (
    group_option,
    click.option(
        "--topic", "topics", multiple=True, type=EVENT_TOPIC, metavar="TOPIC", help="Of this topic."
    ),
    click.option("--key", "keys", multiple=True, metavar="KEY", help="With this key (or 0x…)."),
    click.option(
        "--exception",
        "exceptions",
        multiple=True,
        metavar="CLASS",
        help="With this last error: qualified or short, * and ? for any.",
    ),
    click.option("--id", "ids", multiple=True, metavar="ID", help="As 'ls' shows it."),
    click.option(
        "--parked/--waiting",
        "parked",
        default=None,
        help="Only those behind an earlier event of their key, or only the others.",
    ),
    click.option("--limit", type=click.IntRange(1), help="So many at most."),
)


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filter options; it gets ``asked`` instead of them."""

    @functools.wraps(command)
    def with_asked(*, groups: Sequence[str], limit: int | None, **options: Any) -> None:
        words = {name: options.pop(name) for name in _WORDS}
        command(asked=asked_for(groups, limit, **words), **options)

    wrapped: Callable[..., None] = with_asked
    for option in reversed(_FILTERS):
        wrapped = option(wrapped)
    return wrapped


_WORDS = ("topics", "keys", "exceptions", "ids", "parked")


def asked_for(groups: Sequence[str], limit: int | None = None, **words: Any) -> Asked:
    """Return what a user's words mean.

    Raises:
        ConfigurationError: A word means nothing, or a setting is wrong.

    """
    # aiokafka logs each attempt to reach a broker; ours is the one message that is needed.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    settings = load_settings()
    topology = Topology(settings.namespace)
    return Asked(settings, topology, groups, parse_selection(topology, **words), limit)


def _inspect(
    settings: Settings, topology: Topology, groups: Sequence[str], *, details: bool
) -> Inspection:
    connection = settings.connection
    with _progress() as on_progress:
        found = asyncio.run(inspect(connection, topology, groups, on_progress, details=details))
    for topic in found.missing:
        click.echo(f"Left out: there is no topic {topic} (trunkline topics apply).", err=True)
    if found.unreadable:
        click.echo(
            f"Left out: {found.unreadable:,} records that are none of a retries table's, or of a "
            "later release's.",
            err=True,
        )
    return found


@contextlib.contextmanager
def _progress() -> Iterator[OnProgress]:
    console = Console(stderr=True)
    columns = (TextColumn("reading"), BarColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("reading", total=None)
        yield lambda read, total: progress.update(task, completed=read, total=total)
