"""What every Python contestant counts, in one way, so that handlers cost all of them the same.

It needs the standard library alone: the peers' environment has nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

SHARES = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}


def job() -> dict[str, Any]:
    """Return what this process is to do: its last argument, as JSON."""
    given: dict[str, Any] = json.loads(sys.argv[-1])
    return given


def say(**line: object) -> None:
    """Tell the benchmark, as a line of JSON on stdout."""
    stdout = sys.__stdout__  # Faust puts a logger into the place of sys.stdout
    assert stdout is not None
    stdout.write(json.dumps(line) + "\n")
    stdout.flush()


class Tally:
    """Counts events by their numbers; says when the first comes, and when all have come.

    The clock begins when the first event, or the first batch, has been counted: ``began_with`` says
    how many that were, so that a first batch is not handled for free.

    Args:
        count: Numbers are below it.
        share: How many of them come here; None is all.

    """

    def __init__(self, count: int, share: int | None = None) -> None:
        self.handled = 0
        self._seen = bytearray(count)
        self._share = count if share is None else share
        self._began = self._ended = False
        #: Counts are looked at only when there may be something to say.
        self._look_at = 1

    @property
    def distinct(self) -> int:
        """How many of the numbers have come."""
        return self._seen.count(1)

    def event(self, user_id: str, email: str) -> None:
        """Count an event."""
        self._seen[int(user_id)] = 1
        self.handled += 1
        if self.handled >= self._look_at:
            self.look()

    def batch(self, user_ids: Sequence[str]) -> None:
        """Count the events of a batch."""
        seen = self._seen
        for user_id in user_ids:
            seen[int(user_id)] = 1
        self.handled += len(user_ids)
        if self.handled >= self._look_at:
            self.look()

    def begin(self) -> None:
        """Begin the clock; also for who knows of a first event before it is counted."""
        if not self._began:
            self._began = True
            say(began_at=time.time(), began_with=self.handled)

    def summary(self) -> dict[str, object]:
        """Return what the benchmark wants to know at the end."""
        return {"handled": self.handled, "distinct": self.distinct}

    def look(self) -> None:
        """Say what there is to say."""
        self.begin()
        missing = self._share - self.distinct
        if not missing and not self._ended:
            self._ended = True
            say(ended_at=time.time())
        self._look_at = self.handled + max(1, missing)


class Offsets(Tally):
    """Counts records that nobody looks into, by their offsets on each partition."""

    def __init__(self, count: int, share: int | None = None) -> None:
        super().__init__(count, share)
        self._distinct = 0
        self._next: dict[int, int] = {}

    @property
    def distinct(self) -> int:
        """How many records came for the first time."""
        return self._distinct

    def run(self, partition: int, first: int, last: int, number: int) -> None:
        """Count so many records of a partition, in the order of their offsets; look later."""
        known = self._next.get(partition, 0)
        self._distinct += number if first >= known else max(0, last + 1 - known)
        self._next[partition] = max(known, last + 1)
        self.handled += number

    def places(self, places: Sequence[tuple[int, int]]) -> None:
        """Count records by their partitions and offsets."""
        following = self._next
        for partition, offset in places:
            if offset >= following.get(partition, 0):
                self._distinct += 1
                following[partition] = offset + 1
        self.handled += len(places)
        self.look()


class Lateness(Tally):
    """A tally that also notes how late each event comes.

    An event's address begins with the time at which it was due to be sent, in microseconds. The
    first ``skipped`` numbers warm the contestant up: they are neither counted nor measured.
    """

    def __init__(self, count: int, skipped: int) -> None:
        super().__init__(count, count - skipped)
        self._skipped = skipped
        self._late_ms: list[float] = []

    def event(self, user_id: str, email: str) -> None:
        """Note how late an event is, and count it."""
        late_ms = time.time() * 1000 - int(email[: email.index("@")]) / 1000
        if int(user_id) >= self._skipped:
            self._late_ms.append(late_ms)
            super().event(user_id, email)

    def summary(self) -> dict[str, object]:
        """Return the counts and percentiles, in ms."""
        return {**super().summary(), **percentiles(self._late_ms)}


def percentiles(late_ms: Iterable[float]) -> dict[str, float]:
    """Return p50, p99, p99.9 and the maximum, in ms; nothing of nothing."""
    ordered = sorted(late_ms)
    if not ordered:
        return {}
    last = len(ordered) - 1
    found = {name: ordered[min(last, int(len(ordered) * at))] for name, at in SHARES.items()}
    return {name: round(value, 2) for name, value in {**found, "max_ms": ordered[-1]}.items()}


def tally_of(given: dict[str, Any]) -> Tally:
    """Return what a job has counted: lateness when some numbers are to be skipped."""
    if "skipped" in given:
        return Lateness(given["count"], given["skipped"])
    return Tally(given["count"], given.get("share"))
