"""Which events of a source partition were handed over, and which keys wait for them: pure logic.

The owner of a source partition writes a hold to ``<group>.held-keys`` in the same transaction in
which it hands an event over. So its successor knows what it must pass over when it is delivered
again, and which keys' later events must be parked behind those that wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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

    def include(self, first: int, first_ms: int, last_ms: int) -> None:
        """Reach back over the key's events that were delivered before, and so are settled."""
        self.first = min(self.first, first)
        self.first_ms = min(self.first_ms, first_ms)
        self.last_ms = max(self.last_ms, last_ms)

    @classmethod
    def of(cls, held: HeldRange, *, blocks: bool) -> Hold:
        """Return what a predecessor wrote."""
        hold = cls.__new__(cls)
        hold.first, hold.last = held.first, held.last
        hold.first_ms, hold.last_ms = held.first_timestamp_ms, held.last_timestamp_ms
        hold.blocks = blocks
        return hold

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

    Attributes:
        keys: Keys of which an event was handed over; the same dict all the time.
        singles: Offsets of events that were handed over and have no key, or wait for nobody; the
            same dict all the time. An event that is in neither is due nothing but handling.

    """

    __slots__ = ("_delivered", "keys", "ordered", "partition", "singles", "topic")

    def __init__(self, topic: str, partition: int, *, ordered: bool = True) -> None:
        self.topic = topic
        self.partition = partition
        self.ordered = ordered
        self.keys: dict[bytes, Hold] = {}
        self.singles: dict[int, Hold] = {}
        # First offset, lowest and highest timestamp of all that this owner was given.
        self._delivered: tuple[int, int, int] | None = None

    def __bool__(self) -> bool:
        """Whether any event must be looked at."""
        return bool(self.keys or self.singles)

    @property
    def blocked(self) -> int:
        """How many keys wait."""
        return sum(hold.blocks for hold in self.keys.values())

    def restore(self, holds: Iterable[tuple[HeldKey, Hold]]) -> None:
        """Start from what a predecessor wrote."""
        for at, hold in holds:
            if at.key is None:
                self.singles[at.offset] = hold
            else:
                # A topic that is not ordered any more holds nobody: its lanes would never end.
                hold.blocks = hold.blocks and self.ordered
                self.keys[at.key] = hold

    def deliver(self, records: Sequence[Delivered]) -> None:
        """Note a batch that is about to be handled; call it before the batch's first verdict.

        A hold covers its key's earlier events too. They were handled, and if they are delivered
        once more they must neither be parked behind the one that failed nor be handled after it.
        """
        if not records:
            return
        times = [record.timestamp for record in records]
        first, first_ms, last_ms = records[0].offset, min(times), max(times)
        if self._delivered is not None:
            seen = self._delivered
            first, first_ms = min(first, seen[0]), min(first_ms, seen[1])
            last_ms = max(last_ms, seen[2])
        self._delivered = first, first_ms, last_ms

    def verdict(self, record: Delivered) -> Verdict:
        """Decide what a delivered event is due."""
        hold = None if record.key is None else self.keys.get(record.key)
        if hold is not None and hold.has(record):
            return "pass over"
        if (single := self.singles.get(record.offset)) is not None and single.has(record):
            return "pass over"
        return "park" if hold is not None and hold.blocks else "handle"

    def hand_over(self, record: Delivered, *, waits: bool) -> tuple[HeldKey, HeldRange]:
        """Note that an event is handed over; returns what must be written along with it.

        Args:
            record: The event.
            waits: Whether it will be tried again, so that its key waits for it.

        """
        key = record.key
        if key is None or not self.ordered or not waits:
            single = self.singles[record.offset] = Hold(record, blocks=False)
            return self._at(None, record.offset), single.as_range()
        # Also after a release: a key's events are taken one after the other, so all of them before
        # this one were handled or handed over.
        before = self.keys.get(key)
        hold = self.keys[key] = Hold(record, blocks=True)
        if before is not None and before.last < record.offset:  # else of a topic that was made anew
            hold.include(before.first, before.first_ms, before.last_ms)
        if self._delivered is not None:
            hold.include(*self._delivered)
        return self._at(key), hold.as_range()

    def knows(self, key: bytes) -> bool:
        """Tell whether there is a hold for a key, be it released."""
        return key in self.keys

    def release(self, key: bytes, offset: int) -> bool:
        """Note that a key's lane is empty up to an offset; whether that lets the key go on."""
        hold = self.keys.get(key)
        if hold is None or not hold.blocks or hold.last != offset:
            return False
        hold.blocks = False
        return True

    def settled(self, committed: int) -> Iterator[HeldKey]:
        """Forget the holds that nobody will need again, and return their keys on the topic.

        Args:
            committed: The group's committed offset: nothing before it is delivered again.

        """
        for offset in [offset for offset in self.singles if offset < committed]:
            del self.singles[offset]
            yield self._at(None, offset)
        done = [k for k, hold in self.keys.items() if not hold.blocks and hold.last < committed]
        for key in done:
            del self.keys[key]
            yield self._at(key)

    def waiting(self) -> Iterator[tuple[bytes, int]]:
        """Return the keys that wait, and the last offset of each that was handed over."""
        for key, hold in self.keys.items():
            if hold.blocks:
                yield key, hold.last

    def _at(self, key: bytes | None, offset: int = -1) -> HeldKey:
        return HeldKey("hold", self.topic, self.partition, key, offset)
