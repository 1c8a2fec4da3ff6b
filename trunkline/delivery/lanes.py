"""Which event may be handled next, so that a key's events never overtake each other."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol


class Keyed(Protocol):
    """What the lanes need to know of a record."""

    @property
    def key(self) -> Any:
        """The record's key; None when it has none."""

    @property
    def offset(self) -> int:
        """The record's offset."""


class KeyLanes:
    """Line up a partition's records by key: one running per key, the others behind it in order.

    A record without a key waits for nobody. The lanes hold only keys that have work, so their size
    is that of the unfinished records.
    """

    __slots__ = ("_busy", "_runnable")

    def __init__(self) -> None:
        self._runnable: deque[Any] = deque()
        self._busy: dict[bytes, deque[Any] | None] = {}

    def __len__(self) -> int:
        """How many records wait, runnable or not."""
        return len(self._runnable) + sum(len(lane) for lane in self._busy.values() if lane)

    def put(self, record: Keyed) -> None:
        """Add a record behind the others of its key."""
        key = record.key
        if key is None:
            self._runnable.append(record)
            return
        busy = self._busy
        if key not in busy:
            busy[key] = None
            self._runnable.append(record)
            return
        lane = busy[key]
        if lane is None:
            busy[key] = deque((record,))
        else:
            lane.append(record)

    def take(self) -> Any | None:
        """Return a record whose key is free to be handled, or None when there is none."""
        return self._runnable.popleft() if self._runnable else None

    def has_runnable(self) -> bool:
        """Whether :meth:`take` would return a record."""
        return bool(self._runnable)

    def done(self, record: Keyed) -> None:
        """Free the key of a taken record; its next one becomes runnable."""
        key = record.key
        if key is None:
            return
        lane = self._busy[key]
        if lane:
            self._runnable.append(lane.popleft())
        else:
            del self._busy[key]

    def drop_after(self, offset: int) -> None:
        """Forget the waiting records behind an offset; for the end, so their keys stay busy."""
        self._runnable = deque(r for r in self._runnable if r.offset <= offset)
        for key, lane in self._busy.items():
            if lane:
                self._busy[key] = deque(r for r in lane if r.offset <= offset)
