"""Per-key order: the last attempts at a key's events come in the order of their offsets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from tests.chaos.evidence import Evidence, Record
from tests.chaos.groups import Group
from tests.chaos.journals import START, Line
from tests.chaos.violations import Violation

Lane = tuple[str, int, bytes]


class Attempt(NamedTuple):
    """One attempt, from its start to its end; the end is the start when the pod died in it."""

    start: Line
    end_ns: int

    def __str__(self) -> str:
        return f"{self.start} until {self.end_ns / 1e9:.4f}"


def order_violations(evidence: Evidence, group: Group) -> Iterator[Violation]:
    """Yield keys whose events were handled out of order, or two at a time."""
    attempts = attempts_of(evidence.lines[group.name])
    lanes: defaultdict[Lane, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        event = evidence.events.get(attempt.start.place)
        if (
            event is not None
            and event.key is not None
            and not _dies_at_once(evidence, group, event)
        ):
            place = event.place
            lanes[place.topic, place.partition, event.key].append(attempt)
    for lane, of_lane in lanes.items():
        yield from _out_of_order(evidence, group, lane, of_lane)
        if not group.batch:
            yield from _at_once(evidence, group, lane, of_lane)


def _dies_at_once(evidence: Evidence, group: Group, event: Record) -> bool:
    """Tell whether an event fails for good at its first attempt: it holds nobody, in no order."""
    fate = evidence.fate_of(group, event)
    return not fate.handled and fate.attempts <= 1


def attempts_of(lines: Sequence[Line]) -> list[Attempt]:
    """Return all attempts in the order of their starts."""
    ends: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    found = []
    for line in reversed(lines):
        of = (line.pod, line.pid, line.place, line.attempt)
        if line.what != START:
            ends[of].append(line.at_ns)
        else:
            # Ends of this process's later attempts at the event were taken by those already.
            end_ns = ends[of].pop() if ends[of] else line.at_ns
            found.append(Attempt(line, end_ns))
    return found[::-1]


def _out_of_order(
    evidence: Evidence, group: Group, lane: Lane, attempts: Sequence[Attempt]
) -> Iterator[Violation]:
    last = {attempt.start.place: attempt for attempt in attempts}
    for earlier, later in pairwise(sorted(last)):
        # A batch starts with all of its events, so that only the starts have an order.
        limit_ns = last[earlier].start.at_ns if group.batch else last[earlier].end_ns
        if last[later].start.at_ns < limit_ns:
            text = f"{group.name}: key {lane[2]!r}: {later} was last tried before {earlier} was"
            yield Violation("order", text, evidence.story(group, earlier, later))


def _at_once(
    evidence: Evidence, group: Group, lane: Lane, attempts: Sequence[Attempt]
) -> Iterator[Violation]:
    running = attempts[0]
    for attempt in attempts[1:]:
        if attempt.start.at_ns < running.end_ns:
            text = f"{group.name}: key {lane[2]!r}: two attempts at once: {running}; {attempt}"
            places = {running.start.place, attempt.start.place}
            yield Violation("at once", text, evidence.story(group, *sorted(places)))
        running = max(running, attempt, key=lambda one: one.end_ns)
