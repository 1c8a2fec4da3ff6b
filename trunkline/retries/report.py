"""Waiting events for programs: what ``--json`` prints, and ``/api/retries`` answers."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable
from typing import Any, get_args

from models.failures import ErrorInfo
from trunkline.retries.inspection import Status, WaitingEvent


def counts_of(events: Iterable[WaitingEvent], now_ms: int) -> dict[str, int]:
    """Return how many events have which status."""
    counts = Counter(event.status(now_ms) for event in events)
    return {status: counts[status] for status in get_args(Status)}


def event_to_dict(event: WaitingEvent, now_ms: int, *, full: bool = False) -> dict[str, Any]:
    """Return an event for programs; with ``full`` headers, payload and stack traces, too."""
    entry, state = event.entry, event.entry.state
    known: dict[str, Any] = {
        "id": str(event.id),
        **event.id._asdict(),
        "group": event.group,
        "failures_partition": event.partition,
        "key": bytes_to_json(entry.key),
        "status": event.status(now_ms),
        "attempts": state.attempts,
        "due_at_ms": state.due_at_ms,
        "redrives": entry.redrives,
        "first_error": _error_to_dict(state.first_error, full=full),
        "last_error": _error_to_dict(state.last_error, full=full),
    }
    if full:
        known |= {
            "holds_key": entry.held,
            "headers": [[name, bytes_to_json(value)] for name, value in entry.headers],
            "value": bytes_to_json(entry.value),
            "left_out_bytes": entry.left_out_bytes,
        }
    return known


def _error_to_dict(error: ErrorInfo | None, *, full: bool) -> dict[str, Any] | None:
    if error is None:
        return None
    fields = ("kind", "exception", "message", "at_ms", *(("stacktrace",) if full else ()))
    return {name: getattr(error, name) for name in fields}


def bytes_to_json(raw: bytes | None) -> dict[str, str] | None:
    """Return bytes as JSON can carry them: ``{"text": …}`` where they are UTF-8, else base64."""
    if raw is None:
        return None
    try:
        return {"text": raw.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(raw).decode()}
