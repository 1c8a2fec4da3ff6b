"""Three brokers: topics are replicated, and an outage of one changes nothing of that."""

from __future__ import annotations

import pytest

from trunkline.connection import KafkaConnection
from trunkline.topics import apply, plan
from trunkline.topology import Topology

pytestmark = pytest.mark.kafka


async def test_replicates_over_three_brokers_also_while_one_is_down(own_broker, namespace):
    """A broker that is down counts: else an outage would create topics with a single copy."""
    broker = own_broker(nodes=3)
    broker.start()
    connection = KafkaConnection.plaintext(broker.bootstrap_servers)
    topology = Topology(namespace)

    created = await apply(connection, topology)
    again = await plan(connection, topology)
    broker.kill(next(node for node in range(3) if node != broker.controller()))
    created_in_outage = await apply(connection, Topology(f"{namespace}-2"))
    afterwards = await plan(connection, topology)

    assert again.nothing_to_do
    assert afterwards.nothing_to_do
    for applied in (created, created_in_outage):
        assert all(topic.created for topic in applied.topics)
        assert {t.replication_factor for t in applied.topics} == {3}
        assert {t.configs["min.insync.replicas"] for t in applied.topics} == {"2"}
