"""Which offset of a partition may be committed: pure bookkeeping, no Kafka."""

from __future__ import annotations

from collections.abc import Iterable


class OffsetTracker:
    """Follow one partition's events from delivery to their end, for one assignment.

    Events may finish in any order; what may be committed is the offset below which every event has
    finished. Offsets have holes (compaction, transaction markers), so the tracker knows the events
    that were delivered, not a range of numbers. A rebalance ends the assignment: the tracker is
    closed, and whatever finishes afterwards changes nothing.

    Attributes:
        position: The next offset that the consumer will fetch.
        committed: The offset that the group has committed, as far as this assignment knows.
        closed: Whether the partition was given away.

    """

    __slots__ = ("_open", "closed", "committed", "position")

    def __init__(self, position: int) -> None:
        self.position = position
        self.committed = position
        self.closed = False
        # Insertion order is offset order, so the first key is the oldest unfinished event.
        self._open: dict[int, None] = {}

    @property
    def unfinished(self) -> int:
        """How many delivered events have not finished."""
        return len(self._open)

    @property
    def committable(self) -> int:
        """The offset that may be committed: the oldest unfinished event, else the position."""
        return next(iter(self._open), self.position)

    @property
    def oldest_unfinished(self) -> int | None:
        """Offset of the oldest event that has not finished, if there is one."""
        return next(iter(self._open), None)

    def deliver(self, offsets: Iterable[int], position: int) -> None:
        """Note that events were fetched, in the order of their offsets.

        Args:
            offsets: Their offsets, ascending, each at least the current position.
            position: The consumer's position behind them.

        """
        self._open.update(dict.fromkeys(offsets))
        self.position = position

    def finish(self, offset: int) -> None:
        """Note that an event was handled or handed over. A second time changes nothing."""
        if not self.closed:
            self._open.pop(offset, None)

    def finish_many(self, offsets: Iterable[int]) -> None:
        """Note that several events were handled."""
        if not self.closed:
            for offset in offsets:
                self._open.pop(offset, None)

    def commit_done(self, offset: int) -> None:
        """Note that the group has committed an offset."""
        if not self.closed:
            self.committed = max(self.committed, offset)

    def close(self) -> None:
        """End the assignment: nothing of it will be committed any more."""
        self.closed = True
        self._open.clear()
