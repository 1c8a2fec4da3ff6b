"""Pods, disks and the broker die at random under failing handlers; the oracle finds no fault.

The full form, and how to read what it finds: ``tests/chaos``.
"""

from __future__ import annotations

import pytest

from tests.chaos.run import Plan, Run

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(360)]

PLAN = Plan(events=4_000, keys=100, seconds=45, seed=7, patience_s=120)


async def test_every_event_is_handled_or_a_dead_letter_whatever_dies(own_broker, tmp_path):
    """Exactly one of both for each event and group, in order for its key, rows exactly right."""
    broker = own_broker()
    broker.start()
    report = await Run(PLAN, broker, tmp_path)()
    print(report)
    assert report.ok, f"{report}\nJournals and logs are in {tmp_path}"
