"""Retention that passes a running worker is told, never skipped in silence."""

from __future__ import annotations

import re
import signal

import pytest
from aiokafka import TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete

from tests.support import eventually
from tests.support.journal import journal_group
from tests.support.kafka import admin

pytestmark = pytest.mark.kafka


async def test_says_which_events_retention_took_from_a_running_worker(kafka, namespace, tmp_path):
    """A frozen worker finds records gone that it never saw: it logs LOST, and goes on."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        pod = group.start()
        await pod.wait_ready()
        await group.publish(("before", "ok") for _ in range(20))
        await group.wait_handled(20)
        await group.wait_committed()
        pod.process.send_signal(signal.SIGSTOP)
        try:
            # The first answer the fetch that waits at the broker; the others are never fetched.
            await group.publish(("there", "ok") for _ in range(5))
            await group.publish(("gone", "ok") for _ in range(25))
            async with admin(kafka) as client:
                await client.delete_records(
                    {TopicPartition(group.topic, 0): RecordsToDelete(before_offset=40)}
                )
        finally:
            pod.process.send_signal(signal.SIGCONT)
        await eventually(
            lambda: re.search("LOST: .* deleted offsets 2[05] to 39 ", pod.output()),
            30,
            "LOST in the log",
        )
        await group.wait_handled(30)
        await group.wait_committed()
