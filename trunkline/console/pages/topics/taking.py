"""What a question about a topic takes of the records that it reads, and how much it may hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

#: What one question may hold: a record may have 2 MiB, and there are four questions at once.
MOST_BYTES = 32 * 1024 * 1024


@dataclass
class Reading:
    """What was read.

    Attributes:
        records: Those that match.
        searched: How many were looked at.
        stopped: ``time``, ``count`` or ``size`` when there may be more, else ``""``.
        last_ms: Timestamp of the last one that was looked at.
        begins: Partition → its first offset.
        ends: Partition → the offset behind its last committed record.

    """

    records: list[Any] = field(default_factory=list)
    searched: int = 0
    stopped: str = ""
    last_ms: int | None = None
    begins: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)


class Taking:
    """Takes those records that match: of each partition the first ones, or the last ones."""

    def __init__(
        self,
        reading: Reading,
        matches: Callable[[Any], bool],
        stop_after: int | None,
        keep_last: int | None,
    ) -> None:
        self._reading = reading
        self._matches = matches
        self._stop_after = stop_after
        self._keep_last = keep_last
        self._kept: dict[int, deque[Any]] = {}
        self._bytes = 0

    @property
    def records(self) -> list[Any]:
        """What was taken."""
        return [record for kept in self._kept.values() for record in kept]

    def __call__(self, partition: int, records: list[Any]) -> None:
        """Take a partition's next records."""
        reading = self._reading
        for record in records:
            if record.offset >= reading.ends[partition] or self.is_full(partition):
                return
            reading.searched += 1
            reading.last_ms = max(reading.last_ms or 0, record.timestamp)
            if self._matches(record):
                self._keep(self._kept.setdefault(partition, deque()), record)

    def is_full(self, partition: int) -> bool:
        """Return whether no more of a partition are wanted."""
        return len(self._kept.get(partition, ())) == self._stop_after

    def _keep(self, kept: deque[Any], record: Any) -> None:
        kept.append(record)
        self._bytes += _size(record)
        if self._keep_last is not None and len(kept) > self._keep_last:
            self._bytes -= _size(kept.popleft())
        if self._bytes <= MOST_BYTES:
            return
        self._reading.stopped = "size"
        while self._keep_last is not None and self._bytes > MOST_BYTES:
            longest = max(self._kept.values(), key=len)
            if len(longest) <= 1:
                return
            self._bytes -= _size(longest.popleft())


def _size(record: Any) -> int:
    return len(record.key or b"") + len(record.value or b"")
