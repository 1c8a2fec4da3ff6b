"""``trunkline status|workers|pause|resume|drain|undrain`` against real workers."""

from __future__ import annotations

import asyncio
import json
import signal
import time

import pytest

from tests.support.audit import audit_records
from tests.support.command import commands
from tests.support.kafka import create_topics, produce
from tests.support.waiting import eventually
from tests.support.worker import workers
from trunkline.connection import KafkaConnection
from trunkline.system import control
from trunkline.topics import apply
from trunkline.topology import ORDER_CREATED, Topology

pytestmark = pytest.mark.kafka


@pytest.fixture
async def topology(kafka, namespace):
    topology = Topology(namespace)
    await apply(KafkaConnection.plaintext(kafka), topology)
    return topology


@pytest.fixture
async def bare(kafka, namespace):
    """No more topics than the commands need."""
    topology = Topology(namespace)
    needed = [topology.topic(ORDER_CREATED), *topology.system_topics()]
    await create_topics(kafka, {topic.name: topic.partitions for topic in needed})
    return topology


@pytest.fixture
def command(kafka, namespace):
    with commands(kafka, namespace) as make:
        yield make()


async def run(command, *words):
    """Run it with ``--json``; it must go well."""
    done = await command.run(*words, "--json")
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


async def test_one_sees_and_orders_a_running_system(kafka, topology, command, tmp_path):
    """Two pods: looked at, paused, resumed, drained, undrained, and one of them killed."""
    orders = topology.topic(ORDER_CREATED).name
    group = topology.service("engine").group
    one = f"{orders}[1]"
    with workers(tmp_path, kafka, topology.namespace) as start:
        pods = [start(f"engine.{n}", TRUNKLINE_SERVICE="engine") for n in (1, 2)]
        await asyncio.gather(*(pod.wait_ready() for pod in pods))
        event = b'{"orderId": "o", "userId": "1", "amountCents": 1}'
        await produce(kafka, orders, [(b"1", event)] * 20)

        async def all_is_well():
            done = await command.run("status")
            return done.code == 0 and done.out.startswith("OK  ") and done

        seen = await eventually(all_is_well, 60, "health")
        assert seen.err == ""
        assert group[:20] in seen.out  # a long name is folded
        assert {"engine.1", "engine.2"} <= set(seen.out.split())

        paused = await run(command, "pause", "engine-group", "order.created[1]")
        assert paused["changed"] == [f"{one} of {group}"]
        assert sorted(paused["reported_by"]) == ["engine.1", "engine.2"]
        status, drained = await asyncio.gather(
            run(command, "status"), run(command, "drain", "engine.2")
        )
        assert status["pauses"] == {group: [one]}
        assert drained["reported_by"] == ["engine.2"]

        async def has_taken_over():  # what the drained pod had is assigned and recovered first
            listed = await run(command, "workers", "--group", "engine-group")
            return {worker["pod"]: worker["state"] for worker in listed}["engine.1"] == "ready"

        await eventually(has_taken_over, 30, "the other pod to be ready")
        resumed, undrained = await asyncio.gather(
            run(command, "resume", "engine-group", "order.created"),
            run(command, "undrain", "engine.2"),
        )
        assert resumed["changed"] == [f"{one} of {group}"]
        assert undrained["reported_by"] == ["engine.2"]

        pods[0].kill()

        async def is_stale():
            known = await control.read_workers(KafkaConnection.plaintext(kafka), topology)
            return known.get("engine.1").is_stale(time.time())

        await eventually(is_stale, 40, "the killed pod to be stale")
        status, table, late = await asyncio.gather(
            command.run("status"), command.run("workers"), command.run("drain", "engine.1")
        )
        assert status.code == 1
        assert status.out.startswith("FAILING  engine.1 has not reported for")
        assert "STALE" in table.out
        assert (late.code, "it may be gone" in late.err) == (2, True)
    trail = [r for r in await audit_records(kafka, topology) if r.phase == "ended"]
    actions = [(record.action, record.outcome) for record in trail]
    assert sorted(actions) == [
        ("drain", "done"),
        ("drain", "failed"),
        ("pause", "done"),
        ("resume", "done"),
        ("undrain", "done"),
    ]


async def test_says_that_nothing_runs(command, bare):
    """Exit 1 with what to do; an order holds for the pods that start, and --no-wait says less."""
    status, pods, pause = await asyncio.gather(
        command.run("status"),
        command.run("workers"),
        command.run("pause", "engine-group", "order.created"),
    )
    for done in (status, pods):
        assert (done.code, done.out) == (1, "")
        assert "Nothing runs" in done.err
        assert "trunkline up" in done.err
    assert pause.code == 0
    assert "the order holds for those that start" in pause.out
    resume, unknown, partition = await asyncio.gather(
        command.run("resume", "engine-group", "order.created", "--no-wait"),
        command.run("drain", "engine.9"),
        command.run("pause", "engine-group", "order.created[9]"),
    )
    assert resume.out.startswith("Ordered: ")
    assert (unknown.code, "No pod 'engine.9' reports" in unknown.err) == (2, True)
    assert (partition.code, "has no partition 9" in partition.err) == (2, True)


async def test_watches_until_ctrl_c(command, bare):
    """A screen every interval, here a line of JSON; Ctrl-C is a good end."""
    process = command.start("status", "--watch", "--json", "--interval", "0.5")
    for _ in range(2):
        line = await asyncio.to_thread(process.stdout.readline)
        assert json.loads(line)["workers"] == []
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.to_thread(process.communicate, None, 20)
    assert (process.returncode, err) == (0, "")
