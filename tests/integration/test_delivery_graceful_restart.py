"""A worker that is stopped and started again, under load, handles every event exactly once."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.journal import journal_group, repeated
from tests.support.waiting import eventually

pytestmark = pytest.mark.kafka

RESTARTS = 3


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({"POD_CONCURRENCY": 1}, id="serial"),
        pytest.param({"POD_CONCURRENCY": 20, "POD_SLEEP_MS": 4}, id="keyed"),
        pytest.param({"POD_SHAPE": "batch"}, id="batch"),
    ],
)
async def test_restarts_without_loss_or_repetition(kafka, namespace, tmp_path, shape):
    """SIGTERM in the middle of the load, again and again: what began ends and is committed."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics()
        enough = asyncio.Event()
        publishing = asyncio.create_task(_publish_until(enough, group))
        for _ in range(RESTARTS):
            await _work_a_while_then_stop(group, shape)
        enough.set()
        published = await publishing
        pod = group.start(**shape)
        await pod.wait_ready()  # maybe nothing is left to be handled
        await group.wait_handled(published)
        await group.wait_committed()
        code, _ = await pod.terminate()
        assert code == 0
        assert repeated(group.ended()) == 0
        assert len(group.ended()) == published


async def _work_a_while_then_stop(group, shape):
    before = group.count()
    pod = group.start(**shape)
    await eventually(lambda: group.count() > before + 200, 60, f"{before + 200} handled events")
    code, seconds = await pod.terminate()
    assert code == 0, pod.tail()
    assert seconds < 10


async def _publish_until(enough, group):
    """Publish for as long as the restarts take, so that each one has work; return how many."""
    published = 0
    while not enough.is_set():
        published += await group.publish((f"user-{n % 100}", "ok") for n in range(500))
        await asyncio.sleep(0.5)
    return published
