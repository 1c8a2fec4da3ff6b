"""What is said of a redrive before it is done."""

from __future__ import annotations

import pytest

from tests.support.dead_letters import dead_letter, trunkline_headers
from trunkline.console.pages.dead_letters.acting import _preview_of
from trunkline.dead_letters.fingerprint import fingerprint_of
from trunkline.dead_letters.plan import Plan
from trunkline.dead_letters.redrive import Verdict
from trunkline.dead_letters.scan import Found
from trunkline.topology import Topology

GOOD = b'{"orderId": "o", "userId": "1", "amountCents": 1}'


def planned(*letters):
    plan = Plan(Topology())
    for kind, value in letters:
        letter = dead_letter(trunkline_headers(kind=kind), value=value)
        plan.add(
            Found(letter, fingerprint_of(letter, Topology()), None),
            Verdict("engine-group.failures"),
        )
    return plan


@pytest.mark.parametrize("value", [b"{", b"[]", b'{"orderId": 7}', b"\xff", None])
def test_says_how_many_will_fail_again(value):
    """Those that do not fit the model of today: they failed for that, and would again."""
    plan = planned(("invalid", value), ("invalid", value), ("transient", GOOD))
    details = _preview_of(plan, "redriven", None).details
    assert plan.to_dict()["invalid"] == 2
    assert "2 do not fit the model of the topic, and will fail again. Edit them" in details[-1]
    assert "fail again" not in str(_preview_of(plan, "discarded", None).details)


def test_says_nothing_of_events_that_fit_by_now():
    """Edited ones, and those whose model was changed since."""
    plan = planned(("invalid", GOOD), ("permanent", b"{"))
    assert (plan.count, plan.invalid, plan.warning()) == (2, 0, "")
