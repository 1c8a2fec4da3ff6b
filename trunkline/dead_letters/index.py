"""What the index of dead letters takes and gives: the shapes between its table, agents and web.

The index is a copy that makes questions cheap; the truth is in the dead letter topics, payloads
included. The table is ``tables/dead_letters.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, get_args

import msgspec

from trunkline.dead_letters.fingerprint import Fingerprint
from trunkline.dead_letters.reading import DeadLetter

#: What became of a dead letter: ``open`` until the actions topic says that it was redriven (given
#: back to the group that failed it) or discarded.
Status = Literal["open", "redriven", "discarded"]
STATUSES: tuple[Status, ...] = get_args(Status)


class Letter(NamedTuple):
    """A dead letter and the fingerprint that it belongs to."""

    letter: DeadLetter
    fingerprint: Fingerprint


class Outcome(NamedTuple):
    """What the actions topic says of the dead letter that stands in one place.

    Attributes:
        topic: Real name of the dead letter topic.
        partition: Its partition there.
        offset: Its offset there.
        number: Offset of the action's own record: of several the highest counts.
        status: What became of the dead letter; ``open`` takes an earlier action back.
        timestamp_ms: Which dead letter: another one in this place, of a topic that was made anew,
            is open. None when it is taken back.

    """

    topic: str
    partition: int
    offset: int
    number: int
    status: Status
    timestamp_ms: int | None

    def for_letter(self, timestamp_ms: int) -> Status:
        """Return what became of the dead letter in this place that has this timestamp."""
        return self.status if self.timestamp_ms == timestamp_ms else "open"


class FingerprintRow(msgspec.Struct, frozen=True):
    """Dead letters of one cause, counted.

    Attributes:
        fingerprint: Its 12 hexadecimal digits.
        topic: Plain name of the topic of the events.
        group: Plain name of the group that failed them.
        exception: Qualified class of their errors.
        place: Where it was raised.
        message: What the last one said, cut.
        count: How many there are: ``open``, ``redriven`` and ``discarded`` together.
        first_seen_ms: When the first of them first failed (Unix time).
        last_seen_ms: When the last of them first failed.

    """

    fingerprint: str
    topic: str
    group: str
    exception: str
    place: str
    message: str
    count: int
    open: int
    redriven: int
    discarded: int
    first_seen_ms: int
    last_seen_ms: int


class LetterRow(msgspec.Struct, frozen=True):
    """One dead letter, without its payload, which stays in Kafka.

    Attributes:
        id: Where it stands: ``dlq.order.created[1]@17``.
        topic: Real name of its dead letter topic.
        partition: Its partition there.
        offset: Its offset there.
        timestamp_ms: Its record's timestamp, mostly that of the event.
        status: What became of it.
        origin: Which event it was: ``order.created[1]@42``, None when that is not told.
        origin_timestamp_ms: The event's timestamp, None when it is not told.
        group: Real name of the group that failed it, ``""`` when it is not told.
        exception: Qualified class of the error.
        place: Where it was raised.
        kind: ``invalid``, ``permanent``, ``transient``, …, or ``""``.
        message: What the error said, cut.
        key: The event's key as text, cut; None without a key.
        attempts: How many attempts there were, None when it is not told.
        redrives: How often it had been redriven before it ended here.
        source: Who wrote the dead letter.
        at_ms: When it first failed (Unix time); when that is not told, its record's timestamp.
        first_failed_at_ms: When it first failed, None when it is not told.

    """

    id: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    status: str
    origin: str | None
    origin_timestamp_ms: int | None
    group: str
    exception: str
    place: str
    kind: str
    message: str
    key: str | None
    attempts: int | None
    redrives: int
    source: str
    at_ms: int
    first_failed_at_ms: int | None


class Place(NamedTuple):
    """Where a page of letters ended, in the order of :meth:`DeadLetterIndex.letters`."""

    at_ms: int
    topic: str
    partition: int
    offset: int
    timestamp_ms: int


class Overview(msgspec.Struct, frozen=True):
    """Counts of all dead letters.

    Attributes:
        fingerprints: How many fingerprints there are.
        top: Those with the most open letters, the most first.

    """

    open: int = 0
    redriven: int = 0
    discarded: int = 0
    fingerprints: int = 0
    top: tuple[FingerprintRow, ...] = ()


class DeadLetterIndex(Protocol):
    """Answers what people ask about dead letters.

    Every method raises :class:`trunkline.errors.DependencyDown` while the database is away.
    """

    async def fingerprints(
        self,
        *,
        topic: str | None = None,
        group: str | None = None,
        status: Status | None = None,
        limit: int = 100,
    ) -> Sequence[FingerprintRow]:
        """Return fingerprints, last seen first.

        Args:
            topic: Only those of this topic (plain name).
            group: Only those of this group (plain name).
            status: Only those with a letter of this status.
            limit: At most so many.

        """

    async def fingerprint(self, fingerprint: str) -> FingerprintRow | None:
        """Return one fingerprint by its digits."""

    async def letters(
        self,
        fingerprint: str,
        *,
        status: Status | None = None,
        after: Place | None = None,
        limit: int = 100,
    ) -> Sequence[LetterRow]:
        """Return a fingerprint's letters, newest first.

        Args:
            fingerprint: Its digits.
            status: Only those of this status.
            after: Where the page before ended.
            limit: At most so many.

        """

    async def overview(self, top: int = 10) -> Overview:
        """Return the counts, and so many of the fingerprints with the most open letters."""
