"""Give dead letters back to the group that failed them, and to nobody else.

A redriven event goes to ``<group>.failures``, which only that group reads, as what it was: key,
value, its own headers, and its identity. There it has a fresh budget of retries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from trunkline.dead_letters.actions import Action, Kind
from trunkline.dead_letters.dialects import UNKNOWN_TIMESTAMP_MS
from trunkline.dead_letters.reading import TRACEPARENT, DeadLetter
from trunkline.delivery import failure
from trunkline.delivery.handler import Headers
from trunkline.delivery.producer_call import OutRecord
from trunkline.topology import Topology

#: How often an event may be redriven unless it is forced: a handler that is still broken would
#: turn it round for ever.
MAX_REDRIVES = 3


class Verdict(NamedTuple):
    """What is to become of a dead letter.

    Attributes:
        to: Real name of the topic that it goes to; ``""`` when it is refused.
        refused: Why it is refused; ``""`` when it goes.

    """

    to: str = ""
    refused: str = ""


class Item(NamedTuple):
    """Something to be done with a dead letter, once and never again.

    Attributes:
        id: Key of the note that it was done: the dead letter's id.
        timestamp_ms: The dead letter's timestamp.
        action: What is done.
        to: Real name of the topic that it goes to; ``""`` for none.
        record: What goes there; None for nothing.

    """

    id: str
    timestamp_ms: int
    action: Kind
    to: str = ""
    record: OutRecord | None = None

    @property
    def size_bytes(self) -> int:
        """Return about how much is sent."""
        record = self.record
        return 0 if record is None else len(record.key or b"") + len(record.value or b"")


@dataclass(frozen=True)
class Guard:
    """Decides which dead letters may be redriven.

    Attributes:
        topology: Which groups are ours, and what they read.
        max_redrives: Those that were redriven so often are refused,
        force: unless it is forced.

    """

    topology: Topology
    max_redrives: int = MAX_REDRIVES
    force: bool = False

    def judge(self, letter: DeadLetter, action: Action | None) -> Verdict:
        """Return where a dead letter goes, or why it does not.

        Args:
            letter: The dead letter.
            action: What was done with it, None while it is open.

        """
        reason = (
            _acted_on(action)
            or _unaddressed(letter)
            or self._foreign(letter)
            or self._too_often(letter)
        )
        if reason:
            return Verdict(refused=reason)
        return Verdict(to=self.topology.failures_topic(letter.group or "").name)

    def _foreign(self, letter: DeadLetter) -> str:
        group, topic = letter.group or "", letter.origin.topic if letter.origin else ""
        reads = self._reads.get(group)
        if reads is None:
            return f"group {group} is none of ours"
        return "" if topic in reads else f"group {group} does not read {topic}"

    def _too_often(self, letter: DeadLetter) -> str:
        if letter.redrives < self.max_redrives or self.force:
            return ""
        return f"redriven {letter.redrives} times already (--max-redrives, --force)"

    @cached_property
    def _reads(self) -> Mapping[str, frozenset[str]]:
        real = self.topology.real_name
        return {
            real(service.group): frozenset(real(topic) for topic in service.reads)
            for service in self.topology.services
            if service.group
        }


def redrive_item(letter: DeadLetter, to: str) -> Item:
    """Return what redrives a dead letter.

    Args:
        letter: One that a guard has let through.
        to: Where the guard said that it goes.

    """
    return Item(letter.id, letter.timestamp_ms, "redriven", to, redrive_record(letter, to))


def discard_item(letter: DeadLetter) -> Item:
    """Return what notes that nothing more is to be done with a dead letter."""
    return Item(letter.id, letter.timestamp_ms, "discarded")


def redrive_record(letter: DeadLetter, to: str) -> OutRecord:
    """Return the record by which a dead letter's event comes back to its group.

    Its partition follows from the key. Its timestamp is now: by the event's own an old event would
    fall to the failures topic's retention at once; that one stands in a header.
    """
    event = letter.origin
    if event is None or letter.group is None:
        raise ValueError(f"{letter.id} names no event and group: it was to be refused")
    ours = {
        failure.RECORD: failure.REDRIVEN,
        failure.TOPIC: event.topic,
        failure.PARTITION: str(event.partition),
        failure.OFFSET: str(event.offset),
        failure.TIMESTAMP_MS: str(event.timestamp_ms),
        failure.GROUP: letter.group,
        failure.REDRIVES: str(letter.redrives + 1),
    }
    if letter.first_failed_at_ms is not None:
        ours[failure.FIRST_FAILED_AT_MS] = str(letter.first_failed_at_ms)
    headers = [
        *_one_traceparent(failure.original_headers(letter.headers)),
        *((name, value.encode()) for name, value in ours.items()),
    ]
    return OutRecord(to, letter.value, key=letter.key, headers=headers)


def _acted_on(action: Action | None) -> str:
    return "" if action is None else f"already {action.action}"


def _unaddressed(letter: DeadLetter) -> str:
    if letter.left_out_bytes:
        return "its payload was too large to be carried here: publish it again from its origin"
    if not letter.group:
        return "it names no group"
    if letter.origin is None or letter.origin.timestamp_ms == UNKNOWN_TIMESTAMP_MS:
        return "it does not tell which event it was"
    return ""


def _one_traceparent(headers: Headers) -> Headers:
    """Return the headers with only the last ``traceparent``: a trace goes on once."""
    last = max((i for i, (name, _) in enumerate(headers) if name == TRACEPARENT), default=-1)
    return [h for i, h in enumerate(headers) if h[0] != TRACEPARENT or i == last]
