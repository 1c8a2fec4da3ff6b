"""The databases: a row for each registration that was handled, each order added up once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tests.chaos.evidence import Evidence
from tests.chaos.fates import Place
from tests.chaos.groups import KEYS, ROWS, Group
from tests.chaos.violations import Violation
from trunkline.topology import AUTH_REGISTERED, ORDER_CREATED


def row_violations(evidence: Evidence) -> Iterator[Violation]:
    """Yield rows that are missing, too many, or wrong."""
    yield from _registrations(evidence)
    yield from _orders(evidence)


def _registrations(evidence: Evidence) -> Iterator[Violation]:
    expected = {
        place: (event["userId"], event["email"])
        for place, event in _handled(evidence, ROWS, AUTH_REGISTERED).items()
    }
    found = evidence.rows.registered
    for place in sorted(set(expected) | set(found)):
        if expected.get(place) != found.get(place):
            text = f"{place} is stored as {found.get(place)}, and should be {expected.get(place)}"
            yield Violation("rows", text, evidence.story(ROWS, place))


def _orders(evidence: Evidence) -> Iterator[Violation]:
    handled = _handled(evidence, KEYS, ORDER_CREATED)
    for place in sorted(set(handled) ^ evidence.rows.ordered):
        missing = "not " if place in handled else ""
        text = f"order {place} is {missing}added up"
        yield Violation("rows", text, evidence.story(KEYS, place))
    totals: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for event in handled.values():
        orders, cents = totals[event["userId"]]
        totals[event["userId"]] = orders + 1, cents + event["amountCents"]
    found = evidence.rows.totals
    for user in sorted(set(totals) | set(found)):
        if totals[user] != found.get(user):
            text = f"{user} has the total {found.get(user)}, and should have {totals[user]}"
            yield Violation("rows", text, [])


def _handled(evidence: Evidence, group: Group, topic: str) -> dict[Place, dict[str, Any]]:
    """Return the events that must have been handled, decoded without the product's help."""
    return {
        place: json.loads(event.value or b"")
        for place, event in evidence.read_by(group).items()
        if place.topic == topic and evidence.fate_of(group, event).handled
    }
