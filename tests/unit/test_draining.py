"""A pod that cannot leave its group stays in it (a fake consumer)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from trunkline.delivery.draining import Drain


class Consumer:
    """Notes what it is told; leaving fails the first time."""

    def __init__(self):
        self.told = []

    async def leave_group(self):
        self.told.append("leave")
        if len(self.told) == 1:
            raise RuntimeError("half-way")

    async def join_group(self):
        self.told.append("join")


async def test_a_drain_that_fails_half_way_joins_again():
    """Or it would be in no group, without a word, until it is restarted."""
    app = SimpleNamespace(consumer=Consumer(), rebalancing=False, has_assignment=True)
    drain = Drain(app)

    with pytest.raises(RuntimeError):
        await drain.out()
    assert (app.consumer.told, drain.state) == (["leave", "join"], "working")

    await drain.out()
    assert (drain.state, app.has_assignment) == ("drained", False)
