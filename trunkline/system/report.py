"""What a pod says of itself: the wire contract of ``trunkline.workers``.

A record's key is the pod's name, its value one :class:`WorkerReport` as JSON; a tombstone says
that the pod ended in good order. The settings that a pod runs with never change, so they have a
record of their own, keyed ``settings:<pod>``.
"""

from __future__ import annotations

from typing import Any

import msgspec

FORMAT = 1
#: How often a pod reports, and after how long its silence is told.
REPORT_S = 2.0
STALE_S = 10.0
_SETTINGS = b"settings:"


class PartitionReport(msgspec.Struct, frozen=True, kw_only=True):
    """One source partition that a pod has.

    Attributes:
        topic: Real name.
        partition: Which one.
        position: Next offset to fetch.
        committed: What the group has committed, None when that is nothing.
        end: Last stable offset, None until Kafka has told it.
        lag: Offsets from the committed one to the end.
        unfinished: Events that were delivered and have not ended.
        paused: Whether an operator paused it.

    """

    topic: str
    partition: int
    position: int | None = None
    committed: int | None = None
    end: int | None = None
    lag: int | None = None
    unfinished: int = 0
    paused: bool = False


class TopicReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod did with one topic that its group reads.

    Attributes:
        counters: As in ``/stats``: ``handled``, ``failed``, ``dead`` and so on, since the start.
        rate_per_s: Events that were handled, over the last ten seconds.
        breaker: As in ``/stats``.
        flood_guard: As in ``/stats``.

    """

    counters: dict[str, int] = {}
    rate_per_s: float = 0.0
    breaker: dict[str, Any] = {}
    flood_guard: dict[str, Any] = {}


class RetriesReport(msgspec.Struct, frozen=True, kw_only=True):
    """What waits on the failures partitions that a pod has; as in ``/stats``."""

    waiting: int = 0
    parked: int = 0
    lanes: int = 0
    running: int = 0
    next_due_in_ms: int | None = None
    lateness_ms: dict[str, int] | None = None
    lag: int | None = None
    unreadable: int = 0
    partitions: list[dict[str, Any]] = []


class Rebalance(msgspec.Struct, frozen=True, kw_only=True):
    """The last rebalance: when, and what moved, as ``topic[partition]``."""

    at_ms: int = 0
    gained: list[str] = []
    lost: list[str] = []
    assigned: list[str] = []


class WorkerReport(msgspec.Struct, frozen=True, kw_only=True):
    """One pod at one moment.

    Attributes:
        format: Version of this contract; fields are added, never changed.
        service: Which service the pod belongs to.
        pod: Its name.
        group: Real name of its consumer group, None for publishers.
        consumes: Whether it reads topics in that group.
        host: Name of its host.
        pid: Its process there.
        url: Where it serves.
        version: Of Trunkline.
        incarnation: Another one after every start; what a drain is addressed to.
        at_ms: When it reported.
        started_at_ms: When it started.
        ready: As ``/health/ready``, with the reason.
        live: As ``/health/live``, with the reason.
        state: ``working``, ``draining``, ``drained`` or ``stopping``.
        memory_bytes: Resident memory.
        cpu_s: Processor time since the start.
        topics: By real name.
        partitions: The source partitions that it has.
        retries: What waits on it; None for pods without a group.
        blocked_keys: Keys whose events are parked behind a failed one.
        lost: Offsets that retention took before they were handled.
        unreadable: How often a batch could not be read.
        last_commit_s: How long the last commit took.
        rebalances: Since the start.
        last_rebalance: What moved then.
        pauses: What of its group is paused, as ``topic`` or ``topic[partition]``.
        published: As in ``/stats``.
        notifications: As in ``/stats``.
        dead_letters: As in ``/stats`` of the dlq service, without the list.
        tables: What Faust tables hold, by name: ``rows``, ``windows``, ``count``, ``newest``.
        database: URL of the SQL database that the pod uses, masked; empty: none.
        extra: What else ``/stats`` has, for pods of later releases.
        settings_digest: The same for pods that run with the same settings.

    """

    service: str
    pod: str
    incarnation: str
    at_ms: int
    started_at_ms: int
    format: int = FORMAT
    group: str | None = None
    consumes: bool = False
    host: str = ""
    pid: int = 0
    url: str = ""
    version: str = ""
    ready: bool = False
    ready_reason: str = ""
    live: bool = True
    live_reason: str = ""
    state: str = "working"
    memory_bytes: int = 0
    cpu_s: float = 0.0
    topics: dict[str, TopicReport] = {}
    partitions: list[PartitionReport] = []
    retries: RetriesReport | None = None
    blocked_keys: int = 0
    lost: int = 0
    unreadable: int = 0
    last_commit_s: float = 0.0
    rebalances: int = 0
    last_rebalance: Rebalance = Rebalance()
    pauses: list[str] = []
    published: dict[str, Any] = {}
    notifications: dict[str, Any] = {}
    dead_letters: dict[str, Any] = {}
    tables: dict[str, dict[str, Any]] = {}
    database: str = ""
    extra: dict[str, Any] = {}
    settings_digest: str = ""

    def total(self, counter: str) -> int:
        """Return a counter's sum over the topics."""
        return sum(topic.counters.get(counter, 0) for topic in self.topics.values())


class SettingsReport(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that a pod runs with, secrets masked.

    Attributes:
        service: Which service the pod belongs to.
        pod: Its name.
        incarnation: As in its reports.
        at_ms: When it was written.
        values: Variable to value; JSON types.
        changed: Variables that differ from their defaults.
        digest: Of the values.

    """

    service: str
    pod: str
    incarnation: str
    at_ms: int
    values: dict[str, Any]
    changed: list[str] = []
    digest: str = ""
    format: int = FORMAT


_encoder = msgspec.json.Encoder()
_reports = msgspec.json.Decoder(WorkerReport)
_settings = msgspec.json.Decoder(SettingsReport)


def encode(report: WorkerReport | SettingsReport) -> bytes:
    """Return a report as the value of a record."""
    return _encoder.encode(report)


def report_key(pod: str) -> bytes:
    """Return the key of a pod's reports."""
    return pod.encode()


def settings_key(pod: str) -> bytes:
    """Return the key of a pod's settings; no pod's name has a colon in it."""
    return _SETTINGS + pod.encode()


def read_key(key: bytes) -> tuple[str, bool]:
    """Return the pod that a key names, and whether the record is one of settings."""
    is_settings = key.startswith(_SETTINGS)
    return key.removeprefix(_SETTINGS).decode("utf-8", "replace"), is_settings


def decode_report(value: bytes) -> WorkerReport:
    """Read a report; fields of later releases are passed over.

    Raises:
        msgspec.MsgspecError: It is none.

    """
    return _reports.decode(value)


def decode_settings(value: bytes) -> SettingsReport:
    """Read a pod's settings.

    Raises:
        msgspec.MsgspecError: They are none.

    """
    return _settings.decode(value)
