"""Windowed counts of user activity: a Faust table with its changelog in Kafka."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, NamedTuple

from models import ActivityRecorded
from trunkline.delivery.handler import Context


class Window(NamedTuple):
    """What one counter counts: key of the table, ``partition|start|event|source`` on the wire."""

    partition: int
    start_s: int
    event: str
    source: str

    @property
    def key(self) -> str:
        """Return the table's key; the names come last, so they may contain anything."""
        return f"{self.partition}|{self.start_s}|{len(self.event)}|{self.event}|{self.source}"

    @classmethod
    def of_key(cls, key: str) -> Window:
        """Read a table's key."""
        partition, start_s, length, names = key.split("|", 3)
        cut = int(length)
        return cls(int(partition), int(start_s), names[:cut], names[cut + 1 :])


class ActivityCounts:
    """Count events by window, event name and source, each event once however often delivered.

    Each partition has counters of its own, and each counter keeps the offset of the last event that
    it counted: an event at or below it was counted before. The sum over the partitions is the
    count. Windows follow the record's timestamp; those older than what is kept are deleted.

    Args:
        table: The Faust table: key → ``{"count": int, "offset": int}``.
        width_s: Width of a window.
        kept: How many windows are kept, the current one included.

    """

    def __init__(
        self,
        table: MutableMapping[str, dict[str, int]],
        width_s: int,
        kept: int,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._width_s = width_s
        self._kept = kept
        self._now_s = now_s
        self._swept: dict[int, int] = {}
        #: Events that were older than the oldest window that is kept.
        self.late = 0
        #: Events from more than a window ahead of this pod's clock: they would never be deleted.
        self.early = 0

    def count(self, events: Iterable[ActivityRecorded], contexts: Iterable[Context]) -> None:
        """Count a batch of one partition's events, in order: one table write for each counter."""
        oldest = self._oldest_s()
        # A publisher's clock may run ahead, but not a window's width.
        newest = oldest + self._kept * self._width_s
        offsets: dict[Window, list[int]] = defaultdict(list)
        for event, context in zip(events, contexts, strict=True):
            start_s = context.timestamp_ms // 1000 // self._width_s * self._width_s
            if start_s < oldest:
                self.late += 1
            elif start_s > newest:
                self.early += 1
            else:
                window = Window(context.partition, start_s, event.event, event.source)
                offsets[window].append(context.offset)
        for window, found in offsets.items():
            self._add(window.key, found)
        for partition in {window.partition for window in offsets}:
            self._sweep(partition, oldest)

    def _add(self, key: str, offsets: list[int]) -> None:
        counter = self._table.get(key) or {"count": 0, "offset": -1}
        new = sum(offset > counter["offset"] for offset in offsets)
        if new:
            self._table[key] = {
                "count": counter["count"] + new,
                "offset": max(counter["offset"], offsets[-1]),
            }

    def _oldest_s(self) -> int:
        current = int(self._now_s()) // self._width_s * self._width_s
        return current - (self._kept - 1) * self._width_s

    def _sweep(self, partition: int, oldest_s: int) -> None:
        if self._swept.get(partition) == oldest_s:
            return
        self._swept[partition] = oldest_s
        for key in list(self._table):
            window = Window.of_key(key)
            if window.partition == partition and window.start_s < oldest_s:
                del self._table[key]

    def rows(self, partitions: Iterable[int]) -> list[dict[str, Any]]:
        """Return the counts over the given partitions, newest window first."""
        wanted, oldest = set(partitions), self._oldest_s()
        sums: dict[tuple[int, str, str], int] = defaultdict(int)
        for key, counter in self._table.items():
            window = Window.of_key(key)
            if window.partition in wanted and window.start_s >= oldest:
                sums[window.start_s, window.event, window.source] += counter["count"]
        return [
            {"window_start_s": start, "event": event, "source": source, "count": count}
            for (start, event, source), count in sorted(sums.items(), reverse=True)
        ]
