"""Report every two seconds how this pod is; never in the way of its work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import psutil
from mode import Service

import trunkline
from trunkline.delivery.producer import OutRecord, RecordProducer
from trunkline.errors import TrunklineError
from trunkline.settings import Settings
from trunkline.system.masking import changed_settings, digest_of, mask, shown_settings
from trunkline.system.report import (
    REPORT_S,
    PartitionReport,
    Rebalance,
    RetriesReport,
    SettingsReport,
    TopicReport,
    WorkerReport,
    encode,
    report_key,
    settings_key,
)
from trunkline.topology import ACTIVITY_TABLE

logger = logging.getLogger(__name__)

#: The settings are written again this often, for readers of a topic that keeps a day.
_SETTINGS_AGAIN_S = 600.0
_CONNECT_AGAIN_S = 2.0
#: Rows of a table of counts that a report carries.
_NEWEST_ROWS = 20
#: How long the last word may take when the pod ends.
_LAST_WORD_S = 1.0
_PROCESS = psutil.Process()
_STARTED_AT_MS = int(_PROCESS.create_time() * 1000)
#: One process is one incarnation of its pod.
INCARNATION = f"{_STARTED_AT_MS}-{os.getpid()}"
#: What of ``/stats`` has a place of its own in a report, or none.
_KNOWN = frozenset(
    {
        "activity",
        "assigned",
        "blocked_keys",
        "dead",
        "dead_letters",
        "failed",
        "group",
        "handled",
        "lag",
        "last_commit_s",
        "last_rebalance",
        "lost",
        "notifications",
        "partitions",
        "paused",
        "pod",
        "published",
        "rebalances",
        "retries",
        "service",
        "state",
        "topics",
        "unreadable",
    }
)

Stats = Callable[[], Mapping[str, Any]]
Check = Callable[[], tuple[bool, str]]


class Reporter(Service):
    """Send a :class:`WorkerReport` every two seconds, a tombstone when the pod ends in good order.

    While Kafka is away nothing is sent, nothing is queued, and nothing else notices.

    Args:
        settings: Where Kafka is, and what to say of the settings.
        topic: Real name of ``trunkline.workers``.
        stats: What ``/stats`` shows.
        is_ready: As for ``/health/ready``.
        is_live: As for ``/health/live``.
        group: Real name of the pod's group.
        url: Where the pod serves.
        consumes: Whether it reads topics in its group.
        database: URL of the SQL database that it uses; its password is masked.

    """

    mundane_level = "debug"

    def __init__(
        self,
        settings: Settings,
        topic: str,
        stats: Stats,
        is_ready: Check,
        *,
        is_live: Check = lambda: (True, ""),
        group: str | None = None,
        url: str = "",
        consumes: Callable[[], bool] = lambda: False,
        database: str = "",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._settings = settings
        self._topic = topic
        self._stats = stats
        self._is_ready = is_ready
        self._is_live = is_live
        self._group = group
        self._url = url
        self._consumes = consumes
        self._database = mask("database", database)
        values = shown_settings(settings)
        self._values = values
        self._digest = digest_of(values)
        self._producer: RecordProducer | None = None
        self._task: asyncio.Task[None] | None = None
        self._settings_at = -_SETTINGS_AGAIN_S
        self._said = False

    async def on_start(self) -> None:
        """Begin to report; does not wait for Kafka."""
        self._task = asyncio.create_task(self._report_forever(), name="reporter")

    async def on_stop(self) -> None:
        """Say goodbye, within about a second."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        producer, self._producer = self._producer, None
        if producer is None:
            return
        pod = self._settings.pod_name
        gone = [OutRecord(self._topic, None, key=key(pod)) for key in (report_key, settings_key)]
        with contextlib.suppress(TrunklineError, TimeoutError):
            async with asyncio.timeout(_LAST_WORD_S):
                await producer.send_many(gone)
        await producer.stop(0)

    async def _report_forever(self) -> None:
        producer = await self._connect()
        while True:
            try:
                await producer.send_many(self._records())
            except TrunklineError as error:
                # The next report says the same, but newer.
                self._say(f"Consoles do not hear of this pod: {error}")
                self._settings_at = -_SETTINGS_AGAIN_S
            except Exception:
                # A mistake of ours must not cost the worker more than its reports.
                logger.exception("Reporting failed; it is tried again")
                await asyncio.sleep(10 * REPORT_S)
            else:
                self._said = False
            await asyncio.sleep(REPORT_S)

    def _say(self, what: str) -> None:
        """Log why nothing is reported, once until something is again."""
        if not self._said:
            logger.warning("%s", what)
        self._said = True

    async def _connect(self) -> RecordProducer:
        producer = RecordProducer(
            self._settings.connection,
            f"{self._settings.pod_name}.reporter",
            request_timeout_s=5.0,
            metadata_max_age_s=self._settings.metadata_max_age_s,
        )
        self._producer = producer
        while True:
            try:
                await producer.start()
            except TrunklineError as error:
                self._say(f"Consoles do not hear of this pod yet: {error}")
                await asyncio.sleep(_CONNECT_AGAIN_S)
            else:
                return producer

    def _records(self) -> list[OutRecord]:
        pod = self._settings.pod_name
        records = [OutRecord(self._topic, encode(self.report()), key=report_key(pod))]
        if time.monotonic() - self._settings_at >= _SETTINGS_AGAIN_S:
            self._settings_at = time.monotonic()
            said = encode(self.settings_report())
            records.append(OutRecord(self._topic, said, key=settings_key(pod)))
        return records

    def report(self) -> WorkerReport:
        """Return how this pod is now."""
        stats = self._stats()
        ready, ready_reason = self._is_ready()
        live, live_reason = self._is_live()
        with _PROCESS.oneshot():
            times, memory = _PROCESS.cpu_times(), _PROCESS.memory_info()
        return WorkerReport(
            service=self._settings.service,
            pod=self._settings.pod_name,
            incarnation=INCARNATION,
            at_ms=int(time.time() * 1000),
            started_at_ms=_STARTED_AT_MS,
            group=self._group,
            consumes=self._consumes(),
            host=socket.gethostname(),
            pid=os.getpid(),
            url=self._url,
            version=trunkline.__version__,
            ready=ready,
            ready_reason=ready_reason,
            live=live,
            live_reason=live_reason,
            memory_bytes=memory.rss,
            cpu_s=round(times.user + times.system, 2),
            settings_digest=self._digest,
            database=self._database,
            **_from_stats(stats),
        )

    def settings_report(self) -> SettingsReport:
        """Return what this pod runs with."""
        return SettingsReport(
            service=self._settings.service,
            pod=self._settings.pod_name,
            incarnation=INCARNATION,
            at_ms=int(time.time() * 1000),
            values=self._values,
            changed=changed_settings(self._settings),
            digest=self._digest,
        )


def _from_stats(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a report that ``/stats`` has."""
    fields: dict[str, Any] = {
        "topics": {name: _topic(topic) for name, topic in stats.get("topics", {}).items()},
        "partitions": msgspec.convert(stats.get("partitions", []), list[PartitionReport]),
        "last_rebalance": msgspec.convert(stats.get("last_rebalance", {}), Rebalance),
        "state": stats.get("state", "working"),
        "pauses": stats.get("paused", []),
        "extra": {name: value for name, value in stats.items() if name not in _KNOWN},
    }
    for name in ("blocked_keys", "lost", "unreadable", "last_commit_s", "rebalances"):
        fields[name] = stats.get(name, 0)
    for name in ("published", "notifications"):
        fields[name] = stats.get(name, {})
    letters = stats.get("dead_letters", {})
    fields["dead_letters"] = {k: v for k, v in letters.items() if not isinstance(v, list)}
    if (activity := stats.get("activity")) is not None:
        fields["tables"] = {ACTIVITY_TABLE: _windows(activity)}
    if (retries := stats.get("retries")) is not None:
        fields["retries"] = msgspec.convert(retries, RetriesReport)
    return fields


def _windows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums of a table of windowed counts, and its newest rows."""
    return {
        "rows": len(rows),
        "windows": len({row["window_start_s"] for row in rows}),
        "count": sum(row["count"] for row in rows),
        "newest": list(rows[:_NEWEST_ROWS]),
    }


def _topic(topic: Mapping[str, Any]) -> TopicReport:
    counters = {name: n for name, n in topic.items() if isinstance(n, int)}
    return TopicReport(
        counters=counters,
        rate_per_s=topic.get("rate_per_s", 0.0),
        breaker=topic.get("breaker", {}),
        flood_guard=topic.get("flood_guard", {}),
    )
