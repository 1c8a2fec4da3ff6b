"""Which events of a source partition were handed over, and which keys wait for them: pure logic.

The owner of a source partition writes a hold to ``<group>.held-keys`` in the same transaction in
which it hands an event over. So its successor knows what it must pass over when it is delivered
again, and which keys' later events must be parked behind those that wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, Protocol

from models.failures import WIRE_VERSION, HeldKey, HeldRange

Verdict = Literal["handle", "pass over", "park"]


class Delivered(Protocol):
    """What the holds need to know of a record."""

    @property
    def key(self) -> bytes | None:
        """The record's key."""

    @property
    def offset(self) -> int:
        """Its offset."""

    @property
    def timestamp(self) -> int:
        """Its timestamp, Unix milliseconds."""


class Hold:
    """The events of one key that are settled; see :class:`models.failures.HeldRange`."""

    __slots__ = ("blocks", "first", "first_ms", "last", "last_ms")

    def __init__(self, record: Delivered, *, blocks: bool) -> None:
        self.first = self.last = record.offset
        self.first_ms = self.last_ms = record.timestamp
        self.blocks = blocks

    @classmethod
    def of(cls, held: HeldRange, *, blocks: bool) -> Hold:
        """Return what a predecessor wrote."""
        hold = cls.__new__(cls)
        hold.first, hold.last = held.first, held.last
        hold.first_ms, hold.last_ms = held.first_timestamp_ms, held.last_timestamp_ms
        hold.blocks = blocks
        return hold

    def add(self, record: Delivered) -> None:
        """Note that a later event of the key is handed over as well."""
        self.last = record.offset
        self.see(record)

    def see(self, record: Delivered) -> None:
        """Note the time of an event of the key that is handled: a later hold will include it."""
        self.first_ms = min(self.first_ms, record.timestamp)
        self.last_ms = max(self.last_ms, record.timestamp)

    def has(self, record: Delivered) -> bool:
        """Tell whether the event was handed over."""
        return (
            self.first <= record.offset <= self.last
            and self.first_ms <= record.timestamp <= self.last_ms
        )

    def as_range(self) -> HeldRange:
        """Return it as it stands on the wire."""
        return HeldRange(
            WIRE_VERSION, self.first, self.last, self.first_ms, self.last_ms, self.blocks
        )


class PartitionHolds:
    """The holds of one source partition while this worker has it.

    Args:
        topic: Real name of the source topic.
        partition: The partition.
        ordered: Whether a key's later events wait behind its failed one.

    """

    __slots__ = ("_keys", "_singles", "ordered", "partition", "topic")

    def __init__(self, topic: str, partition: int, *, ordered: bool = True) -> None:
        self.topic = topic
        self.partition = partition
        self.ordered = ordered
        self._keys: dict[bytes, Hold] = {}
        self._singles: dict[int, Hold] = {}

    def __bool__(self) -> bool:
        """Whether any event must be looked at: False costs the hot path one check."""
        return bool(self._keys or self._singles)

    @property
    def blocked(self) -> int:
        """How many keys wait."""
        return sum(hold.blocks for hold in self._keys.values())

    def restore(self, holds: Iterable[tuple[HeldKey, Hold]]) -> None:
        """Start from what a predecessor wrote."""
        for at, hold in holds:
            if at.key is None:
                self._singles[at.offset] = hold
            else:
                self._keys[at.key] = hold

    def verdict(self, record: Delivered) -> Verdict:
        """Decide what a delivered event is due."""
        hold = None if record.key is None else self._keys.get(record.key)
        if hold is not None and hold.has(record):
            return "pass over"
        if (single := self._singles.get(record.offset)) is not None and single.has(record):
            return "pass over"
        if hold is None:
            return "handle"
        if hold.blocks:
            return "park"
        hold.see(record)
        return "handle"

    def hand_over(self, record: Delivered, *, waits: bool) -> tuple[HeldKey, HeldRange]:
        """Note that an event is handed over; returns what must be written along with it.

        Args:
            record: The event.
            waits: Whether it will be tried again, so that its key waits for it.

        """
        key = record.key
        if key is None or not self.ordered or not waits:
            single = self._singles[record.offset] = Hold(record, blocks=False)
            return self._at(None, record.offset), single.as_range()
        hold = self._keys.get(key)
        if hold is None:
            hold = self._keys[key] = Hold(record, blocks=True)
        else:
            # Also when it was released: a key's events are taken one after the other, so all of
            # them between that and this one were handled.
            hold.add(record)
            hold.blocks = True
        return self._at(key), hold.as_range()

    def knows(self, key: bytes) -> bool:
        """Tell whether there is a hold for a key, be it released."""
        return key in self._keys

    def release(self, key: bytes, offset: int) -> bool:
        """Note that a key's lane is empty up to an offset; whether that lets the key go on."""
        hold = self._keys.get(key)
        if hold is None or not hold.blocks or hold.last != offset:
            return False
        hold.blocks = False
        return True

    def settled(self, committed: int) -> Iterator[HeldKey]:
        """Forget the holds that nobody will need again, and return their keys on the topic.

        Args:
            committed: The group's committed offset: nothing before it is delivered again.

        """
        for offset in [offset for offset in self._singles if offset < committed]:
            del self._singles[offset]
            yield self._at(None, offset)
        done = [k for k, hold in self._keys.items() if not hold.blocks and hold.last < committed]
        for key in done:
            del self._keys[key]
            yield self._at(key)

    def waiting(self) -> Iterator[tuple[bytes, int]]:
        """Return the keys that wait, and the last offset of each that was handed over."""
        for key, hold in self._keys.items():
            if hold.blocks:
                yield key, hold.last

    def _at(self, key: bytes | None, offset: int = -1) -> HeldKey:
        return HeldKey("hold", self.topic, self.partition, key, offset)
