"""A static member that comes back with one topic more reads it, too."""

from __future__ import annotations

import pytest

from tests.support.journal import event, journal_group, publish
from tests.support.kafka import create_topics
from tests.support.waiting import eventually
from trunkline.delivery.producer import OutRecord
from trunkline.topology import ORDER_CREATED

pytestmark = pytest.mark.kafka

STATIC = {"TRUNKLINE_STATIC_MEMBERSHIP": "true", "TRUNKLINE_SESSION_TIMEOUT_S": 40}


async def test_reads_a_topic_that_was_added_while_it_was_away(kafka, namespace, tmp_path):
    """Back within the session timeout, Kafka would give it what it had and nothing else."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics()
        added = group.topology.real_name(ORDER_CREATED)
        await create_topics(kafka, {added: 4})
        pod = group.start("pod-1", **STATIC)
        await pod.wait_assigned(3)
        pod.kill()

        again = group.start("pod-1", POD_ALSO_READS=ORDER_CREATED, **STATIC)
        await again.wait_assigned(7)
        await publish(kafka, [OutRecord(added, event("k", "ok"), key=b"k", partition=3)])
        await eventually(lambda: group.ended() == {(3, 0): 1}, 20, "the added topic's event")
