"""``/health/live`` and ``/health/ready`` of real workers whose handlers hang, wait or recover."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from tests.support.journal import JournalGroup, journal_group
from tests.support.waiting import eventually
from tests.support.worker import Worker
from trunkline.connection import KafkaConnection
from trunkline.delivery.fenced import FencedTransactions

STUCK_AFTER_S = 5
STUCK = {"TRUNKLINE_STUCK_AFTER_S": str(STUCK_AFTER_S)}


async def live(pod: Worker) -> tuple[int, str]:
    status, body = await pod.get("/health/live")
    return status, body.get("reason", "")


async def is_red(pod: Worker, why: str) -> bool:
    # Of one partition only the longest standing is told: a slow commit may be another for a moment.
    status, reason = await live(pod)
    return status == 503 and why in reason


async def is_green(pod: Worker) -> bool:
    return (await live(pod))[0] == 200


async def test_a_hanging_handler_turns_live_red_until_it_goes_on(
    kafka: str, namespace: str, tmp_path: Path
) -> None:
    """The other partition goes on; the reason names partition and offset."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(2)
        pod = group.start(**STUCK)
        await pod.wait_ready()
        assert await is_green(pod)
        await group.publish([("b", "ok")], partition=1)
        began = time.monotonic()
        await group.publish([("a", "ok"), ("a", "gate"), ("a", "ok")], partition=0)
        why = f"{group.topic}[0]: the event at offset 1 has not been finished for"
        await eventually(lambda: is_red(pod, why), 30, "live to turn red")
        assert time.monotonic() - began > STUCK_AFTER_S
        assert "[1]" not in (await live(pod))[1]
        group.gate.touch()
        await eventually(lambda: is_green(pod), 30, "live to turn green")
        await group.wait_handled(4)


async def test_a_hanging_retry_turns_live_red_and_a_restart_gives_it_to_a_handler_again(
    kafka: str, namespace: str, tmp_path: Path
) -> None:
    """What the kubelet does about a red pod helps: nothing is lost, and it goes on."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        await group.publish([("a", "hang-2"), ("a", "ok")])
        pod = group.start(TRUNKLINE_RETRY_BACKOFF="fixed:0.1", **STUCK)
        await pod.wait_ready()
        why = f"attempt 2 at {group.topic}[0]@0 has not ended for"
        await eventually(lambda: is_red(pod, why), 30, "live to turn red")
        assert "failures[" in (await live(pod))[1]
        group.gate.touch()  # what hangs at the old pod does not look at it again
        await pod.terminate()  # as the kubelet does
        again = group.start(TRUNKLINE_RETRY_BACKOFF="fixed:0.1", **STUCK)
        await again.wait_ready()
        await group.wait_handled(2)
        await eventually(lambda: is_green(again), 30, "live to be green")
    attempts = [e.attempt for e in group.entries() if e.offset == 0 and e.what == "start"]
    assert attempts == [1, 2, 2]


async def test_an_open_breaker_and_what_waits_behind_it_is_not_stuck(
    kafka: str, namespace: str, tmp_path: Path
) -> None:
    """A restart would not bring the dependency back; the worker stays ready as well."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        pod = group.start(
            TRUNKLINE_BREAKER_FIRST_PAUSE_S="0.2", TRUNKLINE_BREAKER_LONGEST_PAUSE_S="0.5", **STUCK
        )
        await pod.wait_ready()
        await group.publish([("a", "down"), ("a", "ok"), ("b", "ok")])

        async def is_open() -> bool:
            stats = await pod.stats()
            return bool(stats and stats["topics"][group.topic]["breaker"]["opened"])

        await eventually(is_open, what="the breaker to open")
        until = time.monotonic() + 2 * STUCK_AFTER_S
        while time.monotonic() < until:
            assert await live(pod) == (200, "nothing is stuck")
            await asyncio.sleep(0.2)
        await pod.wait_ready()
        group.gate.touch()
        await group.wait_handled(3)


async def test_a_worker_is_not_ready_before_it_knows_what_its_predecessors_held(
    kafka: str, namespace: str, tmp_path: Path
) -> None:
    """A transaction that a dead pod left open hides what may stand behind it."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        await group.publish([("a", "ok")])
        dead = await _half_written(group)
        try:
            pod = group.start(**STUCK)

            async def says_why() -> bool:
                status, body = await pod.get("/health/ready")
                return status == 503 and f"held on {group.topic}[0]" in body["reason"]

            await eventually(says_why, 30, "the pod to say what it waits for")
            assert not group.entries(), "it handled an event before it knew what was held"
            await asyncio.sleep(STUCK_AFTER_S + 2)
            assert await live(pod) == (200, "nothing is stuck")
            await dead.open()  # its next incarnation rolls it back
            await pod.wait_ready()
            await group.wait_handled(1)
        finally:
            await dead.close()


async def _half_written(group: JournalGroup) -> Any:
    connection = KafkaConnection.plaintext(group.servers)
    # It must still be open when a pod has started that takes its time.
    dead = FencedTransactions(
        connection, "dead", f"{group.namespace}.dead", transaction_timeout_s=60
    )
    await dead.open()
    producer = dead._link.producer
    await producer.begin_transaction()
    topic = group.topology.held_keys_topic(group.group).name
    await producer.send_and_wait(topic, key=b"half", value=b"done")
    return dead
