"""Dead letters: the event byte for byte, and the right things said about it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.evidence import Evidence, Headers, Record
from tests.chaos.fates import Fate
from tests.chaos.groups import Group
from tests.chaos.violations import Violation
from trunkline.delivery import failure

_OURS = ("__streams.errors.", "trunkline.")


def letter_violations(evidence: Evidence, group: Group) -> Iterator[Violation]:
    """Yield what a dead letter does not say as its event did, or says wrongly about its death."""
    for letter in evidence.letters[group.name]:
        event = evidence.events.get(letter.origin)
        if event is None:
            continue  # told as unknown
        wrong = [*_changed(event, letter), *_misreported(evidence.fate_of(group, event), letter)]
        if wrong:
            text = f"{group.name}: dead letter {letter.place}: {'; '.join(wrong)}"
            yield Violation("letter", text, evidence.story(group, event.place))


def _changed(event: Record, letter: Record) -> Iterator[str]:
    if letter.key != event.key:
        yield f"the key is {letter.key!r} instead of {event.key!r}"
    if letter.value != event.value:
        yield f"the value is {letter.value!r} instead of {event.value!r}"
    if letter.timestamp_ms != event.timestamp_ms:
        yield f"the timestamp is {letter.timestamp_ms} instead of {event.timestamp_ms}"
    if (kept := _original(letter.headers)) != list(event.headers):
        yield f"the headers are {kept} instead of {list(event.headers)}"


def _misreported(fate: Fate, letter: Record) -> Iterator[str]:
    # What cannot be decoded was attempted once, though no handler saw it.
    expected = {
        failure.ATTEMPTS: str(max(1, fate.attempts)),
        failure.KIND: fate.kind,
        failure.TIMESTAMP_MS: str(letter.timestamp_ms),
    }
    for name, value in expected.items():
        if letter.header(name) != value:
            yield f"{name} is {letter.header(name)!r} instead of {value!r}"
    names = [name for name, _ in letter.headers if name.startswith(_OURS)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name} is there {names.count(name)} times"
    for name in (failure.EXCEPTION, failure.FIRST_FAILED_AT_MS):
        if not letter.header(name):
            yield f"{name} is missing"


def _original(headers: Headers) -> list[tuple[str, bytes | None]]:
    return [(name, value) for name, value in headers if not name.startswith(_OURS)]
