"""The system on a screen and as JSON: health, alarms, groups, pods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from trunkline.cli.escaping import harmless
from trunkline.cli.screen import table
from trunkline.console.formats import duration, number, rate, size
from trunkline.system.alarms import Alarm, Situation, alarms, health, why_away
from trunkline.system.groups import GroupState
from trunkline.system.workers import Worker

_HEALTH = {"ok": "bold green", "degraded": "bold yellow", "failing": "bold red"}
_SEVERITY = {"critical": "red", "warning": "yellow", "info": "dim"}
#: So many pods fit on a screen beside the rest; what is wrong with one comes first.
_PODS_SHOWN = 20
_ALARMS_SHOWN = 12
_WIDE = 110
_NUMBERS = (
    "pods",
    "lag",
    "events",
    "failed",
    "waiting",
    "parked",
    "dead",
    "partitions",
    "memory",
    "up",
    "reported",
)


def as_screen(situation: Situation) -> RenderableType:
    """Return the whole system: what is wrong, then the groups, then the pods."""
    found = alarms(situation)
    state, why = health(found, situation)
    line = Text.assemble((state.upper(), _HEALTH[state]), "  ", harmless(why))
    parts: list[RenderableType] = [line]
    if found:
        parts += [Text(), *_alarm_lines(found)]
    parts += [Text(), groups_table(situation)]
    if situation.workers:
        ordered = sorted(situation.workers, key=lambda w: _rank(w, situation.now_s))
        away = bool(why_away(situation))
        parts += [Text(), workers_table(ordered[:_PODS_SHOWN], situation.now_s, away=away)]
        if left := len(ordered) - _PODS_SHOWN:
            parts += [Text(f"… and {left} more: trunkline workers", "dim")] if left > 0 else []
    return Group(*parts)


def groups_table(situation: Situation) -> RenderableType:
    """Return a row for each group: lag, rates, and what failed."""
    headings = ("group", "pods", "lag", "events", "failed", "waiting", "parked", "dead")
    rows = [_group_row(group, situation) for group in situation.groups]
    return table(headings, rows, right=_NUMBERS, fold=("group",))


def workers_table(
    workers: Iterable[Worker],
    now_s: float,
    *,
    details: bool = False,
    width: int = 80,
    away: bool = False,
) -> RenderableType:
    """Return a row for each pod.

    Args:
        workers: Which ones.
        now_s: Unix time.
        details: Also when it reported, and where it serves if there is room for that.
        width: Of the screen.
        away: Whether Kafka is away: who is silent then may well run.

    """
    headings = ["pod", "state", "partitions", "events", "lag", "memory", "up"]
    headings += ["reported"] if details else []
    headings += ["serves"] if details and width >= _WIDE else []
    rows = [_worker_row(worker, now_s, away=away)[: len(headings)] for worker in workers]
    return table(headings, rows, right=_NUMBERS, fold=("pod", "state", "serves"))


def state_of(worker: Worker, now_s: float) -> str:
    """Return what a pod does, in a word or two."""
    report = worker.report
    if worker.is_stale(now_s):
        return f"STALE {duration(round(worker.age_s(now_s)))}"
    if not report.live:
        return "stuck"
    if report.state != "working":
        return report.state
    return "ready" if report.ready else "not ready"


def as_json(situation: Situation) -> dict[str, Any]:
    """Return all of it for programs: names of fields are those of the reports."""
    found = alarms(situation)
    state, why = health(found, situation)
    known: dict[str, Any] = msgspec.to_builtins(
        {
            "at_ms": int(situation.now_s * 1000),
            "health": {"state": state, "text": why},
            "alarms": found,
            "groups": situation.groups,
            "pauses": situation.pauses,
            "brokers": {
                "brokers": situation.brokers.brokers,
                "under_replicated": situation.brokers.under_replicated,
                "leaderless": situation.brokers.leaderless,
                "missing": situation.brokers.missing,
                "error": situation.brokers.error,
            },
        }
    )
    return known | {"workers": workers_as_json(situation.workers, situation.now_s)}


def workers_as_json(workers: Sequence[Worker], now_s: float) -> list[dict[str, Any]]:
    """Return the pods' reports, with their age and what follows from it."""
    return [
        {
            "pod": worker.report.pod,
            "state": state_of(worker, now_s),
            "stale": worker.is_stale(now_s),
            "age_s": round(worker.age_s(now_s), 1),
            "rates": msgspec.to_builtins(worker.rates),
            "report": msgspec.to_builtins(worker.report),
        }
        for worker in workers
    ]


def _alarm_lines(found: Sequence[Alarm]) -> Iterator[RenderableType]:
    for alarm in found[:_ALARMS_SHOWN]:
        style = _SEVERITY[alarm.severity]
        yield Text.assemble((f"{alarm.severity:<9}", style), harmless(alarm.text))
    if len(found) > _ALARMS_SHOWN:
        yield Text(f"… and {len(found) - _ALARMS_SHOWN} more: --json has all", "dim")


def _group_row(group: GroupState, situation: Situation) -> Sequence[str | Text]:
    topics = group.topics.values()
    pods = f"{len(group.pods)}" + (f" + {len(group.stale)} stale" if group.stale else "")
    pods, is_bad = ("?", False) if why_away(situation) else (pods, bool(group.stale))
    dead = sum(
        worker.report.total("dead")
        for worker in situation.workers
        if worker.report.group == group.group and not worker.is_stale(situation.now_s)
    )
    paused = " (paused)" if situation.pauses.get(group.group) else ""
    return (
        group.group + paused,
        Text(pods, "red" if is_bad else ""),
        "?" if group.lag is None else number(group.lag),
        rate(sum(topic.handled_per_s for topic in topics)),
        _alarming(rate(failed := sum(topic.failed_per_s for topic in topics)), failed),
        _alarming(number(group.waiting), group.waiting),
        number(group.parked),
        _alarming(number(dead), dead),
    )


def _alarming(text: str, count: float) -> Text:
    return Text(text, "yellow" if count else "")


def _worker_row(worker: Worker, now_s: float, *, away: bool) -> Sequence[str | Text]:
    report = worker.report
    is_unknown = away and worker.is_stale(now_s)
    state = "unknown" if is_unknown else state_of(worker, now_s)
    is_bad = not is_unknown and (worker.is_stale(now_s) or not report.live)
    style = "bold red" if is_bad else "green" if state == "ready" else "yellow"
    lags = [partition.lag for partition in report.partitions]
    lag = "?" if None in lags else number(sum(lag or 0 for lag in lags))
    events = worker.rate("handled", "recovered") + sum(worker.published.values())
    return (
        report.pod,
        Text(harmless(state), style),
        number(len(report.partitions)) if report.consumes else "-",
        "-" if worker.is_stale(now_s) else rate(events),
        lag if report.consumes else "-",
        size(report.memory_bytes),
        duration(round(now_s - report.started_at_ms / 1000)),
        f"{duration(round(worker.age_s(now_s)))} ago",
        report.url,
    )


def _rank(worker: Worker, now_s: float) -> tuple[int, str, str]:
    """Return what sorts pods: what is wrong first."""
    report = worker.report
    is_bad = worker.is_stale(now_s) or not report.live or not report.ready
    return (0 if is_bad else 1, report.service, report.pod)
