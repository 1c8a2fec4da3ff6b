"""``trunkline publish``: publish events from a file, a pipe, the command line, or made up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from trunkline.cli.names import EVENT_TOPIC
from trunkline.delivery.producer import RecordProducer
from trunkline.errors import BrokerError, TrunklineError
from trunkline.publishing.bulk import BulkPublisher, Outcome
from trunkline.publishing.events import EventReader
from trunkline.publishing.feed import Chunks, feed_events, feed_stream
from trunkline.publishing.preparing import CLOUD_MODES, Preparer
from trunkline.publishing.samples import sample_events
from trunkline.settings import Settings, load_settings
from trunkline.topology import Topology

_STOP_S = 2.0


@dataclass
class _Feed:
    """Where the events come from, and how much there is for the progress bar, in its unit."""

    chunks: Chunks
    total: int | None
    counts_bytes: bool


@click.command()
@click.argument("topic", type=EVENT_TOPIC)
@click.argument(
    "source", required=False, metavar="[FILE|-]", type=click.Path(exists=True, allow_dash=True)
)
@click.option("--event", "events", multiple=True, metavar="JSON", help="An event; repeatable.")
@click.option("--count", type=click.IntRange(1), help="Publish this many made-up events.")
@click.option("--users", type=click.IntRange(1), help="With --count: of so many users in turn.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Most events a second.")
@click.option("--from-line", type=click.IntRange(1), default=1, help="Leave earlier lines out.")
@click.option("--skip-invalid", is_flag=True, help="Report events that are wrong, and go on.")
@click.option(
    "--source", "origin", default="cli", help="The 'source' of activities that have none."
)
@click.option(
    "--cloudevents",
    type=click.Choice(list(CLOUD_MODES)),
    help="Publish as CloudEvents.  [env: TRUNKLINE_CLOUDEVENTS; off]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def publish(
    *,
    topic: str,
    source: str | None,
    events: tuple[str, ...],
    count: int | None,
    users: int | None,
    rate: float | None,
    from_line: int,
    skip_invalid: bool,
    origin: str,
    cloudevents: str | None,
    as_json: bool,
) -> None:
    """Publish events to TOPIC from FILE, from standard input ('-'), or from options.

    \b
    trunkline publish auth.registered users.ndjson
    tail -F clicks.ndjson | trunkline publish user.activity -
    trunkline publish auth.registered --event '{"userId":"1","email":"ada@example.com"}'
    trunkline publish order.created --count 10000 --users 500 --rate 200

    FILE is NDJSON (an object on each line) or a JSON array. Each event is checked against the
    topic's model, and the first one that is wrong ends it: what stands before it is published, and
    --from-line goes on from there. An event counts as published when Kafka has acknowledged it.

    Exit status 0: all published; 1: Kafka is away or it was interrupted; 2: an event is wrong.
    """  # noqa: D301  # click wants a real backspace
    if sum((source is not None, bool(events), count is not None)) != 1:
        raise click.UsageError("Say what to publish: FILE, '-', --event, or --count (one of them).")
    if users is not None and count is None:
        raise click.UsageError("--users belongs to --count.")
    settings = load_settings()
    declared = Topology(settings.namespace).topic(topic)
    reader = EventReader(declared, origin, settings.max_event_bytes)
    with contextlib.ExitStack() as files:
        if count is not None:
            feed = _Feed(feed_events(sample_events(declared, count, users)), count, False)
        elif source is None:
            feed = _Feed(feed_events(event.encode() for event in events), len(events), False)
        else:
            stream = files.enter_context(_open(source))
            size = None if source == "-" else Path(source).stat().st_size
            feed = _Feed(feed_stream(stream, 2 * settings.max_event_bytes), size, True)
        mode = CLOUD_MODES[cloudevents or settings.cloudevents]
        plain = Topology(settings.namespace).plain_name(declared.name)
        prepare = Preparer(reader, origin, plain, mode)
        options = {
            "prepare": prepare,
            "rate": rate,
            "from_line": from_line,
            "skip_invalid": skip_invalid,
        }
        outcome = asyncio.run(_run(settings, reader, feed, options))
    _report(outcome, declared.name, as_json=as_json)


def _open(source: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    if source != "-":
        return Path(source).open("rb", buffering=0)
    stdin = sys.stdin.buffer
    # Unbuffered: a read returns what the pipe has, so that each event goes out as it comes in.
    return contextlib.nullcontext(getattr(stdin, "raw", stdin))


async def _run(
    settings: Settings, reader: EventReader, feed: _Feed, options: dict[str, Any]
) -> Outcome:
    # aiokafka logs each attempt to reach a broker; ours is the one message that is needed.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("trunkline").setLevel(logging.ERROR)
    producer = RecordProducer(
        settings.connection,
        "trunkline-publish",
        request_timeout_s=settings.publish_timeout_s,
        max_request_bytes=settings.max_event_bytes + 4096,
    )
    try:
        await producer.start()
    except BrokerError as error:
        raise BrokerError(f"{error} Nothing was published.") from None
    with _bar(feed) as progress:
        task = progress.add_task("publish", total=feed.total, events="0")

        def show(outcome: Outcome, size: int) -> None:
            events = f"{outcome.acknowledged:,}"
            if feed.counts_bytes:
                progress.update(task, advance=size, events=events)
            else:
                progress.update(task, completed=outcome.acknowledged, events=events)

        bulk = BulkPublisher(producer, reader, on_progress=show, **options)
        with _stopped_by_signals(bulk):
            outcome = await bulk.run(feed.chunks)
    await producer.stop(_STOP_S)
    return outcome


def _bar(feed: _Feed) -> Progress:
    console = Console(stderr=True)
    columns = [TextColumn("{task.fields[events]} events"), BarColumn(), TimeElapsedColumn()]
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextlib.contextmanager
def _stopped_by_signals(bulk: BulkPublisher) -> Any:
    """Let Ctrl-C finish what is on its way; a second one ends at once."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        bulk.stop()
        loop.remove_signal_handler(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _report(outcome: Outcome, topic: str, *, as_json: bool) -> None:
    for mistake in outcome.invalid:
        click.echo(f"Invalid: {mistake}", err=True)
    if as_json:
        click.echo(json.dumps(_summary(outcome, topic)))
    else:
        click.echo(
            f"Published {outcome.acknowledged:,} events to {topic} in {outcome.seconds:.1f} s "
            f"({outcome.events_per_s:,.0f} events/s)."
            + (f" Skipped {outcome.skipped:,} invalid ones." if outcome.skipped else "")
        )
    stopped = _why_stopped(outcome)
    if stopped:
        raise _StoppedError(stopped, 2 if outcome.invalid and outcome.error is None else 1)


def _summary(outcome: Outcome, topic: str) -> dict[str, Any]:
    return {
        "topic": topic,
        "acknowledged": outcome.acknowledged,
        "skipped": outcome.skipped,
        "invalid": [str(mistake) for mistake in outcome.invalid],
        "resume_from_line": outcome.resume_from,
        "also_published": outcome.also_published,
        "interrupted": outcome.interrupted,
        "error": str(outcome.error) if outcome.error else None,
        "seconds": round(outcome.seconds, 3),
        "events_per_s": round(outcome.events_per_s),
    }


def _why_stopped(outcome: Outcome) -> str:
    if outcome.error is not None:
        reason = str(outcome.error)
    elif outcome.resume_from is not None and outcome.invalid:
        reason = f"Line {outcome.resume_from} is wrong, nothing from there on was published."
    elif outcome.interrupted:
        reason = "Interrupted."
    else:
        return ""
    message = f"{reason} Kafka has {outcome.acknowledged:,} events"
    if outcome.resume_from is not None:
        message += f"; go on with --from-line {outcome.resume_from}"
    if outcome.also_published:
        message += f" ({outcome.also_published:,} events behind it are there and will come twice)"
    return f"{message}."


class _StoppedError(TrunklineError):
    """It ended before its end."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
