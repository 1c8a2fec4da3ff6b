"""Keep the holds of this worker's source partitions: take them over, release, and clean up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from mode import Service

from models.failures import HeldKey, HeldRange, encode
from trunkline.delivery.failure import (
    ASK,
    HELD,
    RECORD,
    Failure,
    failure_headers,
    parked_headers,
    place_headers,
)
from trunkline.delivery.handler import Context, Headers
from trunkline.delivery.handover import Handed, Handover
from trunkline.delivery.held_keys import HeldKeys
from trunkline.delivery.holds import PartitionHolds
from trunkline.delivery.offsets import OffsetTracker
from trunkline.delivery.producer_call import OutRecord

_CLEAN_UP_S = 1.0
#: How often the failures partitions are asked whether a key that waits has anything in front of it:
#: a release cannot be lost, but nobody should have to trust that.
_ASK_S = 30.0


class SourcePartition:
    """One source partition while this worker has it: where its failed events go.

    Args:
        keeper: That of the worker.
        holds: What is held on the partition.
        tracker: The partition's offsets.
        retries: Tells whether a failure of this kind is tried again.

    """

    def __init__(
        self,
        keeper: HoldKeeper,
        holds: PartitionHolds,
        tracker: OffsetTracker,
        retries: Callable[[str], bool],
    ) -> None:
        self.holds = holds
        self.tracker = tracker
        self._keeper = keeper
        self._retries = retries

    async def take_over(self) -> None:
        """Fill the holds with what earlier owners wrote; before anything is handled."""
        await self._keeper.take_over(self)

    def hand_over(self, context: Context, failure: Failure, done: Callable[[], None]) -> None:
        """Forward a failed event; ``done`` is called once the broker has it for certain."""
        waits = self._retries(failure.kind)
        key, held = self.holds.hand_over(_Delivered(context), waits=waits)
        headers = failure_headers(context, failure, self._keeper.group)
        if held.blocks:
            headers = [*headers, (HELD, b"1")]
        self._keeper.forward(context, headers, (key, held), done, self.tracker)

    def park(self, context: Context, done: Callable[[], None]) -> None:
        """Forward an event that waits behind a failed one of its key."""
        hold = self.holds.hand_over(_Delivered(context), waits=True)
        headers = parked_headers(context, self._keeper.group)
        self._keeper.forward(context, headers, hold, done, self.tracker)


class HoldKeeper(Service):
    """What a group's worker holds back on the source partitions that it has.

    Args:
        replica: Follows the held-keys topic.
        handover: Writes to it, and to the failures topic.
        group: The consuming group.
        failures_topic: Real name of ``<group>.failures``.
        held_keys_topic: Real name of ``<group>.held-keys``.

    """

    mundane_level = "debug"

    def __init__(
        self,
        replica: HeldKeys,
        handover: Handover,
        *,
        group: str,
        failures_topic: str,
        held_keys_topic: str,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._replica = replica
        self._handover = handover
        self.group = group
        self._failures_topic = failures_topic
        self._held_keys_topic = held_keys_topic
        self._kept: dict[tuple[str, int], SourcePartition] = {}
        replica.on_release = self._release

    @property
    def connected(self) -> bool:
        """Whether the held-keys topic is being read."""
        return self._replica.connected

    @property
    def blocked(self) -> int:
        """How many keys of this worker's partitions wait."""
        return sum(source.holds.blocked for source in self._kept.values())

    def source(
        self,
        topic: str,
        partition: int,
        tracker: OffsetTracker,
        *,
        ordered: bool,
        retries: Callable[[str], bool],
    ) -> SourcePartition:
        """Return the keeping of a partition that this worker was given."""
        return SourcePartition(
            self, PartitionHolds(topic, partition, ordered=ordered), tracker, retries
        )

    async def take_over(self, source: SourcePartition) -> None:
        """See :meth:`SourcePartition.take_over`."""
        holds, tracker = source.holds, source.tracker
        await self._replica.read_to_end()
        if tracker.closed:
            return
        found = self._replica.of(holds.topic, holds.partition)
        # Nothing is held before there is a commit: a topic without one is new, or was made anew.
        # One that was made in this assignment, be it of an empty partition, says nothing.
        if tracker.fresh:
            self._forget([key for key, _ in found], tracker)
        else:
            holds.restore(found)
        self._kept[holds.topic, holds.partition] = source
        self._ask(source)

    def give_up(self) -> None:
        """Forget all partitions: another worker may have them."""
        self._kept.clear()

    def forward(
        self,
        context: Context,
        headers: Headers,
        hold: tuple[HeldKey, HeldRange],
        done: Callable[[], None],
        tracker: OffsetTracker,
    ) -> None:
        """Write an event to the failures topic, and its hold along with it."""
        record = OutRecord(self._failures_topic, context.value, key=context.key, headers=headers)
        self._handover.hand_over(Handed(record, *hold, done, tracker))

    def _release(self, topic: str, partition: int, key: bytes, offset: int) -> None:
        source = self._kept.get((topic, partition))
        if source is None:
            return
        if not source.holds.knows(key):
            # An answer to a question that was settled meanwhile.
            stale = HeldKey("release", topic, partition, key)
            tombstone = OutRecord(self._held_keys_topic, None, key=encode(stale))
            self._handover.write([tombstone], source.tracker)
        source.holds.release(key, offset)

    @Service.task
    async def _clean_up(self) -> None:
        asked_at = time.monotonic()
        while not self.should_stop:
            await self.sleep(_CLEAN_UP_S)
            asks = time.monotonic() - asked_at > _ASK_S
            for source in list(self._kept.values()):
                settled = source.holds.settled(source.tracker.committed)
                self._forget(list(settled), source.tracker)
                if asks:
                    self._ask(source)
            if asks:
                asked_at = time.monotonic()

    def _forget(self, keys: Sequence[HeldKey], tracker: OffsetTracker) -> None:
        """Write tombstones for holds, and for the releases that ended them."""
        if not keys:
            return
        gone = list(keys)
        gone += [
            key._replace(kind="release")
            for key in keys
            if key.key is not None and self._replica.released(key.topic, key.partition, key.key)
        ]
        tombstones = [OutRecord(self._held_keys_topic, None, key=encode(key)) for key in gone]
        self._handover.write(tombstones, tracker)

    def _ask(self, source: SourcePartition) -> None:
        """Let the failures partitions say again which lanes are empty."""
        questions, holds = [], source.holds
        for key, last in holds.waiting():
            at = Context(holds.topic, holds.partition, last, 0, key)
            headers = [*place_headers(at, self.group), (RECORD, ASK.encode())]
            questions.append(OutRecord(self._failures_topic, None, key=key, headers=headers))
        if questions:
            self._handover.write(questions, source.tracker)


class _Delivered:
    """A context, seen as a record."""

    __slots__ = ("key", "offset", "timestamp")

    def __init__(self, context: Context) -> None:
        self.key = context.key
        self.offset = context.offset
        self.timestamp = context.timestamp_ms
