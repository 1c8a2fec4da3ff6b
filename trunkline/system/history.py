"""The last quarter of an hour in memory: what the charts of the Overview show."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields

#: A point every so often, and how far back.
STEP_S = 2.0
KEPT_S = 15 * 60.0


@dataclass(frozen=True, slots=True)
class Point:
    """The whole system at one moment.

    Attributes:
        at_s: Unix time.
        events_per_s: Events handled, first attempts and later ones.
        failures_per_s: Attempts that failed, and events that no handler could take.
        published_per_s: Events that publishers had acknowledged.
        lag: Events that the groups have not committed; None while nobody knows.
        waiting: Events in the retries tables.
        dead_letters: Dead letters that nobody has dealt with; None while nobody knows.
        dead: Events that became dead letters, summed over the running pods since their start.

    """

    at_s: float
    events_per_s: float = 0.0
    failures_per_s: float = 0.0
    published_per_s: float = 0.0
    lag: int | None = None
    waiting: int = 0
    dead_letters: int | None = None
    dead: int = 0


class History:
    """A ring of points, a new one every two seconds."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=int(KEPT_S / STEP_S))

    def add(self, point: Point) -> None:
        """Note how it is now."""
        self._points.append(point)

    def __len__(self) -> int:
        """How many points there are."""
        return len(self._points)

    def since(self, at_s: float) -> list[Point]:
        """Return the points from a time on."""
        return [point for point in self._points if point.at_s >= at_s]

    def columns(self) -> dict[str, list[float | int | None]]:
        """Return the points as a chart wants them: a list for each value."""
        names = [each.name for each in fields(Point)]
        return {name: [_rounded(getattr(point, name)) for point in self._points] for name in names}


def _rounded(value: float | None) -> float | int | None:
    return round(value, 2) if isinstance(value, float) else value
