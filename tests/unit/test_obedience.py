"""A pod does what operators ordered before it consumes anything."""

from __future__ import annotations

from types import SimpleNamespace

from trunkline.connection import KafkaConnection
from trunkline.system.obedience import Obedience
from trunkline.topology import Topology


class StumblingFollower:
    """Cannot be read at first, for a reason that nobody thought of."""

    def __init__(self):
        self.asked = 0

    async def maybe_start(self):
        pass

    async def read_to_end(self):
        self.asked += 1
        if self.asked == 1:
            raise ZeroDivisionError


async def test_a_pod_waits_until_its_orders_are_read_whatever_goes_wrong(caplog):
    """A pause must not be overlooked because of a mistake of ours."""
    settings = SimpleNamespace(pod_name="engine.1", connection=KafkaConnection.plaintext("k:9092"))
    pauses = SimpleNamespace(order=lambda _: None)
    app = SimpleNamespace(trunkline=settings, pauses=pauses, drain=SimpleNamespace(state="working"))
    obedience = Obedience(app, Topology(), "engine-group")
    follower = obedience._follower = StumblingFollower()
    await obedience.on_start()
    assert follower.asked == 2
    assert "it is tried again" in caplog.text
