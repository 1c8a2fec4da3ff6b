"""What a consuming worker knows of itself: partitions, counts, rates, lag."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Any

from mode import Service

from trunkline.delivery.app import DeliveryApp

#: Rates are over this window.
WINDOW_S = 10.0
_SAMPLE_S = 1.0


class Rates(Service):
    """Sample the counters every second, so that rates need no work on the hot path."""

    mundane_level = "debug"

    def __init__(self, app: DeliveryApp, **options: Any) -> None:
        self._app = app
        self._samples: deque[tuple[float, dict[str, int]]] = deque()
        super().__init__(**options)

    @Service.task
    async def _sample(self) -> None:
        while not self.should_stop:
            self._samples.append((monotonic(), self._handled()))
            while self._samples[0][0] < monotonic() - WINDOW_S - _SAMPLE_S:
                self._samples.popleft()
            await self.sleep(_SAMPLE_S)

    def _handled(self) -> dict[str, int]:
        return {topic: t.counters.handled for topic, t in self._app.targets.items()}

    def per_s(self, topic: str) -> float:
        """Return how many events of a topic were handled a second, lately."""
        if not self._samples:
            return 0.0
        then, handled = self._samples[0]
        now = monotonic()
        if now - then < _SAMPLE_S / 2:
            return 0.0
        done = self._handled().get(topic, 0) - handled.get(topic, 0)
        return round(done / (now - then), 1)


def partition_stats(app: DeliveryApp, *, failures: bool = False) -> list[dict[str, Any]]:
    """Return position, committed offset, lag and unfinished events of the source partitions.

    With ``failures`` those of the failures partitions.

    ``lag`` counts what the group has not committed up to the last stable offset; it is None until
    the broker has told that offset.
    """
    rows = []
    for tp in sorted(app.assigned()):
        if tp.topic not in app.batched_topics:
            continue
        if (tp.topic in app.targets) == failures:
            continue
        tracker = app.consumer.trackers.get(tp)
        end = app.consumer.end_offset(tp)
        committed = tracker.committed if tracker else app.consumer._committed_offset[tp]
        known = committed if committed is not None and committed >= 0 else None
        rows.append(
            {
                "topic": tp.topic,
                "partition": tp.partition,
                "position": tracker.position if tracker else None,
                "committed": known,
                "end": end,
                "lag": None if end is None else max(0, end - (known or 0)),
                "unfinished": tracker.unfinished if tracker else 0,
                "paused": app.is_paused(tp),
            }
        )
    return rows


def delivery_stats(app: DeliveryApp, rates: Rates) -> dict[str, Any]:
    """Return the delivery part of ``/stats``."""
    partitions = partition_stats(app)
    waiting = partition_stats(app, failures=True)
    counters = [target.counters for target in app.targets.values()]
    topics = {
        topic: {
            **target.counters.as_dict(),
            "rate_per_s": rates.per_s(topic),
            "breaker": target.breaker.stats(),
            "flood_guard": target.guard.stats(),
        }
        for topic, target in app.targets.items()
    }
    return {
        "assigned": [f"{row['topic']}[{row['partition']}]" for row in partitions],
        "topics": topics,
        "handled": sum(c.handled for c in counters),
        "failed": sum(c.failed + c.invalid for c in counters),
        "dead": sum(c.dead for c in counters),
        "lost": app.lost,
        "unreadable": app.unreadable,
        "lag": _lag(partitions),
        "partitions": partitions,
        "blocked_keys": app.keeper.blocked,
        "retries": {
            **app.failures.stats(),
            "lag": _lag(waiting),
            "assigned": [row["partition"] for row in waiting],
        },
        "rebalances": app.rebalances,
        "last_rebalance": app.last_rebalance,
        "last_commit_s": round(app.last_commit_s, 4),
        "paused": app.pauses.names(),
        "state": app.drain.state,
    }


def _lag(partitions: list[dict[str, Any]]) -> int | None:
    lags = [row["lag"] for row in partitions]
    return None if None in lags else sum(lags)
