"""``dlq.*`` and the dlq group's actions: the dlq service's index of dead letters.

Both topics carry raw records: there is no model, events are None, and all is in the contexts. A
handler here raises nothing but :class:`trunkline.errors.DependencyDown`, for a dead letter that
was handed over as failed would lose the headers that say why it is one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from tables.dead_letters import DeadLetters
from trunkline.dead_letters.actions import Action, read_action
from trunkline.dead_letters.fingerprint import fingerprint_of
from trunkline.dead_letters.index import Letter, Outcome
from trunkline.dead_letters.reading import parse_id, read_dead_letter
from trunkline.delivery.handler import Context, Handler, Headers
from trunkline.errors import DependencyDown
from trunkline.topology import Topology

_log = logging.getLogger(__name__)

#: Kafka's own limit.
_MAX_TOPIC_CHARS = 249


class _Record(NamedTuple):
    """A context under the names of aiokafka's records."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def index_dead_letters(index: DeadLetters, topology: Topology) -> Handler:
    """Return the handler of the dead letter topics (batch): each letter is counted once.

    Args:
        index: Where they are written.
        topology: Takes the namespace off topics and groups.

    """

    async def index_dead_letters(events: Sequence[None], contexts: list[Context]) -> None:
        letters = [read_dead_letter(_record(context)) for context in contexts]
        await index.add([Letter(letter, fingerprint_of(letter, topology)) for letter in letters])

    return _never_failing(index_dead_letters)


def apply_actions(index: DeadLetters) -> Handler:
    """Return the handler of the actions topic (batch): letters become redriven or discarded.

    An action that comes before its letter is kept for it. A record that is no action is logged,
    and changes nothing.
    """

    async def apply_actions(events: Sequence[None], contexts: list[Context]) -> None:
        await index.note([found for context in contexts if (found := _outcome(context))])

    return _never_failing(apply_actions)


def _never_failing(handler: Handler) -> Handler:
    """Let whatever goes wrong, be it a mistake of ours, hold the letters up instead of failing."""

    async def handle(events: Sequence[None], contexts: list[Context]) -> None:
        try:
            await handler(events, contexts)
        except DependencyDown:
            raise
        except Exception as error:
            raise DependencyDown(f"The index of dead letters failed: {error!r}") from error

    return handle


def _outcome(context: Context) -> Outcome | None:
    noted = read_action(context.key, context.value)
    place = parse_id(noted[0]) if noted else None
    if noted is None or place is None or not _is_possible(place, noted[1]):
        _log.warning(
            "%s[%s]@%s is no action on a dead letter: it is passed over. Key: %.100r",
            *(context.topic, context.partition, context.offset, context.key),
        )
        return None
    action = noted[1]
    if action is None:
        return Outcome(*place, context.offset, "open", None)
    return Outcome(*place, context.offset, action.action, action.timestamp_ms)


def _is_possible(place: tuple[str, int, int], action: Action | None) -> bool:
    """Return whether Kafka can have such a record: else no database would take its numbers."""
    topic, _, offset = place
    timestamp_ms = 0 if action is None else action.timestamp_ms
    return len(topic) <= _MAX_TOPIC_CHARS and max(offset, abs(timestamp_ms)) < 2**63


def _record(context: Context) -> _Record:
    return _Record(
        context.topic,
        context.partition,
        context.offset,
        context.timestamp_ms,
        context.key,
        context.value,
        context.headers,
    )
