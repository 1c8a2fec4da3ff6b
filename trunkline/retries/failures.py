"""What all failures partitions of a worker share: handlers, table, agents, counts."""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.failures import EventId, RetryEntry
from trunkline.delivery.failure import Failure
from trunkline.delivery.offsets import OffsetTracker
from trunkline.delivery.pauses import Pauses
from trunkline.delivery.producer_call import OutRecord
from trunkline.delivery.quota import LogQuota
from trunkline.delivery.steady_time import now_ms
from trunkline.delivery.timing import Histogram
from trunkline.retries.attempt import Attempts
from trunkline.retries.policy import RetryPolicy
from trunkline.retries.store import RetryStore

if TYPE_CHECKING:
    from trunkline.retries.ledger import Ledger
    from trunkline.retries.partition import FailuresPartition

logger = logging.getLogger(__name__)

#: Latest attempts over which lateness is told.
_LATENESS_KEPT = 10_000


@dataclass(frozen=True, eq=False)
class DeadBatch:
    """Events that have no attempts left, on their way through the dead letters agent.

    Attributes:
        entries: The events, as they wait in the table.
        bury: Takes their dead letters; they go out as the events leave the table.

    """

    entries: Sequence[RetryEntry]
    bury: Callable[[Sequence[OutRecord]], None]


@dataclass(eq=False)
class Failures:
    """How a worker deals with the failed events of its group.

    Attributes:
        topic: Real name of ``<group>.failures``.
        held_keys_topic: Real name of ``<group>.held-keys``.
        store: The retries table.
        attempts: The handlers by the real names of their topics.
        on_record: The failures agent: applies one record of the failures topic.
        send_dead: Gives events to the dead letters agent.
        concurrency: Most attempts at once, for each failures partition.
        pauses: What an operator has paused; what waits of that is not tried.
        unreadable: How many records of the failures topic were none.
        lateness: How long after their due times attempts began.

    """

    topic: str
    held_keys_topic: str
    store: RetryStore
    attempts: Mapping[str, Attempts]
    on_record: Callable[[Ledger, Any], None]
    send_dead: Callable[[DeadBatch], None]
    concurrency: int = 64
    pauses: Pauses = field(default_factory=Pauses)
    rng: random.Random = field(default_factory=random.Random)
    unreadable: int = 0
    lateness: Histogram = field(default_factory=Histogram)
    _lateness_ms: deque[int] = field(default_factory=lambda: deque(maxlen=_LATENESS_KEPT))
    _open: dict[int, FailuresPartition] = field(default_factory=dict)
    _quota: LogQuota = field(default_factory=lambda: LogQuota(logger))
    _no_handler: set[str] = field(default_factory=set)

    def opened(self, partition: int, tracker: OffsetTracker) -> FailuresPartition:
        """Take over a partition that this worker was given."""
        from trunkline.retries.partition import FailuresPartition  # noqa: PLC0415  # each needs the other

        made = self._open[partition] = FailuresPartition(self, partition, tracker)
        return made

    def gave_up(self) -> None:
        """Forget the partitions: they are given away."""
        self._open.clear()

    def policy_of(self, topic: str) -> RetryPolicy:
        """Return what a topic's failed events are due."""
        attempts = self.attempts.get(topic)
        return RetryPolicy() if attempts is None else attempts.target.policy

    def note_lateness(self, late_ms: int) -> None:
        """Note how long after its due time an attempt began."""
        self._lateness_ms.append(late_ms)
        self.lateness.observe(late_ms / 1000)

    def log_failure(
        self, event: EventId, attempts: int, failure: Failure, *, gives_up: bool
    ) -> None:
        """Say that an attempt failed; a flood of them is summed up."""
        self._quota.warning(
            "%s attempt %s at %s failed, %s: %s: %s",
            failure.kind,
            attempts,
            event,
            "it becomes a dead letter" if gives_up else "it will be tried again",
            failure.exception,
            failure.message,
        )

    def say_no_handler(self, event: EventId) -> None:
        """Say once for each topic that nobody here can handle what waits."""
        if event.topic not in self._no_handler:
            self._no_handler.add(event.topic)
            logger.error(
                "Failed events of %s wait, but this worker has no handler for it: subscribe it to "
                "that topic again, or discard them (trunkline retries discard --topic %s).",
                event.topic,
                event.topic,
            )

    @property
    def partitions(self) -> list[FailuresPartition]:
        """The partitions that this worker has, in order."""
        return sorted(self._open.values(), key=lambda p: p.partition)

    def stats(self) -> dict[str, Any]:
        """Return the ``retries`` of ``/stats``: times in milliseconds."""
        partitions = list(self._open.values())
        schedules = [p.schedule for p in partitions if p.schedule is not None]
        dues = [schedule.next_due_ms() for schedule in schedules]
        next_due = min((due for due in dues if due), default=None)
        return {
            "waiting": sum(map(len, schedules)),
            "parked": sum(schedule.parked for schedule in schedules),
            "lanes": sum(schedule.lanes for schedule in schedules),
            "running": sum(p.running for p in partitions),
            "next_due_in_ms": None if next_due is None else next_due - now_ms(),
            "lateness_ms": self._lateness(),
            "unreadable": self.unreadable,
            "partitions": [
                {"partition": p.partition, "open": p.is_open, "waiting": p.waiting}
                for p in sorted(partitions, key=lambda p: p.partition)
            ],
        }

    def _lateness(self) -> dict[str, int] | None:
        late = sorted(self._lateness_ms)
        if not late:
            return None
        return {
            "p50": late[len(late) // 2],
            "p99": late[min(len(late) - 1, len(late) * 99 // 100)],
            "max": late[-1],
        }
