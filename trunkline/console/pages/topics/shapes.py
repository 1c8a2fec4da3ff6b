"""What the topic pages are asked, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from trunkline.console.pages.records import RecordView

Kind = Literal["events", "failures", "dead letters", "tables", "system"]
KINDS: tuple[Kind, ...] = ("events", "failures", "dead letters", "tables", "system")

Partition = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class TopicsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """What the list of topics is filtered by: a part of the name, and the kind."""

    name: str = ""
    kind: Kind | None = None


class BrowseQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which records of a topic are shown; without anything the newest ones.

    Attributes:
        partition: Only these.
        offset: From this offset on.
        at: From this time on: ``2026-11-25T23:20`` (UTC), or Unix milliseconds.
        key: Only those with this key; ``0x…`` for bytes.
        limit: At most so many.

    """

    partition: Partition | None = None
    offset: Offset | None = None
    at: Annotated[str, msgspec.Meta(max_length=40)] | None = None
    key: Annotated[str, msgspec.Meta(max_length=1_000)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 25


class TailQuery(msgspec.Struct, forbid_unknown_fields=True):
    """Which records the live tail sends."""

    partition: Partition | None = None


class TopicRow(msgspec.Struct):
    """A topic in the list.

    Attributes:
        name: Real name.
        kind: What it is for.
        partitions: How many the topology declares.
        records: Offsets between its beginnings and its ends: with compaction and transactions
            there are fewer records. None while the brokers have not told.
        per_s: Records a second, lately.
        trend: The same over the last minutes.
        readers: Services that handle it.
        writers: Services that publish to it.
        problem: ``missing``, ``without a leader`` or ``under-replicated``, or ``""``.

    """

    name: str
    kind: Kind
    partitions: int
    records: int | None
    per_s: float | None
    trend: Sequence[float]
    readers: Sequence[str] = ()
    writers: Sequence[str] = ()
    problem: str = ""


class PartitionRow(msgspec.Struct):
    """A partition of a topic: offsets, rate, and ids of the brokers that have it."""

    partition: int
    begin: int | None
    end: int | None
    per_s: float | None
    leader: int | None
    replicas: Sequence[int]
    in_sync: Sequence[int]

    @property
    def is_whole(self) -> bool:
        """Whether it has a leader, and all its copies are in sync."""
        return self.leader is not None and len(self.in_sync) == len(self.replicas)


class RecordRow(msgspec.Struct):
    """A record in a list.

    Attributes:
        partition: Where it stands.
        offset: Where in it.
        timestamp_ms: Its timestamp.
        key: Harmless text, cut; None for no key.
        value: The beginning of it on one line, harmless and masked; None for null.
        kind: ``json``, ``text``, ``binary`` or ``null``.
        size_bytes: Of the value.
        headers: How many it has.

    """

    partition: int
    offset: int
    timestamp_ms: int
    key: str | None
    value: str | None
    kind: str
    size_bytes: int
    headers: int


class Found(msgspec.Struct):
    """What browsing found.

    Attributes:
        records: Newest first, unless an offset or a time was asked for: then in their order.
        searched: How many records were looked at.
        stopped: Why it did not look further, ``""`` when it saw all that was asked for.
        next_at_ms: From which time to go on.
        next_offset: From which offset to go on, in the one partition that was asked for.
        previous_offset: From which offset those before begin.

    """

    records: list[RecordRow]
    searched: int = 0
    stopped: str = ""
    next_at_ms: int | None = None
    next_offset: int | None = None
    previous_offset: int | None = None


class HeaderRow(msgspec.Struct):
    """A header: its value harmless and cut, None for null; what it means, ``""`` when unknown."""

    name: str
    value: str | None
    meaning: str


class WholeRecord(msgspec.Struct):
    """A record with all that it holds."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    timestamp_type: str
    content: RecordView
    headers: list[HeaderRow]
