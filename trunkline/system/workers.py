"""The pods as their reports tell them: pure bookkeeping, no Kafka."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trunkline.system.report import (
    STALE_S,
    SettingsReport,
    WorkerReport,
    decode_report,
    decode_settings,
    read_key,
)

#: A pod that has not reported for so long is forgotten.
FORGET_S = 24 * 3600.0
#: So many pods that ended are remembered: the names of some are never used again.
_ENDED_KEPT = 200
#: What rates are told of.
COUNTED = ("handled", "failed", "invalid", "retried", "recovered", "dead", "parked", "delivered")


@dataclass
class Worker:
    """A pod, as of its newest report.

    Attributes:
        report: The newest one.
        seen_at_s: When it was heard of last, by this process's clock (Unix time), so that the
            clocks of hosts need not agree.
        rates: Topic → counter → events a second, between its last two reports.
        published: Plain topic → events a second that it published.
        came_at_s: When the report was read, which may be long after it was written.

    """

    report: WorkerReport
    seen_at_s: float
    rates: dict[str, dict[str, float]] = field(default_factory=dict)
    published: dict[str, float] = field(default_factory=dict)
    came_at_s: float = 0.0

    def age_s(self, now_s: float) -> float:
        """Return how long ago it reported."""
        return max(0.0, now_s - self.seen_at_s)

    def is_stale(self, now_s: float) -> bool:
        """Whether it has been silent for longer than a pod should be."""
        return self.age_s(now_s) > STALE_S

    def rate(self, *counters: str) -> float:
        """Return events a second, summed over topics and counters."""
        return sum(rates.get(name, 0.0) for rates in self.rates.values() for name in counters)


class Workers:
    """Every pod that has reported within a day and did not say goodbye.

    Args:
        clock: Unix time in seconds; for tests.

    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._workers: dict[str, Worker] = {}
        self._settings: dict[str, SettingsReport] = {}
        #: Pods whose last word was that they ended, and when; for a page that says so.
        self.ended: dict[str, float] = {}

    def take(self, record: Any) -> None:
        """Apply a record of ``trunkline.workers``.

        Raises:
            msgspec.MsgspecError: It is no report.

        """
        pod, is_settings = read_key(record.key or b"")
        if record.value is None:
            if is_settings:
                self._settings.pop(pod, None)
            elif self._workers.pop(pod, None):
                self.ended[pod] = record.timestamp / 1000
                if len(self.ended) > _ENDED_KEPT:
                    del self.ended[next(iter(self.ended))]
        elif is_settings:
            self._settings[pod] = decode_settings(record.value)
        else:
            self._note(decode_report(record.value))

    def _note(self, report: WorkerReport) -> None:
        before = self._workers.get(report.pod)
        # A report of long ago, read at the start, is as old as it says.
        now_s = self._clock()
        said_s = report.at_ms / 1000
        is_old = now_s - said_s > STALE_S and not _is_live(before, report, now_s)
        worker = Worker(report, said_s if is_old else now_s, came_at_s=now_s)
        if before is not None and before.report.incarnation == report.incarnation:
            worker.rates, worker.published = _rates(before.report, report)
        self._workers[report.pod] = worker
        self.ended.pop(report.pod, None)

    def all(self) -> list[Worker]:
        """Return the pods by service and name; those that were silent for a day are dropped."""
        now_s = self._clock()
        for pod in [p for p, w in self._workers.items() if w.age_s(now_s) > FORGET_S]:
            del self._workers[pod]
            self._settings.pop(pod, None)
        return sorted(self._workers.values(), key=lambda w: (w.report.service, w.report.pod))

    def fresh(self) -> list[Worker]:
        """Return the pods that report."""
        now_s = self._clock()
        return [worker for worker in self.all() if not worker.is_stale(now_s)]

    def get(self, pod: str) -> Worker | None:
        """Return a pod by its name."""
        return self._workers.get(pod)

    def settings(self) -> list[SettingsReport]:
        """Return what the pods run with, by service and name."""
        self.all()
        return sorted(self._settings.values(), key=lambda s: (s.service, s.pod))


def _is_live(before: Worker | None, report: WorkerReport, now_s: float) -> bool:
    """Whether a report comes as it is written: then an old one has a clock that is behind ours.

    What is read of the past comes much faster one after the other than it was written.
    """
    if before is None or before.report.incarnation != report.incarnation:
        return False
    apart_s = (report.at_ms - before.report.at_ms) / 1000
    return 0 < apart_s < 2 * (now_s - before.came_at_s)


def _rates(
    before: WorkerReport, now: WorkerReport
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    seconds = (now.at_ms - before.at_ms) / 1000
    if seconds <= 0:
        return {}, {}
    topics: dict[str, dict[str, float]] = {}
    for name, topic in now.topics.items():
        was = before.topics.get(name)
        counters = {} if was is None else was.counters
        topics[name] = {
            counter: max(0, topic.counters.get(counter, 0) - counters.get(counter, 0)) / seconds
            for counter in COUNTED
        }
    accepted = now.published.get("accepted", {})
    accepted_before = before.published.get("accepted", {})
    published = {
        topic: max(0, count - accepted_before.get(topic, 0)) / seconds
        for topic, count in accepted.items()
    }
    return topics, published
