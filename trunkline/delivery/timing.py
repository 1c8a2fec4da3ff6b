"""How long things take, in buckets: cheap enough for the path of every event."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

#: Upper bounds in seconds. The first is far above what a handler takes that only computes.
BOUNDS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: Most events of a handler that are timed together.
LONGEST_RUN = 64


class Histogram:
    """Counts by duration since the worker started.

    Attributes:
        bounds: Upper bounds of the buckets, in seconds; one more bucket has all that took longer.
        counts: How many fell into each bucket, not cumulated.
        sum_s: All durations together.

    """

    __slots__ = ("bounds", "counts", "sum_s")

    def __init__(self, bounds: Sequence[float] = BOUNDS_S) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum_s += seconds


class RunTimer:
    """Time a handler's events in runs: as long as they are quick, one look at the clock for many.

    A run that took no longer than the first bucket's bound had only events that belong there: that
    is exact, and costs two readings of the clock for up to 64 events. When a run took longer, the
    time that its events do not usually take is counted as one event's, and the next events are
    timed one by one until they are quick again. So a slow handler's events are each timed by
    themselves; of a quick one's, slow ones in the midst of a run count as one. Number and sum of
    the durations are exact in any case.

    Args:
        histogram: What is counted into; shared by all partitions of a topic.

    """

    __slots__ = ("_each_s", "_histogram", "stride")

    def __init__(self, histogram: Histogram) -> None:
        #: How many events to take before the next call of :meth:`note`.
        self.stride = 1
        self._histogram = histogram
        self._each_s = 0.0

    def note(self, events: int, seconds: float) -> None:
        """Count a run: how many events it had, and how long all of them took."""
        histogram = self._histogram
        quick_s = histogram.bounds[0]
        if seconds <= quick_s:
            histogram.counts[0] += events
            histogram.sum_s += seconds
            self._each_s = seconds / events
            if seconds * 2 <= quick_s and self.stride < LONGEST_RUN:
                self.stride *= 2
            return
        self.stride = 1
        others_s = min(self._each_s, seconds / events) * (events - 1)
        histogram.counts[0] += events - 1
        histogram.sum_s += others_s
        histogram.observe(seconds - others_s)
