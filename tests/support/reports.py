"""Reports of pods for tests, as a pod would send them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from trunkline.system.report import TopicReport, WorkerReport, encode, report_key

NOW_S = 1_800_000_000.0


def report(pod: str = "engine.1", *, at_s: float = NOW_S, **fields: Any) -> WorkerReport:
    """Return a report of a healthy pod of the engine, with some fields changed."""
    whole: dict[str, Any] = {
        "service": "engine",
        "incarnation": "first",
        "started_at_ms": int((NOW_S - 3600) * 1000),
        "group": "engine-group",
        "consumes": True,
        "ready": True,
        **fields,
    }
    return WorkerReport(pod=pod, at_ms=int(at_s * 1000), **whole)


def counted(**counters: int) -> dict[str, TopicReport]:
    """Return the topics of a report: one, with these counters."""
    return {"order.created": TopicReport(counters=counters)}


def record(said: WorkerReport) -> Any:
    """Return the record that carries a report."""
    return SimpleNamespace(
        topic="trunkline.workers",
        partition=0,
        offset=0,
        timestamp=said.at_ms,
        key=report_key(said.pod),
        value=encode(said),
    )


def tombstone(pod: str) -> Any:
    """Return the record that says that a pod has ended."""
    return SimpleNamespace(key=report_key(pod), value=None, timestamp=0)
