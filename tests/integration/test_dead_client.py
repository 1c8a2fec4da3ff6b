"""A worker whose Kafka client has stopped working ends, instead of going on out of its group."""

from __future__ import annotations

import pytest

from tests.support.journal import journal_group
from tests.support.waiting import eventually

pytestmark = pytest.mark.kafka

EVENTS = 300


@pytest.mark.parametrize("task", ["_sync_task", "_coordination_task", "_fetch_task"])
async def test_a_worker_whose_client_is_dead_makes_room(kafka, namespace, tmp_path, task):
    """It says what has ended, and another pod handles everything."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        dies = group.start("dies")
        await dies.wait_assigned(1)
        await group.publish([("user", f"endtask-{task}")])
        await eventually(lambda: dies.returncode is not None, 30, "the worker to end")
        assert dies.returncode == 1
        assert "The Kafka client of this worker has stopped working" in dies.output()

        await group.publish((f"user-{number}", "ok") for number in range(EVENTS))
        lives = group.start("lives")
        await lives.wait_assigned(1)
        await eventually(lambda: len(group.ended("lives")) >= EVENTS, 30, "the others' events")
