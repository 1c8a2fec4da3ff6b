"""What is wrong, worst first, each with the page that says more: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from trunkline.system.brokers import ASK_S, BrokersView
from trunkline.system.groups import FRESH_S, GroupState
from trunkline.system.history import Point
from trunkline.system.workers import Worker

Severity = Literal["critical", "warning", "info"]
_ORDER: dict[Severity, int] = {"critical": 0, "warning": 1, "info": 2}

#: Dead letters count as new for so long.
NEW_DEAD_LETTERS_S = 600.0
#: A lag below this is the pulse of a busy group.
_LEAST_GROWING_LAG = 100
#: It grows when it grew in each of these spans.
GROWING_STEP_S, _GROWING_STEPS = 20.0, 3
#: An attempt that is later than this is overdue.
_OVERDUE_MS = 5_000
#: Whoever is silent for longer is gone, and what that means has alarms of its own.
_GONE_S = 900.0
#: A pod may take so long to be ready after its start.
_START_S = 60.0
_MANY = 3


@dataclass(frozen=True)
class Alarm:
    """One thing that is wrong, or that an operator has done and may have forgotten.

    Attributes:
        kind: Which check found it: ``stale``, ``no-worker``, ``lag-growing`` and so on.
        severity: ``critical``: events are not handled; ``warning``: look into it today; ``info``.
        text: What is wrong, and where.
        link: The page that says more.
        subject: What it is about: a pod, a group or a topic.

    """

    kind: str
    severity: Severity
    text: str
    link: str
    subject: str


@dataclass(frozen=True)
class Situation:
    """All that the checks look at.

    Attributes:
        now_s: Unix time.
        workers: Every pod, stale ones included.
        groups: Every group.
        brokers: What the brokers said last.
        points: The history, oldest first.
        lags: Group → its lag by time, oldest first.
        unknown: Services that have pods and are not in the topology of this process.
        pauses: Group → what of it is paused, as ``topic`` or ``topic[partition]``.
        reading: Whether the reports are being read; without them nothing is known.

    """

    now_s: float
    workers: Sequence[Worker] = ()
    groups: Sequence[GroupState] = ()
    brokers: BrokersView = field(default_factory=BrokersView)
    points: Sequence[Point] = ()
    lags: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    pauses: dict[str, list[str]] = field(default_factory=dict)
    reading: bool = True
    unknown: Sequence[str] = ()


def alarms(situation: Situation) -> list[Alarm]:
    """Return what is wrong, the worst first."""
    brokers = list(_brokers(situation))
    if any(alarm.kind == "kafka-away" for alarm in brokers):
        return brokers  # every pod is silent then, and each alarm of its own would hide the cause
    found = [
        *brokers,
        *_pods(situation),
        *_groups(situation),
        *_dead_letters(situation),
        *_orders(situation),
    ]
    return sorted(found, key=lambda alarm: _ORDER[alarm.severity])


def health(found: Sequence[Alarm], situation: Situation) -> tuple[str, str]:
    """Return ``ok``, ``degraded`` or ``failing``, and why in one line."""
    bad = [alarm for alarm in found if alarm.severity != "info"]
    if not bad:
        return "ok", _well(found, situation)
    state = "failing" if bad[0].severity == "critical" else "degraded"
    return state, bad[0].text + _more(bad)


def _well(notes: Sequence[Alarm], situation: Situation) -> str:
    pods = sum(1 for w in situation.workers if not w.is_stale(situation.now_s))
    lags = [group.lag for group in situation.groups]
    lag = "unknown" if None in lags else f"{sum(lag or 0 for lag in lags):,}"
    who = f"{'1 pod reports' if pods == 1 else f'{pods} pods report'}, lag {lag}"
    if not notes:
        return f"All is well: {who}."
    return f"No alarm: {who}. To note: {notes[0].text}{_more(notes)}"


def _more(found: Sequence[Alarm]) -> str:
    return f" And {len(found) - 1} more." if len(found) > 1 else ""


def why_away(now: Situation) -> str:
    """Return that Kafka is away, and why; empty while it answers.

    Then nothing is known of pods and groups: who is silent may well run.
    """
    brokers = now.brokers
    age_s = now.now_s - brokers.at_s
    # Pods are silent a little before a reading of the brokers is old.
    is_silent = bool(brokers.error) and all(w.is_stale(now.now_s) for w in now.workers)
    if now.reading and age_s <= (ASK_S if is_silent else FRESH_S):
        return ""
    why = brokers.error or "no answer yet"
    return f"{why if why.startswith('Kafka ') else f'Kafka does not answer: {why}'}."


def _brokers(now: Situation) -> Iterable[Alarm]:
    brokers, link = now.brokers, "/console/topics"
    if why := why_away(now):
        yield Alarm("kafka-away", "critical", why, link, "kafka")
        return
    if brokers.leaderless:
        text = f"Partitions without a leader, so nobody can use them: {_few(brokers.leaderless)}."
        yield Alarm("leaderless", "critical", text, link, "kafka")
    if brokers.under_replicated:
        text = (
            f"{len(brokers.under_replicated)} partitions lack in-sync copies: "
            f"{_few(brokers.under_replicated)}. A broker is away or behind."
        )
        yield Alarm("under-replicated", "warning", text, link, "kafka")
    if brokers.missing:
        text = f"Topics are missing: {_few(brokers.missing)}. Run trunkline topics apply."
        yield Alarm("missing-topics", "critical", text, link, "kafka")


def _pods(now: Situation) -> Iterable[Alarm]:
    for worker in now.workers:
        report, link = worker.report, f"/console/services#{worker.report.pod}"

        def alarm(
            kind: str, severity: Severity, text: str, link: str = link, pod: str = report.pod
        ) -> Alarm:
            return Alarm(kind, severity, f"{pod} {text}", link, pod)

        if worker.is_stale(now.now_s):
            age_s = worker.age_s(now.now_s)
            # A Deployment's pod whose node died never says goodbye: it is not critical for a day.
            severity: Severity = "critical" if age_s < _GONE_S else "warning"
            yield alarm("stale", severity, f"has not reported for {_duration(age_s)}.")
            continue
        if not report.live:
            yield alarm("stuck", "critical", f"is stuck: {report.live_reason}.")
        is_up = now.now_s - report.started_at_ms / 1000 > _START_S
        if not report.ready and report.state == "working" and is_up:
            yield alarm("not-ready", "warning", f"is not ready: {report.ready_reason}.")
        if report.lost:
            text = f"LOST {report.lost:,} events: retention deleted them before they were handled."
            yield alarm("lost", "critical", text)
        if report.unreadable:
            yield alarm("unreadable", "critical", "meets a batch that cannot be read.")


def _groups(now: Situation) -> Iterable[Alarm]:
    for group in now.groups:
        link = f"/console/services?group={group.group}"
        has_idle_pods = any(
            w.report.service == group.service and not w.report.consumes for w in now.workers
        )
        if not group.pods and group.lag and not has_idle_pods:
            text = f"{group.group} has no worker, and {group.lag:,} events wait for it."
            yield Alarm("no-worker", "critical", text, link, group.group)
        elif _grows(now.lags.get(group.group, ()), now.now_s) and not now.pauses.get(group.group):
            text = f"The lag of {group.group} grows: {group.lag or 0:,} events."
            yield Alarm("lag-growing", "warning", text, link, group.group)
        yield from _topics(group, link)
        if group.overdue_ms > _OVERDUE_MS and not now.pauses.get(group.group):
            late = _duration(group.overdue_ms / 1000)
            text = f"Retries of {group.group} are {late} late."
            to = f"/console/retries?group={group.group}"
            yield Alarm("retries-overdue", "warning", text, to, group.group)


def _topics(group: GroupState, link: str) -> Iterable[Alarm]:
    for topic in group.topics.values():
        if topic.tripped_guards:
            text = (
                f"The flood guard stopped {topic.topic} on {_few(topic.tripped_guards)}: most of "
                "its events would become dead letters."
            )
            to = f"/console/dead-letters?topic={topic.topic}"
            yield Alarm("flood-guard", "critical", text, to, topic.topic)
        if topic.open_breakers:
            text = (
                f"{topic.topic} waits on {_few(topic.open_breakers)}: what its handler needs is "
                "away, or nearly all attempts fail."
            )
            yield Alarm("breaker", "critical", text, link, topic.topic)


def _dead_letters(now: Situation) -> Iterable[Alarm]:
    points = [point for point in now.points if point.at_s >= now.now_s - NEW_DEAD_LETTERS_S]
    new = sum(max(0, after.dead - before.dead) for before, after in pairwise(points))
    if new:
        minutes = round(NEW_DEAD_LETTERS_S / 60)
        plural = "event" if new == 1 else "events"
        text = f"{new:,} {plural} became dead letters within the last {minutes} minutes."
        yield Alarm("dead-letters", "warning", text, "/console/dead-letters", "dead letters")
    if count := _open_dead_letters(now):
        are, them = ("letter is", "it") if count == 1 else ("letters are", "them")
        text = f"{count:,} dead {are} open: nobody has dealt with {them}."
        yield Alarm("open-dead-letters", "info", text, "/console/dead-letters", "dead letters")


def _open_dead_letters(now: Situation) -> int:
    """Return how many are open, as the pods of the index say; 0 when none says so."""
    said = [w.report.dead_letters.get("open") for w in now.workers if not w.is_stale(now.now_s)]
    return max((count for count in said if isinstance(count, int)), default=0)


def _orders(now: Situation) -> Iterable[Alarm]:
    """What an operator ordered, lest it is forgotten."""
    for group, paused in now.pauses.items():
        text = f"{group} is paused on {_few(paused)}, by an operator."
        yield Alarm("paused", "info", text, f"/console/services?group={group}", group)
    for worker in now.workers:
        if worker.report.state in ("draining", "drained") and not worker.is_stale(now.now_s):
            text = f"{worker.report.pod} is {worker.report.state}, by an operator."
            yield Alarm("drained", "info", text, "/console/services", worker.report.pod)
    for service in now.unknown:
        text = (
            f"Pods of {service} report, a service that is not in this release: its group and "
            "topics are not shown. Update whoever shows this."
        )
        yield Alarm("unknown-service", "info", text, f"/console/services#{service}", service)
    yield from _differences(now)


def _differences(now: Situation) -> Iterable[Alarm]:
    """Pods of one service that run with different settings or versions."""
    services: dict[str, set[tuple[str, str]]] = {}
    for worker in now.workers:
        if not worker.is_stale(now.now_s):
            seen = services.setdefault(worker.report.service, set())
            seen.add((worker.report.version, worker.report.settings_digest))
    for service, seen in services.items():
        if len(seen) > 1:
            text = f"Pods of {service} run with different settings or versions."
            yield Alarm("settings-differ", "info", text, f"/console/settings#{service}", service)


def _grows(lags: Sequence[tuple[float, int]], now_s: float) -> bool:
    """Whether the lag is larger than it was, at each of the last steps."""
    if not lags or lags[-1][1] < _LEAST_GROWING_LAG:
        return False
    values = [lags[-1][1]]
    for step in range(1, _GROWING_STEPS + 1):
        earlier = [lag for at_s, lag in lags if at_s <= now_s - step * GROWING_STEP_S]
        if not earlier:
            return False
        values.append(earlier[-1])
    return all(later > before for later, before in pairwise(values))


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MANY])
    return f"{shown} and {len(names) - _MANY} more" if len(names) > _MANY else shown


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
