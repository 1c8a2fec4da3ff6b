"""The common runner: contestants interleaved, rounds, medians, ratios, and wrong counts."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trunkline.errors import TrunklineError

Row = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What one run of one contestant came to.

    Attributes:
        events: How many it was to handle, or to publish.
        seconds: From the first one, or the first batch, to the last one; None when it never came
            to the last.
        cpu_s: CPU seconds of its process tree in that time.
        rss_mb: The most memory of its process tree.
        lost: Events that never came.
        repeated: Events that came again.
        timed: How many of the events came in that time; None is all.
        more: Other figures, such as percentiles; rows have their medians.

    """

    events: int
    seconds: float | None
    cpu_s: float
    rss_mb: float
    lost: int = 0
    repeated: int = 0
    timed: int | None = None
    more: Mapping[str, float] = field(default_factory=dict)

    @property
    def events_per_s(self) -> float:
        """The speed; 0 for one that never came to the end."""
        timed = self.events if self.timed is None else self.timed
        return timed / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Entry:
    """A contestant.

    Attributes:
        name: What it is called.
        run: Runs it once.
        ours: Whether a wrong count is an error, and not a figure of its row.
        against: Name of the contestant that its ratio is against; None is the first one.
        labels: What its rows say besides.

    """

    name: str
    run: Callable[[], Awaitable[Result]]
    ours: bool = False
    against: str | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)


async def interleaved(
    entries: Sequence[Entry], rounds: int, progress: Callable[[str], None]
) -> list[Row]:
    """Run all contestants in turn, round by round, so that the machine's moods hit all alike.

    Returns:
        A row for each contestant, in their order: ``contestant``, their labels, ``events``,
        ``events_per_s`` and ``seconds`` (of the median round), ``cpu_s`` and ``rss_mb`` (medians),
        ``ratio`` (of the medians' speeds; None for one that lost events), ``lost`` and ``repeated``
        (the worst round), other figures' medians, and ``rounds`` (each round's speed).

    Raises:
        TrunklineError: One of ours lost or repeated events, or a contestant failed.

    """
    measured: dict[str, list[Result]] = {entry.name: [] for entry in entries}
    for number in range(1, rounds + 1):
        for entry in entries:
            progress(f"Round {number} of {rounds}: {entry.name} …")
            result = await entry.run()
            _require_right_counts(entry, result)
            measured[entry.name].append(result)
    rows = {entry.name: _row(entry, measured[entry.name]) for entry in entries}
    for entry in entries:
        baseline = rows[entry.against or entries[0].name]
        rows[entry.name]["ratio"] = _ratio(rows[entry.name], baseline)
    return list(rows.values())


def _require_right_counts(entry: Entry, result: Result) -> None:
    if entry.ours and (result.lost or result.repeated):
        raise TrunklineError(
            f"{entry.name}: of {result.events} events {result.lost} were lost and "
            f"{result.repeated} came again. This must not happen: keep the logs and report it."
        )


def _row(entry: Entry, results: Sequence[Result]) -> Row:
    middle = sorted(results, key=lambda result: result.events_per_s)[len(results) // 2]
    return {
        "contestant": entry.name,
        **entry.labels,
        "events": middle.events,
        "events_per_s": round(middle.events_per_s),
        "seconds": None if middle.seconds is None else round(middle.seconds, 4),
        "ratio": None,
        "cpu_s": round(statistics.median(result.cpu_s for result in results), 3),
        "rss_mb": round(statistics.median(result.rss_mb for result in results), 1),
        "lost": max(result.lost for result in results),
        "repeated": max(result.repeated for result in results),
        **_medians(results),
        "rounds": [round(result.events_per_s) for result in results],
    }


def _medians(results: Sequence[Result]) -> dict[str, float]:
    names = dict.fromkeys(name for result in results for name in result.more)
    return {
        name: round(statistics.median(r.more[name] for r in results if name in r.more), 3)
        for name in names
    }


def _ratio(row: Row, baseline: Row) -> float | None:
    """Return how many times as fast as the baseline; one that loses events is fast at nothing."""
    if row["lost"] or baseline["lost"] or not baseline["events_per_s"]:
        return None
    return float(round(row["events_per_s"] / baseline["events_per_s"], 3))
