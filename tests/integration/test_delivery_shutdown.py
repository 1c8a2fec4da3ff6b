"""SIGTERM ends a worker within 10 s, whatever hangs, and what it did is committed."""

from __future__ import annotations

import pytest

from tests.support.journal import journal_group
from tests.support.waiting import eventually

pytestmark = pytest.mark.kafka

LIMIT_S = 10


async def test_commits_what_it_did(kafka, namespace, tmp_path):
    """A short load, handled and stopped: every handled event is committed at the end."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics()
        # So that only the end can have committed it.
        pod = group.start(TRUNKLINE_COMMIT_INTERVAL_S=60)
        await pod.wait_ready()
        await group.publish((f"user-{n}", "ok") for n in range(300))
        await group.wait_handled(300)
        assert not any((await group.committed()).values())
        code, seconds = await pod.terminate()
        assert (code, seconds < LIMIT_S) == (0, True), pod.tail()
        assert sum((await group.committed()).values()) == 300


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_a_hanging_handler_does_not_hold_it_up(kafka, namespace, tmp_path, concurrency):
    """The handler is cut off at the drain limit, its event comes again, the rest is committed."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        await group.publish([*((f"u{n}", "ok") for n in range(5)), ("u5", "gate"), ("u6", "ok")])
        pod = group.start(POD_CONCURRENCY=concurrency, TRUNKLINE_DRAIN_TIMEOUT_S=1)
        await eventually(lambda: group.count("start") >= 6, 60, "the handler to hang")
        code, seconds = await pod.terminate()
        assert (code, seconds < LIMIT_S) == (0, True), pod.tail()
        assert await group.committed() == {0: 5}
        group.gate.touch()
        group.start("pod-2")
        await group.wait_handled(7)


@pytest.mark.parametrize("order", ["deaf", "block-60"])
async def test_a_handler_that_cannot_be_stopped_is_ended_hard(kafka, namespace, tmp_path, order):
    """One that swallows its cancellation, and one that blocks the loop: still within 10 s."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        await group.publish([("u", "ok"), ("u", order)])
        pod = group.start(TRUNKLINE_COMMIT_INTERVAL_S=0.01, TRUNKLINE_SHUTDOWN_TIMEOUT_S=5)
        await eventually(lambda: group.count("start") >= 2, 60, "the handler to hang")
        _, seconds = await pod.terminate()
        assert seconds < LIMIT_S, pod.tail()
        assert (await group.committed()).get(0, 0) <= 1


async def test_ends_when_its_broker_is_gone(own_broker, namespace, tmp_path):
    """The broker is killed, then the worker is told to end: it does, within the limit."""
    broker = own_broker()
    broker.start()
    with journal_group(broker.bootstrap_servers, namespace, tmp_path) as group:
        await group.create_topics()
        pods = [group.start("one"), group.start("two", POD_CONCURRENCY=8)]
        for pod in pods:
            await pod.wait_ready()
        await group.publish((f"user-{n}", "ok") for n in range(300))
        await group.wait_handled(300)
        broker.kill()
        for pod in pods:
            code, seconds = await pod.terminate()
            assert (code, seconds < LIMIT_S) == (0, True), pod.tail()
            assert "Traceback" not in pod.output()
            print(f"ended in {seconds:.1f} s")


async def test_waits_for_its_broker_and_then_works(own_broker, namespace, tmp_path):
    """Started first it waits, says so once, is live but not ready; SIGTERM ends it meanwhile."""
    broker = own_broker()
    with journal_group(broker.bootstrap_servers, namespace, tmp_path) as group:
        works, gives_up = group.start("works"), group.start("gives-up")
        for pod in (works, gives_up):
            await eventually(lambda: _is_live(pod), 60, "it to be live")  # noqa: B023  # called at once
            status, body = await pod.get("/health/ready")
            assert (status, "waiting for Kafka" in body["reason"]) == (503, True)
        await eventually(lambda: "Waiting for Kafka" in gives_up.output(), 30, "it to say so")
        code, seconds = await gives_up.terminate()
        assert (code, seconds < LIMIT_S) == (0, True), gives_up.tail()

        broker.start()
        await group.create_topics()
        await works.wait_ready()
        await group.publish([("u", "ok")] * 10)
        await group.wait_handled(10)
        assert works.output().count("Waiting for Kafka:") == 1
        assert "Traceback" not in works.output() + gives_up.output()


async def test_a_broker_that_goes_while_it_starts_is_waited_for(own_broker, namespace, tmp_path):
    """It was there, and is gone when the consumer starts: no crash, work when it is back."""
    broker = own_broker()
    broker.start()
    with journal_group(broker.bootstrap_servers, namespace, tmp_path) as group:
        await group.create_topics()
        await group.publish([("u", "ok")] * 10)
        works, gives_up = (group.start(name, POD_STARTS_LATE=1) for name in ("works", "gives-up"))
        await eventually(lambda: group.count("waits") == 2, 60, "both to have found their broker")
        broker.kill()
        group.gate.touch()
        for pod in (works, gives_up):
            await eventually(lambda: "for Kafka again" in pod.output(), 30, "it to say so")  # noqa: B023  # called at once
        code, seconds = await gives_up.terminate()
        assert (code, seconds < LIMIT_S) == (0, True), gives_up.tail()

        broker.start()
        await works.wait_ready()
        await group.wait_handled(10)
        assert "Traceback" not in works.output() + gives_up.output()


async def test_a_mistake_of_ours_ends_the_worker(kafka, namespace, tmp_path):
    """It does not stay in its group and idle: it ends with an error, the next one has it all."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics()
        broken = group.start("broken", POD_MISTAKE="dispatch")
        await broken.wait_ready()
        await group.publish([("u", "ok")] * 10)
        await eventually(lambda: broken.process.poll() is not None, 30, "it to end")
        assert broken.process.returncode != 0
        assert "a mistake of ours" in broken.output()
        group.start("works")
        await group.wait_handled(10)


async def _is_live(pod):
    return (await pod.get("/health/live"))[0] == 200
