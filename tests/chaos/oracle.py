"""The judge: for every event and group, handled or dead as its fate says, exactly one of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.chaos.evidence import Evidence, Record
from tests.chaos.fates import Fate
from tests.chaos.groups import GROUPS, Group
from tests.chaos.journals import BROKE, CANCELLED, END, REDO, START, Line
from tests.chaos.letters import letter_violations
from tests.chaos.order import order_violations
from tests.chaos.sql_rows import row_violations
from tests.chaos.violations import Violation
from trunkline.delivery import failure


def judge(evidence: Evidence) -> list[Violation]:
    """Return every promise that was broken."""
    found = [*_not_published(evidence)]
    for group in GROUPS:
        found += _wrong_ends(evidence, group)
        found += _unknown(evidence, group)
        found += letter_violations(evidence, group)
        found += order_violations(evidence, group)
    found += [
        Violation("stray letter", f"{letter.place} belongs to no group", [])
        for letter in evidence.strays
    ]
    return [*found, *row_violations(evidence)]


def _not_published(evidence: Evidence) -> Iterator[Violation]:
    """Yield what the broker acknowledged and does not have."""
    for number, place in evidence.acknowledged.items():
        event = evidence.events.get(place)
        if place.offset >= 0 and (event is None or event.header("chaos-number") != str(number)):
            text = f"event {number} was acknowledged at {place}, and is not there"
            yield Violation("not published", text, [])
        elif number not in evidence.numbers:
            yield Violation("not published", f"event {number} was acknowledged, and is gone", [])


def _wrong_ends(evidence: Evidence, group: Group) -> Iterator[Violation]:
    lines_of = evidence.lines_of[group.name]
    dead = Counter(letter.origin for letter in evidence.letters[group.name])
    for place, event in evidence.read_by(group).items():
        fate = evidence.fate_of(group, event)
        lines = lines_of.get(place, [])
        for kind, text in _judge_one(event, fate, lines, dead[place]):
            story = evidence.story(group, place)
            yield Violation(kind, f"{group.name}: {place}: {text}", story)


def _judge_one(
    event: Record, fate: Fate, lines: Sequence[Line], dead: int
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the end of one event in one group."""
    ended = {line.attempt for line in lines if line.what == END}
    started = [line.attempt for line in lines if line.what == START]
    if not ended and not dead:
        yield "lost", "neither handled nor dead"
    if ended and dead:
        yield "both", "handled, and dead as well"
    if dead > 1:
        yield "dead twice", f"{dead} dead letters"
    if dead and fate.handled:
        yield "wrong end", f"dead, and should have been handled at attempt {fate.attempts}"
    if ended and not fate.handled:
        yield "wrong end", f"handled at attempt {sorted(ended)}, and should be dead"
    yield from _wrong_attempts(fate, ended, started)
    if any(line.what == BROKE for line in lines):
        yield "broke", "the handler failed without being told to: see the pod's log"
    if any(line.timestamp_ms != event.timestamp_ms for line in lines):
        yield "identity", "the handler was given another timestamp than the event's"


def _wrong_attempts(
    fate: Fate, ended: set[int], started: Sequence[int]
) -> Iterator[tuple[str, str]]:
    """Yield attempts that were not made, made too often, or counted wrongly."""
    if ended and fate.handled and ended != {fate.attempts}:
        yield "attempts", f"handled at attempt {sorted(ended)} instead of {fate.attempts}"
    if set(started) != set(range(1, fate.attempts + 1)):
        yield "attempts", f"attempts {sorted(set(started))} instead of 1 to {fate.attempts}"
    if list(started) != sorted(started):
        yield "count lost", f"attempts came in the order {started}: a count was not durable"


def _unknown(evidence: Evidence, group: Group) -> Iterator[Violation]:
    """Yield attempts and dead letters of what is in no topic of the group."""
    events = evidence.read_by(group)
    for place in sorted(set(evidence.lines_of[group.name]) - set(events)):
        text = f"{group.name}: the handler was given {place}, which is no event"
        yield Violation("unknown", text, evidence.story(group, place))
    for letter in evidence.letters[group.name]:
        if letter.origin not in events:
            text = f"{group.name}: dead letter {letter.place} is of {letter.origin}, no event"
            yield Violation("unknown", text, [])


def counts(evidence: Evidence) -> dict[str, dict[str, int]]:
    """Return what happened in each group: attempts, repeats, retries, dead letters."""
    return {group.name: _counts(evidence, group) for group in GROUPS}


def _counts(evidence: Evidence, group: Group) -> dict[str, int]:
    lines = evidence.lines[group.name]
    letters = evidence.letters[group.name]
    whats = Counter(line.what for line in lines)
    made = {(line.place, line.attempt) for line in lines if line.what == START}
    return {
        "events": len(evidence.read_by(group)),
        "handled": len({line.place for line in lines if line.what == END}),
        "dead": len(letters),
        "of them poison": sum(letter.header(failure.KIND) == "invalid" for letter in letters),
        "retries": sum(attempt > 1 for _, attempt in made),
        # A batch that is taken apart is no repetition of what it held: nothing was done.
        "repeats": whats[START] - whats[REDO] - len(made),
        "taken apart": whats[REDO],
        "cancelled": whats[CANCELLED],
    }
