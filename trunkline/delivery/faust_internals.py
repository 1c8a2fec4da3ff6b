"""What replaces parts of Faust's consumer (0.15.3), with ``consumer_thread.py``; and its transport.

Faust and aiokafka are pinned, and ``tests/unit/test_faust_contract.py`` fails when an upgrade
changes what stands here. Each override says what stock Faust does and why that will not do
(measurements: DESIGN section 3).
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Collection
from time import monotonic
from typing import Any, ClassVar

import faust
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from faust.events import Event as FaustEvent
from faust.streams import _current_event
from faust.topics import Topic as FaustTopic
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from trunkline.delivery.batches import Batch
from trunkline.delivery.client_tasks import require_living_tasks
from trunkline.delivery.consumer_thread import CLOSE_TIMEOUT_S, COMMIT_TIMEOUT_S, ConsumerThread
from trunkline.delivery.faust_producer import Producer
from trunkline.delivery.offsets import OffsetTracker

#: How long a partition waits whose next batch cannot be read.
UNREADABLE_PAUSE_S = 5.0
#: How soon a partition that was full is looked at again while others are being polled.
_RECHECK_S = 0.05
_POLL_S = 1.0
#: For how long an assignment is new.
_BEGINNING_S = 2.0


class BatchTopic(FaustTopic):
    """A topic whose stream carries :class:`Batch` events instead of single decoded ones.

    Made with ``acks=False``: stock Faust acks an event in a ``finally`` (also when the agent raised
    or was cancelled half-way) and acks an undecodable one before anybody saw it. Our offsets are
    kept by :class:`OffsetTracker`.
    """

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **{**options, "acks": False})

    def _compile_decode(self) -> None:
        self.decode = self._wrap

    async def _wrap(self, message: Any, *, propagate: bool = False) -> Any:
        return FaustEvent(self.app, None, message.value, None, message)


class Consumer(driver.Consumer):
    """Fetch whole partition batches, and commit what our trackers say.

    Topics that are not :class:`BatchTopic` (changelogs, stock agents) keep Faust's own path.
    """

    mundane_level = "debug"
    trackers: dict[TP, OffsetTracker]

    def __init__(self, *args: Any, **options: Any) -> None:
        self.trackers = {}
        self._unreadable_until: dict[TP, float] = {}
        #: The last assignment that was fetched for, and until when it counts as new.
        self._begun_generation = -1
        self._begins_until = 0.0
        #: How often the loop that fetches has come round.
        self.rounds = 0
        self._giving_away = asyncio.Lock()
        self._asked_ends: dict[TP, int] = {}
        #: What it was subscribed to when it left its group.
        self._left: set[str] = set()
        super().__init__(*args, **options)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: Faust's livelock detector knows nothing of our trackers."""

    # -- fetching

    async def _drain_messages(self, fetcher: Any) -> None:
        """Feed the streams; replaces the loop that awaits four tasks for every message."""
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)
                    continue
                await self._fetch_once()
        except ConsumerStoppedError:
            if not self.app.should_stop:
                raise
        except asyncio.CancelledError:
            # Faust takes this for a crash of the worker when a rebalance is under way as well.
            if not self.app.should_stop:
                raise

    async def _fetch_once(self) -> None:
        self.rounds += 1
        active = {tp for tp in self._get_active_partitions() if not self.app.is_paused(tp)}
        fetchable = {tp for tp in active if self._may_fetch(tp)}
        if not fetchable:
            await self._thread.stay_in_group()
            await asyncio.sleep(_RECHECK_S)
            return
        generation = self.app.consumer_generation_id
        hurries = len(fetchable) < len(active) or self._begins(fetchable, generation)
        timeout_s = _RECHECK_S if hurries else _POLL_S
        records, positions = await self._thread.fetch(fetchable, timeout_s, generation)
        if self._is_stale(generation):
            # Dropped unhandled, so nothing of it is committed; the next assignment fetches it.
            return
        batched = self.app.batched_topics
        for tp, found in records.items():
            if tp.topic not in batched:
                await self._deliver_singly(tp, found, generation)
            elif not self.app.rebalancing:
                await self._deliver_batch(tp, found, positions[tp])
            if self._is_stale(generation):
                return
        for tp, position in positions.items():
            if tp not in records and tp.topic in batched and not self.app.rebalancing:
                self._tracker(tp, position).position = position

    def _begins(self, fetchable: set[TP], generation: int) -> bool:
        """Whether the assignment is new, and partitions of it have not begun.

        The first answer tells where they stand, and lets those begin that have something to do
        without records (retries): it waits for none. Later a leader may be away for long.
        """
        if generation != self._begun_generation:
            self._begun_generation = generation
            self._begins_until = monotonic() + _BEGINNING_S
        return monotonic() < self._begins_until and any(
            tp not in self.trackers for tp in fetchable if tp.topic in self.app.batched_topics
        )

    def require_living_client(self) -> None:
        """Look whether the client does its work; before it was started there is nothing to see.

        Raises:
            DeadClientError: It does not, and will not again.

        """
        if self._thread._consumer is not None:
            require_living_tasks(self._thread._consumer)

    def end_offset(self, tp: TP) -> int | None:
        """Return the last stable offset that the broker has told, None until it has."""
        try:
            end: int | None = self._thread._ensure_consumer().last_stable_offset(tp)
        except IllegalStateError:
            end = None
        asked = self._asked_ends.get(tp)
        return end if asked is None else max(asked, end or 0)

    async def ask_for_ends(self, tps: Collection[TP]) -> None:
        """Ask for the ends of partitions of which nothing is fetched, so that nothing tells them.

        What was asked before is forgotten. Without an answer the last one that a fetch gave stays.
        """
        self._asked_ends = {}
        if not tps:
            return
        try:
            found = await asyncio.wait_for(self._thread.ends(tps), COMMIT_TIMEOUT_S)
        except (KafkaError, TimeoutError):
            return
        self._asked_ends = {ensure_TP(tp): end for tp, end in found.items()}

    def answer_stamp(self, tp: TP) -> int | None:
        """Return what changes with every answer of the broker to a fetch from a partition."""
        try:
            stamp: int | None = self._thread._ensure_consumer().last_poll_timestamp(tp)
        except IllegalStateError:
            return None
        return stamp

    def is_unreadable(self, tp: TP) -> bool:
        """Whether the next batch of a partition could not be read when it was last tried."""
        return self._unreadable_until.get(tp, 0.0) > monotonic() - UNREADABLE_PAUSE_S

    def _is_stale(self, generation: int) -> bool:
        return not self.flow_active or generation != self.app.consumer_generation_id

    def _may_fetch(self, tp: TP) -> bool:
        if tp.topic in self.app.batched_topics:
            if self.app.rebalancing:
                # Faust lets partitions flow before it has sought their positions, and, in recovery,
                # before their tables are there.
                return False
            if self._unreadable_until.get(tp, 0) > monotonic():
                return False
        tracker = self.trackers.get(tp)
        return tracker is None or (
            tracker.unfinished < self.app.max_unfinished
            and tracker.unfinished_bytes < self.app.max_unfinished_bytes
        )

    def _tracker(self, tp: TP, position: int) -> OffsetTracker:
        tracker = self.trackers.get(tp)
        if tracker is None:
            tracker = self.trackers[tp] = OffsetTracker(position)
            tracker.begin(self._committed_offset[tp])
            self.app.dispatcher.opened(tp, tracker)
        return tracker

    async def _deliver_batch(self, tp: TP, records: list[Any], position: int) -> None:
        tracker = self._tracker(tp, records[0].offset)
        size_bytes = sum([len(record.value) for record in records if record.value])
        tracker.deliver([record.offset for record in records], position, size_bytes)
        self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
        last = records[-1]
        message = ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            last.timestamp_type,
            None,
            None,
            Batch(tp, records, tracker),
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        await self.callback(message)

    async def _deliver_singly(self, tp: TP, records: list[Any], generation: int) -> None:
        """Do what stock ``_drain_messages`` does for one message (changelogs, stock agents).

        A record that a rebalance kept from being delivered must not move the read offset, and none
        may be delivered as of a later generation: either leaves a hole in a table's recovery.
        """
        self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
        for record in records:
            read = self._read_offset[tp]
            if read is not None and record.offset < read:
                continue
            if read and record.offset - read > 1 and self.app.topics.acks_enabled_for(tp.topic):
                await self._add_gap(tp, read + 1, record.offset)
            await self.wait_first(
                self.callback(self._to_message(tp, record)), self.suspend_flow.wait()
            )
            if self._is_stale(generation):
                return
            self._read_offset[tp] = record.offset

    # -- committing

    def _committable(self) -> dict[TP, int]:
        return {
            tp: tracker.committable
            for tp, tracker in self.trackers.items()
            if tracker.committable > tracker.committed
        }

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit Faust's own acks, then the contiguous finished prefix of every tracker."""
        did_commit = await super().force_commit(topics, start_new_transaction)
        trackers = dict(self.trackers)
        offsets = self._committable()
        if not offsets:
            return bool(did_commit)
        began = monotonic()
        try:
            # Faust flushes its producer first, so that a table's changelog is out before the offset
            # of what it was made from; without a broker that flush would never end.
            committed = await asyncio.wait_for(
                self._commit_offsets(offsets), COMMIT_TIMEOUT_S + CLOSE_TIMEOUT_S
            )
        except TimeoutError:
            self.app.commit_failures += 1
            self.log.warning("Offsets not committed: the producer could not be flushed")
            return False
        if not committed:
            self.app.commit_failures += 1
            # Faust notes the offsets as committed all the same; a new assignment would begin there.
            for tp in offsets:
                before = trackers[tp].committed
                self._committed_offset[tp] = before if before >= 0 else None
        else:
            for tp, offset in offsets.items():
                trackers[tp].commit_done(offset)
            self.app.on_committed(monotonic() - began)
        return bool(committed)

    # -- giving partitions away

    async def wait_empty(self) -> None:
        """Let the running events end, within the limit, commit them, and forget the partitions.

        Called when partitions are revoked and when the worker stops. Stock Faust waits without a
        limit. What did not end in time was cancelled, is not committed, and comes again.
        """
        if self.app.topics.acking_topics:
            try:
                await asyncio.wait_for(super().wait_empty(), self.app.drain_timeout_s)
            except TimeoutError:
                self.log.warning("Stock agents did not finish in time; their events come again")
        # A rebalance may come while the worker stops: the second caller waits for the first.
        async with self._giving_away:
            if not self.trackers:
                return
            await self.app.dispatcher.drain(self.app.drain_timeout_s)
            await self._commit_to_the_end()
            for tracker in self.trackers.values():
                tracker.close()
            self.trackers.clear()

    async def _commit_to_the_end(self) -> None:
        deadline = monotonic() + COMMIT_TIMEOUT_S
        while self._committable() and monotonic() < deadline:
            # commit() does nothing but wait when one is under way, hence the loop.
            if not await self.commit():
                if self._thread.lost_membership:
                    return
                await asyncio.sleep(_RECHECK_S)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Note what moves away, then do as Faust does.

        While the worker stops Faust would give the partitions away at once, in the middle of the
        handlers that :meth:`wait_empty` waits for, and what they did could not be committed.
        """
        self.app.on_revoked(revoked)
        if self.app.should_stop:
            await self.wait_empty()
            return
        await super().on_partitions_revoked(revoked)

    async def leave_group(self) -> None:
        """Let what runs end, commit, and leave the group: its partitions move at once."""
        # Nothing is subscribed to when it had left before, and something failed on its way back.
        self._left = set(self._thread.subscribed()) or self._left
        await self._thread.revoke_all()
        await self._thread.leave_group()
        # A rebalance that crossed it may have brought something after all; it is not ours.
        await self.wait_empty()

    async def join_group(self) -> None:
        """Join the group again that :meth:`leave_group` left."""
        await self._thread.join_group(self._left)

    async def perform_seek(self) -> None:
        """Start from the committed offsets, and say so when retention deleted unhandled events."""
        await super().perform_seek()
        for tp, offset in self._read_offset.items():
            # Faust takes a commit of 0 for none; to us it says that what is held is of this topic.
            if offset == 0 and tp.topic in self.app.batched_topics:
                self._committed_offset[ensure_TP(tp)] = 0
        committed = {
            tp: offset
            for tp, offset in self._committed_offset.items()
            if offset is not None and tp.topic in self.app.batched_topics
        }
        if not committed:
            return
        for tp, earliest in (await self.earliest_offsets(*committed)).items():
            behind = committed[ensure_TP(tp)]
            if earliest is not None and behind < earliest:
                self.note_lost(tp, behind, earliest)

    def note_unreadable(self, tp: Any, offset: int, error: Exception) -> None:
        """Let a partition wait whose next batch cannot be read; the others go on."""
        self._unreadable_until[ensure_TP(tp)] = monotonic() + UNREADABLE_PAUSE_S
        self.app.unreadable += 1
        self.log.error(
            "UNREADABLE: %s partition %s stands at offset %s, nothing of it is skipped: %r. It is "
            "tried again every %s s. Look at the broker's disk; if the batch cannot be restored, "
            "move the group behind it with kafka-consumer-groups --reset-offsets.",
            tp.topic,
            tp.partition,
            offset,
            error,
            UNREADABLE_PAUSE_S,
        )

    def note_lost(self, tp: Any, expected: int, found: int) -> None:
        """Say which offsets were gone before this group could handle them, and count them."""
        self.app.lost += found - expected
        self.log.error(
            "LOST: %s partition %s: retention deleted offsets %s to %s before this group handled "
            "them. Raise the topic's retention or the group's speed.",
            tp.topic,
            tp.partition,
            expected,
            found - 1,
        )


class Transport(driver.Transport):
    """aiokafka transport with our consumer and producer."""

    Consumer: ClassVar[type] = Consumer
    Producer: ClassVar[type] = Producer


def set_current_event(event: faust.Event) -> None:
    """Make an event the current one of this task, as a stream's iteration does.

    Faust lets a table be written only while there is a current event, and takes the partition of
    the changelog from it.
    """
    _current_event.set(weakref.ref(event))
