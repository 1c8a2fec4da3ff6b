"""Which partitions are stuck: something is to be done there, nothing moves, and nothing excuses it.

A handler that hangs stops its partition for good: a rebalance or a restart gives its event to a
handler anew. So ``/health/live`` turns red for a stuck partition, and whoever watches it (the
kubelet, a supervisor) restarts the worker. What a restart cannot help is no reason for one: a
breaker that is open, a flood, an operator's pause, a rebalance, a recovery, a broker that is away.

What is looked at, about once a second, costs nothing on the path of the events:

- the oldest event of a partition that has not finished;
- the next event of a partition, when the broker has some, answers, and none is fetched;
- the oldest attempt at a waiting event, and what is due and not tried;
- the loop that fetches.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple, Protocol

from faust.types import TP
from mode import Service

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
#: A worker that was suspended, or whose loop was blocked, did not look: that time is not counted.
_MOST_COUNTED_S = 3.0
_WHOLE_WORKER = TP("", -1)


class Standing(NamedTuple):
    """Something at a partition that has not ended.

    Attributes:
        what: Names it in words; the same words mean the same piece of work.
        excuse: Why it may take as long as it likes; ``""``: it may not.

    """

    what: str
    excuse: str = ""


@dataclass(frozen=True)
class PartitionProgress:
    """How long a partition has stood still, and whether that is all right.

    Attributes:
        topic: Real name of the topic; ``""`` for what concerns the whole worker.
        partition: Which partition; -1 for the whole worker.
        stuck: Whether it stands for longer than ``TRUNKLINE_STUCK_AFTER_S``, without an excuse.
        stands_s: For how long nothing has moved; 0 while there is an excuse, or nothing to do.
        what: What does not move.
        excuse: Why it is not stuck however long it takes; ``""`` when there is no excuse.

    """

    topic: str
    partition: int
    stuck: bool = False
    stands_s: float = 0.0
    what: str = ""
    excuse: str = ""

    def __str__(self) -> str:
        """Return it in words: ``auth.registered[0]: the event at offset 41 … for 312 s``."""
        place = f"{self.topic}[{self.partition}]" if self.topic else "this worker"
        if not self.what:
            return f"{place} has nothing to do"
        return (
            f"{place}: {self.what} for {self.stands_s:.0f} s{self.excuse and f' ({self.excuse})'}"
        )


class Watched(Protocol):
    """What of :class:`trunkline.delivery.app.DeliveryApp` is looked at."""

    dispatcher: Any
    consumer: Any
    rebalancing: bool
    has_assignment: bool
    should_stop: bool
    assigned: Callable[[], set[TP]]
    batched_topics: frozenset[str]
    is_paused: Callable[[TP], bool]


class Progress(Service):
    """Looks at a worker's partitions, and says which are stuck.

    Args:
        app: The worker.
        stuck_after_s: How long a partition may stand.
        clock: For tests.

    """

    mundane_level = "debug"

    def __init__(
        self,
        app: Watched,
        stuck_after_s: float,
        clock: Callable[[], float] = monotonic,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._app = app
        self._stuck_after_s = stuck_after_s
        self._clock = clock
        self._looked_at = clock()
        self._stamps: dict[TP, int | None] = {}
        #: What stands at each partition, and for how long.
        self._stood: dict[tuple[TP, Standing], float] = {}
        self._partitions: list[TP] = []

    @Service.task
    async def _watch(self) -> None:
        failed = False
        while not self.should_stop:
            try:
                self.look()
            except Exception:
                # What only looks on must not end a worker: mode would take it for a crash.
                if not failed:
                    logger.exception("Stuck partitions are not noticed while this fails")
                failed = True
            else:
                failed = False
            await self.sleep(min(_LOOK_S, self._stuck_after_s / 5))

    def look(self) -> None:
        """Look at everything once, and add the time since the last look to what has not moved."""
        now = self._clock()
        passed_s = min(now - self._looked_at, _MOST_COUNTED_S)
        self._looked_at = now
        if not self._is_at_work():
            self._partitions = []
            self._stood = {}
            return
        consumer = self._app.consumer
        self._partitions = sorted(
            tp for tp in self._app.assigned() if tp.topic in self._app.batched_topics
        )
        found = {(tp, standing) for tp in self._partitions for standing in self._at(tp)}
        rounds = Standing(f"fetching from Kafka stands at round {consumer.rounds}")
        found.add((_WHOLE_WORKER, rounds))
        before = self._stood
        self._stood = {
            key: 0.0 if key[1].excuse or key not in before else before[key] + passed_s
            for key in found
        }

    def partitions(self) -> list[PartitionProgress]:
        """Return each partition that the worker has, and the worker itself if it is stuck."""
        worst: dict[TP, PartitionProgress] = {}
        for (tp, standing), stood_s in self._stood.items():
            stuck = not standing.excuse and stood_s > self._stuck_after_s
            found = PartitionProgress(
                tp.topic, tp.partition, stuck, round(stood_s, 1), standing.what, standing.excuse
            )
            known = worst.get(tp)
            if known is None or found.stands_s > known.stands_s:
                worst[tp] = found
        rows = [worst.get(tp, PartitionProgress(*tp)) for tp in self._partitions]
        worker = worst.get(_WHOLE_WORKER)
        return [*rows, worker] if worker is not None and worker.stuck else rows

    def stuck(self) -> list[PartitionProgress]:
        """Return what a restart would help."""
        return [row for row in self.partitions() if row.stuck]

    def is_live(self) -> tuple[bool, str]:
        """Return whether nothing is stuck, and what is, for ``/health/live``."""
        stuck = self.stuck()
        return not stuck, "; ".join(map(str, stuck)) or "nothing is stuck"

    def _is_at_work(self) -> bool:
        app = self._app
        return app.has_assignment and not app.rebalancing and not app.should_stop

    def _at(self, tp: TP) -> Iterable[Standing]:
        standing = [*self._app.dispatcher.standing(tp), *self._unfetched(tp)]
        if self._app.is_paused(tp):
            return [Standing(found.what, "it is paused") for found in standing]
        return standing

    def _unfetched(self, tp: TP) -> Iterable[Standing]:
        """Return the next event, when nothing is under way and the broker has told of more."""
        consumer = self._app.consumer
        stamp = consumer.answer_stamp(tp)
        answers = stamp != self._stamps.get(tp)
        self._stamps[tp] = stamp
        trackers: Mapping[TP, Any] = consumer.trackers
        tracker = trackers.get(tp)
        end = consumer.end_offset(tp)
        if tracker is None or tracker.unfinished or end is None or end <= tracker.position:
            return
        excuse = "" if answers else "Kafka does not answer"
        if consumer.is_unreadable(tp):
            excuse = "the next batch cannot be read from the broker's disk"
        yield Standing(f"the event at offset {tracker.position} has not been fetched", excuse)
