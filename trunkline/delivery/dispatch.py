"""From a stream's batches to the runners of the assigned partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from faust.types import TP

from trunkline.delivery.batches import Batch
from trunkline.delivery.chain import Chain
from trunkline.delivery.keeper import HoldKeeper
from trunkline.delivery.offsets import OffsetTracker
from trunkline.delivery.pauses import Pauses
from trunkline.delivery.progress import Standing
from trunkline.delivery.runner import runner_for
from trunkline.delivery.target import Target
from trunkline.retries.failures import Failures


class PartitionRunner(Protocol):
    """Takes the records of one partition until it is given away."""

    @property
    def tracker(self) -> OffsetTracker:
        """The partition's offsets, for this assignment."""

    def feed(self, records: Sequence[Any]) -> None:
        """Add fetched records, in the order of their offsets."""

    async def drain(self, timeout_s: float) -> bool:
        """Start nothing new, and let what runs end."""

    @property
    def recovering(self) -> bool:
        """Whether what must be known before the first event is still being read."""

    def standing(self) -> list[Standing]:
        """Return what the partition is at that has not ended."""


@dataclass
class _Assigned:
    """A partition that we have, its runner, and the stream's event that last brought records."""

    runner: PartitionRunner
    event: Any = None


@dataclass
class Dispatcher:
    """Give every assigned partition a runner of its own, so that none waits for another.

    Attributes:
        targets: The subscriptions by the real names of their topics.
        keeper: Knows what is held on the source partitions.
        failures: What the failures partitions share.
        set_current_event: Makes an event that of the running task.
        pauses: What an operator has paused.

    """

    targets: Mapping[str, Target]
    keeper: HoldKeeper
    failures: Failures
    set_current_event: Callable[[Any], None]
    pauses: Pauses = field(default_factory=Pauses)
    _assigned: dict[TP, _Assigned] = field(init=False, default_factory=dict)

    def opened(self, tp: TP, tracker: OffsetTracker) -> None:
        """Start on a failures partition, records or not: what waits in its table is due."""
        if tp.topic == self.failures.topic:
            runner = self.failures.opened(tp.partition, tracker)
            self._assigned[tp] = _Assigned(runner)

    def recovering(self, tp: TP) -> bool:
        """Whether a partition still reads what it must know; True for one that has not begun."""
        assigned = self._assigned.get(tp)
        if assigned is None:  # a source partition begins with its first records
            return tp.topic == self.failures.topic
        return assigned.runner.recovering

    def standing(self, tp: TP) -> list[Standing]:
        """Return what a partition is at that has not ended; nothing for one that has no runner."""
        assigned = self._assigned.get(tp)
        return [] if assigned is None else assigned.runner.standing()

    def dispatch(self, batch: Batch, event: Any) -> None:
        """Hand a batch to its partition's runner; a batch of an ended assignment is dropped.

        Args:
            batch: Records of one partition.
            event: The stream's event that carries it.

        """
        if batch.tracker.closed:
            return
        assigned = self._assigned.get(batch.tp)
        if assigned is None or assigned.runner.tracker is not batch.tracker:
            assigned = self._assigned[batch.tp] = self._assign(batch)
        assigned.event = event
        if target := self.targets.get(batch.tp.topic):
            target.counters.delivered += len(batch.records)
        assigned.runner.feed(batch.records)

    def _assign(self, batch: Batch) -> _Assigned:
        tp, tracker = batch.tp, batch.tracker
        target = self.targets[tp.topic]
        policy = target.policy
        source = self.keeper.source(
            tp.topic, tp.partition, tracker, ordered=policy.ordered, retries=policy.retries
        )
        pause = self.pauses.of(tp.topic, tp.partition)
        chain = Chain(target, tracker, source, tp.partition, pause)
        runner = runner_for(
            target.subscription,
            chain,
            lambda: self.set_current_event(self._assigned[tp].event),
        )
        return _Assigned(runner)

    async def drain(self, timeout_s: float) -> bool:
        """Stop all runners as :meth:`Runner.drain` says, and forget them.

        Returns:
            Whether every event that had begun also ended.

        """
        ends = await asyncio.gather(
            *(assigned.runner.drain(timeout_s) for assigned in self._assigned.values())
        )
        self._assigned.clear()
        self.keeper.give_up()
        self.failures.gave_up()
        return all(ends)
