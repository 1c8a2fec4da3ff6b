"""How fast topics grow: from one reading of their ends to the next, for a quarter of an hour."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from trunkline.system.brokers import ASK_S, BrokersView
from trunkline.system.history import KEPT_S

#: Rates are over this window.
_WINDOW_S = 15.0


class _Reading(NamedTuple):
    at_s: float
    ends: Mapping[tuple[str, int], int]


class Flow:
    """The ends of all topics at the last readings."""

    def __init__(self) -> None:
        self._readings: deque[_Reading] = deque(maxlen=int(KEPT_S / ASK_S))

    def note(self, view: BrokersView) -> None:
        """Take a reading; one that failed brings nothing new."""
        if not view.error and (not self._readings or view.at_s > self._readings[-1].at_s):
            self._readings.append(_Reading(view.at_s, view.ends))

    def per_s(self, topic: str, partition: int | None = None) -> float | None:
        """Return the records a second of a topic, or of one partition; None when not known yet."""
        if len(self._readings) < 2:
            return None
        last = self._readings[-1]
        first = next(r for r in self._readings if r.at_s >= last.at_s - _WINDOW_S)
        return _rate(first, last, topic, partition) if first is not last else None

    def series(self, topic: str) -> tuple[list[float], list[float]]:
        """Return times (Unix seconds) and the records a second since the reading before."""
        readings = list(self._readings)
        pairs = list(pairwise(readings))
        return [last.at_s for _, last in pairs], [_rate(a, b, topic) for a, b in pairs]


def _rate(first: _Reading, last: _Reading, topic: str, partition: int | None = None) -> float:
    grown = sum(
        max(0, end - first.ends.get(place, end))
        for place, end in last.ends.items()
        if place[0] == topic and partition in (None, place[1])
    )
    return round(grown / max(0.001, last.at_s - first.at_s), 2)
