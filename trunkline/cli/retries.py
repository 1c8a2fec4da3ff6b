"""``trunkline retries``: the failed events that wait, and what to do with them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import click

from trunkline.audit import audited, operator
from trunkline.audit.records import listed
from trunkline.cli.escaping import harmless, to_json
from trunkline.cli.retries_finding import Asked, Found, asked_for, filtered, group_option
from trunkline.cli.retries_output import (
    error_line,
    events_of,
    print_event,
    print_events,
    shown_key,
    summary,
)
from trunkline.cli.suggesting import SuggestingGroup
from trunkline.retries.commands import Command, hurriable, send_commands
from trunkline.retries.inspection import WaitingEvent
from trunkline.retries.report import counts_of, event_to_dict

#: How many of the events that a command is for are listed before it is sent.
_LISTED = 10

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(cls=SuggestingGroup)
def retries() -> None:
    """List, show, hurry and discard the failed events that wait for another attempt.

    What waits is read from Kafka, so that it works without any worker. Filters: of one option's
    values any may fit, of different options all must.
    """


@retries.command()
@filtered
@_json_option
def ls(asked: Asked, as_json: bool) -> None:
    """List the events that wait, first those that are due first.

    \b
    trunkline retries ls
    trunkline retries ls --group engine-group --exception TimeoutError

    Exit status 1 when an event that --id names does not wait.
    """  # noqa: D301  # click wants a real backspace
    found = asked.find()
    if as_json:
        counts = counts_of(found.all, found.now_ms)
        events = [event_to_dict(event, found.now_ms) for event in found.events]
        known = {"matching": found.matching, "events": events, "not_found": found.not_found}
        click.echo(to_json({"waiting": len(found.all), "counts": counts, **known}))
    else:
        if found.events:
            print_events(found.events, found.now_ms)
        if len(found.events) < len(found.all):
            shown = f"{len(found.events):,} of {found.matching:,} matching"
            click.echo(f"Shown: {shown}. In all:")
        click.echo(summary(found.all, found.now_ms))
    _exit_for(found)


@retries.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@group_option
@_json_option
def show(ids: tuple[str, ...], groups: tuple[str, ...], as_json: bool) -> None:
    """Show all that is known of waiting events: payload, headers, errors, stack trace.

    ID is as 'ls' shows it: order.created[1]@17. Exit status 1 when one does not wait.
    """
    found = asked_for(groups, ids=ids).find(details=True)
    if as_json:
        events = [event_to_dict(event, found.now_ms, full=True) for event in found.events]
        click.echo(to_json({"events": events, "not_found": found.not_found}))
    else:
        for number, event in enumerate(found.events):
            if number:
                click.echo("\n" + "-" * 40 + "\n")
            print_event(event, found.now_ms)
    _exit_for(found)


@retries.command()
@filtered
@_json_option
def now(asked: Asked, as_json: bool) -> None:
    """Make waiting events due at once; one without attempts left gets one more.

    Events that are parked behind their key follow by themselves, in order. 'ls' with the same
    filters shows what is meant. Exit status 1 when an event that --id names does not wait.
    """
    found = asked.find()
    hurried = hurriable(found.events)
    left_out = len(found.events) - len(hurried)
    if left_out and not as_json:
        click.echo(f"{events_of(left_out)} parked behind their key, or discarded: left out.")
    _send(asked, found, hurried, "now", as_json=as_json)


@retries.command()
@filtered
@click.option("--all", "every", is_flag=True, help="Everything that waits, of all groups.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_json_option
def discard(asked: Asked, every: bool, yes: bool, as_json: bool) -> None:
    """Drop waiting events: they are neither handled nor become dead letters.

    A parked event is dropped when its turn comes. 'ls' with the same filters shows what is meant.
    Exit status 1 when an event that --id names does not wait.
    """
    if asked.is_everything and not every:
        raise click.UsageError("Say which events, by a filter such as --id, or --all.")
    if every and not asked.is_everything:
        raise click.UsageError("--all means everything that waits: leave the filters away.")
    found = asked.find()
    if found.events:
        _announce(found.events)
        if not yes:
            click.confirm(f"Discard {events_of(len(found.events))}?", abort=True, err=True)
    _send(asked, found, found.events, "discard", as_json=as_json)


def _announce(events: Sequence[WaitingEvent]) -> None:
    """Say on standard error what a discard drops."""
    click.echo("These are dropped for good, not handled and no dead letters:", err=True)
    for event in events[:_LISTED]:
        text = f"  {harmless(str(event.id))}  {harmless(event.group)}  key {shown_key(event)}"
        click.echo(f"{text}  {error_line(event)}", err=True)
    if len(events) > _LISTED:
        click.echo(f"  … and {len(events) - _LISTED:,} more", err=True)


def _send(
    asked: Asked,
    found: Found,
    events: Sequence[WaitingEvent],
    command: Command,
    *,
    as_json: bool,
) -> None:
    sent = asyncio.run(_send_audited(asked, events, command)) if events else 0
    if as_json:
        ids = [str(event.id) for event in events]
        known = {"command": command, "sent": sent, "events": ids, "not_found": found.not_found}
        click.echo(to_json(known))
    elif sent:
        groups = ", ".join(sorted({event.group for event in events}))
        noun = "command" if sent == 1 else "commands"
        click.echo(f"Sent {sent:,} '{command}' {noun} to {groups}.")
    else:
        click.echo("Nothing was sent: no event that waits is meant.")
    _exit_for(found)


async def _send_audited(asked: Asked, events: Sequence[WaitingEvent], command: Command) -> int:
    settings, topology = asked.settings, asked.topology
    what = {"groups": list(asked.groups), "filter": asked.selection.to_dict()}
    what |= listed([str(event.id) for event in events])
    action = f"retries.{command}"
    async with audited(
        settings, topology, operator(), action, what=what, count=len(events)
    ) as note:
        sent = await send_commands(
            settings.connection, topology, events, command, settings.publish_timeout_s
        )
        note.result = {"sent": sent}
    return sent


def _exit_for(found: Found) -> None:
    """Exit with 1 when an event that was named does not wait."""
    for event in found.not_found:
        click.echo(f"{harmless(event)} does not wait: it is through, or never was.", err=True)
    if found.not_found:
        sys.exit(1)
