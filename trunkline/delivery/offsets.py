"""Which offset of a partition may be committed: pure bookkeeping, no Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class OffsetTracker:
    """Follow one partition's events from delivery to their end, for one assignment.

    Events may finish in any order; what may be committed is the offset below which every event has
    finished. Offsets have holes (compaction, transaction markers), so the tracker knows the events
    that were delivered, not a range of numbers. A rebalance ends the assignment: the tracker is
    closed, and whatever finishes afterwards changes nothing.

    Attributes:
        position: The next offset that the consumer will fetch.
        committed: The offset that the group has committed, as far as this assignment knows.
        fresh: Whether the group had committed nothing when the assignment began.
        unfinished_bytes: Size of the events that have not finished, as far as it was given.
        closed: Whether the partition was given away.

    """

    __slots__ = ("_open", "closed", "committed", "fresh", "position", "unfinished_bytes")

    def __init__(self, position: int) -> None:
        self.position = position
        self.committed = position
        self.fresh = False
        self.unfinished_bytes = 0
        self.closed = False
        # Offset → size. Insertion order is offset order, so the first is the oldest unfinished.
        self._open: dict[int, int] = {}

    def begin(self, committed: int | None) -> None:
        """Note what the group had committed when the assignment began; None for nothing."""
        self.fresh = committed is None
        self.committed = -1 if committed is None else committed

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

    def deliver(self, offsets: Sequence[int], position: int, size_bytes: int = 0) -> None:
        """Note that events were fetched, in the order of their offsets.

        Args:
            offsets: Their offsets, ascending, each at least the current position.
            position: The consumer's position behind them.
            size_bytes: Of all of them; each counts as the average.

        """
        average = size_bytes // len(offsets) if offsets else 0
        self._open.update(dict.fromkeys(offsets, average))
        self.unfinished_bytes += average * len(offsets)
        self.position = position

    def finish(self, offset: int) -> None:
        """Note that an event was handled or handed over. A second time changes nothing."""
        if not self.closed:
            self.unfinished_bytes -= self._open.pop(offset, 0)

    def finish_many(self, offsets: Iterable[int]) -> None:
        """Note that several events were handled."""
        if not self.closed:
            pop = self._open.pop
            self.unfinished_bytes -= sum(pop(offset, 0) for offset in offsets)

    def commit_done(self, offset: int) -> None:
        """Note that the group has committed an offset."""
        if not self.closed:
            self.committed = max(self.committed, offset)

    def close(self) -> None:
        """End the assignment: nothing of it will be committed any more."""
        self.closed = True
        self._open.clear()
        self.unfinished_bytes = 0
