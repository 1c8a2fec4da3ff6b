"""``trunkline tail``: the records of a topic, as they come."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import click

from trunkline.cli.interrupting import until_interrupted
from trunkline.cli.names import ANY_TOPIC
from trunkline.cli.records import Shown, print_record, record_to_line
from trunkline.cli.reports import quietly
from trunkline.dead_letters.filters import parse_time
from trunkline.settings import load_settings
from trunkline.tailing.matching import Matching, parse_keys
from trunkline.tailing.reading import Start, TopicReader
from trunkline.topology import Topology
from trunkline.web.safety.masking import Masking


@dataclass(frozen=True)
class _Wanted:
    """Which records, how many, until when, and in which form."""

    matching: Matching
    count: int | None
    follow: bool
    shown: Shown
    as_json: bool


@click.command()
@click.argument("topic", type=ANY_TOPIC)
@click.option("--from-beginning", is_flag=True, help="Begin at the oldest record.")
@click.option("--offset", type=int, help="Begin there; -10: ten before the end.")
@click.option("--since", metavar="TIME", help="Begin there: 90s, 2h, 2026-03-01T14:30.")
@click.option(
    "--partition",
    "partitions",
    multiple=True,
    type=click.IntRange(0),
    help="Only this one; may be given several times.",
)
@click.option("--key", "keys", multiple=True, metavar="KEY", help="Only with this key (or 0x…).")
@click.option("--grep", metavar="REGEX", help="Only where key, value or a header matches.")
@click.option("-n", "--count", type=click.IntRange(1), help="End after so many.")
@click.option(
    "--follow/--no-follow",
    default=True,
    help="Wait for more (the default), or end where the topic ends.",
)
@click.option("--headers/--no-headers", default=True, help="Show headers (the default).")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object on each line.")
def tail(
    *,
    topic: str,
    from_beginning: bool,
    offset: int | None,
    since: str | None,
    partitions: tuple[int, ...],
    keys: tuple[str, ...],
    grep: str | None,
    count: int | None,
    follow: bool,
    headers: bool,
    as_json: bool,
) -> None:
    """Print the records of TOPIC: those that come from now on, unless it is said where to begin.

    \b
    trunkline tail auth.registered
    trunkline tail dlq.order.created --from-beginning --no-follow
    trunkline tail user.activity --since 10m --key 12345 --json | jq .value

    Only committed records are shown, each partition's in order. With --no-follow it begins at the
    oldest record unless it is said otherwise. Bytes that are no UTF-8, and whatever could do
    something to a terminal, are shown escaped; fields of TRUNKLINE_MASK_FIELDS are hidden. Ctrl-C
    ends it.
    """  # noqa: D301  # click wants a real backspace
    if sum((from_beginning, offset is not None, since is not None)) > 1:
        raise click.UsageError("Say where to begin once: --from-beginning, --offset or --since.")
    quietly()
    settings = load_settings()
    topology = Topology(settings.namespace)
    begins_somewhere = from_beginning or offset is not None or since is not None
    start = Start(
        beginning=from_beginning or not (follow or begins_somewhere),
        offset=offset,
        since_ms=None if since is None else parse_time(since, int(time.time() * 1000)),
    )
    name = topology.any_topic(topic).name
    wanted = _Wanted(
        Matching(parse_keys(keys), _regex(grep)),
        count,
        follow,
        Shown(headers, Masking(settings.mask_fields)),
        as_json=as_json,
    )
    reader = TopicReader(name, settings.connection, start, partitions)
    asyncio.run(until_interrupted(_print(reader, wanted)))


def _regex(pattern: str | None) -> re.Pattern[str] | None:
    try:
        return None if pattern is None else re.compile(pattern)
    except re.error as error:
        raise click.BadParameter(
            f"{pattern!r} is no regular expression: {error}", param_hint="--grep"
        ) from None


async def _print(reader: TopicReader, wanted: _Wanted) -> None:
    """Print until the count or the end."""
    left = wanted.count
    show = _shower(wanted)
    async with contextlib.aclosing(reader.records(follow=wanted.follow, say=_say)) as batches:
        async for records in batches:
            for record in filter(wanted.matching.takes, records):
                show(record)
                left = None if left is None else left - 1
                if left == 0:
                    return


def _shower(wanted: _Wanted) -> Callable[[object], None]:
    if wanted.as_json:
        return lambda record: click.echo(record_to_line(record, wanted.shown))
    return lambda record: print_record(record, wanted.shown)


def _say(line: str) -> None:
    click.echo(line, err=True)
