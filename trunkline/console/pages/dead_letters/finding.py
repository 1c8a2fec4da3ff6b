"""Fetch a dead letter, and what stands beside its event, from Kafka."""

from __future__ import annotations

from typing import Any

from models.failures import EventId
from trunkline.console.context import ConsoleContext
from trunkline.console.refusals import Refusal
from trunkline.dead_letters.filters import parse_filter
from trunkline.dead_letters.scan import Found, Scan
from trunkline.dead_letters.snapshot import Snapshot

#: How many offsets before and behind an event count as its surroundings.
NEIGHBOURS = 3


async def find_letter(context: ConsoleContext, letter_id: str) -> Found:
    """Return a dead letter by its id.

    Raises:
        ConfigurationError: It is no id.
        Refusal: There is no such dead letter.
        BrokerError: Kafka is away.

    """
    wanted = parse_filter(context.topology, 0, ids=[letter_id])
    [place] = wanted.ids
    async with Scan(context.settings.connection, context.topology, wanted) as scan:
        found = await scan.letter(place)
    if found is None:
        raise Refusal(
            404,
            f"There is no dead letter {letter_id[:300]}.",
            "The list of dead letters has those that there are.",
        )
    return found


async def surroundings(context: ConsoleContext, event: EventId) -> list[Any]:
    """Return the records around an event in its topic, itself included; as far as they are there.

    Raises:
        BrokerError: Kafka is away.

    """
    async with Snapshot(
        context.settings.connection, [event.topic], client_id="trunkline-console"
    ) as snapshot:
        if not snapshot.found:
            return []
        return await snapshot.stretch(
            event.topic, event.partition, event.offset - NEIGHBOURS, event.offset + NEIGHBOURS
        )
