"""From a stream's batches to the runners of the assigned partitions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from trunkline.delivery.batches import Batch
from trunkline.delivery.chain import Chain, Counters, FailureSink
from trunkline.delivery.handler import Subscription
from trunkline.delivery.runner import Runner, runner_for


@dataclass
class _Assigned:
    """A partition that we have, its runner, and the stream's event that last brought records."""

    runner: Runner
    event: Any = None


@dataclass
class Dispatcher:
    """Give every assigned partition a runner of its own, so that none waits for another."""

    subscriptions: Sequence[Subscription]
    sink: FailureSink
    set_current_event: Callable[[Any], None]
    counters: dict[str, Counters] = field(init=False)
    _assigned: dict[TP, _Assigned] = field(init=False, default_factory=dict)
    _by_topic: dict[str, Subscription] = field(init=False)

    def __post_init__(self) -> None:
        self._by_topic = {s.topic: s for s in self.subscriptions}
        self.counters = {s.topic: Counters() for s in self.subscriptions}

    def dispatch(self, batch: Batch, event: Any) -> None:
        """Hand a batch to its partition's runner; a batch of an ended assignment is dropped.

        Args:
            batch: Records of one partition.
            event: The stream's event that carries it.

        """
        if batch.tracker.closed:
            return
        assigned = self._assigned.get(batch.tp)
        if assigned is None or assigned.runner.chain.tracker is not batch.tracker:
            assigned = self._assigned[batch.tp] = self._assign(batch)
        assigned.event = event
        self.counters[batch.tp.topic].delivered += len(batch.records)
        assigned.runner.feed(batch.records)

    def _assign(self, batch: Batch) -> _Assigned:
        topic = batch.tp.topic
        subscription = self._by_topic[topic]
        chain = Chain(
            subscription, batch.tracker, self.sink, self.counters[topic], batch.tp.partition
        )
        tp = batch.tp
        runner = runner_for(
            subscription, chain, lambda: self.set_current_event(self._assigned[tp].event)
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
        return all(ends)
