"""What a consuming worker measures: by topic and group, by partition, and for the whole group.

Labels are the names of declared topics and groups, and partition numbers: never a key or a user.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from faust.types import TP
from prometheus_client.core import Metric

from trunkline.delivery.app import DeliveryApp
from trunkline.delivery.counters import Counters
from trunkline.delivery.stats import partition_stats
from trunkline.errors import TrunklineError
from trunkline.metrics.families import counter, gauge, histogram
from trunkline.retries.partition import FailuresPartition

_TOPIC = ("group", "topic")
_PARTITION = ("group", "topic", "partition")
_GROUP = ("group",)

#: Metric, the counter behind it, and what it counts.
_COUNTED = (
    ("delivered", "Records that the source partitions brought."),
    ("handled", "First attempts that succeeded."),
    ("handed_over", "Failed and parked events that the failures topic has."),
    ("parked", "Events that waited behind a failed one of their key."),
    ("passed_over", "Redelivered events that had been handed over before."),
    ("retried", "Attempts at waiting events, first ones of parked events included."),
    ("recovered", "Waiting events that were handled."),
    ("dead", "Events that became dead letters."),
    ("redriven", "Events that came back from dead letters."),
    ("discarded", "Waiting events that an operator discarded."),
)


class DeliveryMetrics:
    """Reads a worker's counters.

    Args:
        app: The worker; one with subscriptions.

    """

    def __init__(self, app: DeliveryApp) -> None:
        self._app = app
        self._group = app.conf.id

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        yield from self._topics()
        yield from self._guards()
        yield from self._partitions()
        yield from self._progress()
        yield from self._consumer()
        yield from self._retries()

    def _topics(self) -> Iterator[Metric]:
        group, targets = self._group, self._app.targets
        for name, text in _COUNTED:
            yield counter(
                f"trunkline_events_{name}",
                text,
                _TOPIC,
                (((group, topic), getattr(t.counters, name)) for topic, t in targets.items()),
            )
        yield counter(
            "trunkline_events_failed",
            "First attempts that failed: transient ones are tried again, permanent and invalid "
            "ones become dead letters.",
            (*_TOPIC, "kind"),
            (
                ((group, topic, kind), count)
                for topic, target in targets.items()
                for kind, count in _by_kind(target.counters)
            ),
        )
        yield histogram(
            "trunkline_handler_seconds",
            "Calls of the handler, retries included; a batch is one call.",
            _TOPIC,
            (((group, topic), target.handler_seconds) for topic, target in targets.items()),
        )

    def _guards(self) -> Iterator[Metric]:
        breakers = [((self._group, topic), t.breaker) for topic, t in self._app.targets.items()]
        guards = [((self._group, topic), t.guard) for topic, t in self._app.targets.items()]
        opened = [(labels, breaker.stats()) for labels, breaker in breakers]
        yield gauge(
            "trunkline_breaker_open",
            "1 while the topic's events wait for what their handler needs, on this pod.",
            _TOPIC,
            ((labels, breaker.is_open) for labels, breaker in breakers),
        )
        yield counter(
            "trunkline_breaker_opens",
            "How often the breaker opened.",
            _TOPIC,
            ((labels, stats["opened"]) for labels, stats in opened),
        )
        yield gauge(
            "trunkline_flood_guard_active",
            "1 while too many events would become dead letters, and wait instead.",
            _TOPIC,
            ((labels, guard.stats()["state"] != "closed") for labels, guard in guards),
        )
        yield counter(
            "trunkline_flood_guard_trips",
            "How often the flood guard tripped.",
            _TOPIC,
            ((labels, guard.stats()["tripped"]) for labels, guard in guards),
        )

    def _partitions(self) -> Iterator[Metric]:
        rows = [*partition_stats(self._app), *partition_stats(self._app, failures=True)]
        labelled = [((self._group, row["topic"], str(row["partition"])), row) for row in rows]
        for name, text in (
            ("lag", "Records that the group has not committed, up to the last stable offset."),
            ("committed_offset", "Offset that the group has committed."),
            ("end_offset", "Last stable offset that the broker has told."),
            ("position", "Offset of the next record to fetch."),
            ("unfinished", "Records that were fetched and are not finished."),
        ):
            key = name.removesuffix("_offset")
            yield gauge(
                f"trunkline_partition_{name}",
                text,
                _PARTITION,
                ((labels, row[key]) for labels, row in labelled),
            )

    def _progress(self) -> Iterator[Metric]:
        progress = self._app.progress
        rows = [] if progress is None else progress.partitions()
        labelled = [((self._group, row.topic, str(row.partition)), row) for row in rows]
        yield gauge(
            "trunkline_partition_stuck",
            "1 when nothing has moved for TRUNKLINE_STUCK_AFTER_S and nothing excuses it.",
            _PARTITION,
            ((labels, row.stuck) for labels, row in labelled),
        )
        paused = self._app.is_paused
        yield gauge(
            "trunkline_partition_paused",
            "1 while an operator has paused it.",
            _PARTITION,
            ((labels, paused(TP(row.topic, row.partition))) for labels, row in labelled),
        )
        yield gauge(
            "trunkline_partition_stands_seconds",
            "How long nothing has moved at the partition, without an excuse.",
            _PARTITION,
            ((labels, row.stands_s) for labels, row in labelled),
        )

    def _consumer(self) -> Iterator[Metric]:
        app, labels = self._app, (self._group,)
        moved_ms = app.last_rebalance.get("at_ms")
        yield counter(
            "trunkline_rebalances", "Rebalances of the group.", _GROUP, [(labels, app.rebalances)]
        )
        yield gauge(
            "trunkline_last_rebalance_timestamp_seconds",
            "When the last one began.",
            _GROUP,
            [(labels, None if moved_ms is None else moved_ms / 1000)],
        )
        yield histogram(
            "trunkline_commit_seconds",
            "Commits of offsets that succeeded.",
            _GROUP,
            [(labels, app.commit_seconds)],
        )
        yield counter(
            "trunkline_commit_failures",
            "Commits that did not succeed; each is made again.",
            _GROUP,
            [(labels, app.commit_failures)],
        )
        yield counter(
            "trunkline_lost_offsets",
            "Offsets that retention deleted before they were handled.",
            _GROUP,
            [(labels, app.lost)],
        )
        yield counter(
            "trunkline_unreadable_batches",
            "How often a partition's next batch could not be read from the broker's disk.",
            _GROUP,
            [(labels, app.unreadable)],
        )

    def _retries(self) -> Iterator[Metric]:
        app, group = self._app, self._group
        failures = app.failures
        labelled = [((group, failures.topic, str(p.partition)), p) for p in failures.partitions]
        schedules = [(at, p.schedule) for at, p in labelled if p.schedule is not None]
        yield gauge(
            "trunkline_retries_waiting",
            "Failed events that wait, those parked behind their key included.",
            _PARTITION,
            ((labels, len(schedule)) for labels, schedule in schedules),
        )
        yield gauge(
            "trunkline_retries_parked",
            "Those of them that stand behind another one of their key.",
            _PARTITION,
            ((labels, schedule.parked) for labels, schedule in schedules),
        )
        yield gauge(
            "trunkline_retries_oldest_seconds",
            "How long ago the event that waits longest failed first.",
            _PARTITION,
            ((labels, _oldest_s(partition)) for labels, partition in labelled),
        )
        yield gauge(
            "trunkline_retries_running",
            "Attempts that run.",
            _PARTITION,
            ((labels, partition.running) for labels, partition in labelled),
        )
        yield histogram(
            "trunkline_retry_lateness_seconds",
            "How long after their due times attempts began.",
            _GROUP,
            [((group,), failures.lateness)],
        )
        yield gauge(
            "trunkline_blocked_keys",
            "Keys of this pod's partitions whose events are parked.",
            _GROUP,
            [((group,), app.keeper.blocked)],
        )
        yield counter(
            "trunkline_unreadable_failures",
            "Records in the failures topic that are none.",
            _GROUP,
            [((group,), failures.unreadable)],
        )


def _by_kind(counters: Counters) -> Iterator[tuple[str, int]]:
    yield "transient", counters.failed - counters.permanent
    yield "permanent", counters.permanent
    yield "invalid", counters.invalid


def _oldest_s(partition: FailuresPartition) -> float | None:
    try:
        failed_at_ms = partition.oldest_failed_at_ms
    except TrunklineError:
        return None  # its file was lost: it is being recovered
    return None if failed_at_ms is None else max(0.0, time.time() - failed_at_ms / 1000)
