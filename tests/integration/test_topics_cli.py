"""``trunkline topics`` as its user runs it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys

import pytest

from trunkline.connection import KafkaConnection
from trunkline.topics.cluster import Cluster
from trunkline.topics.difference import TopicPlan
from trunkline.topology import Topology

pytestmark = pytest.mark.kafka


@pytest.fixture
def topics(kafka, namespace, tmp_path):
    """Return a function that runs ``trunkline topics`` in the test's namespace."""

    def run(*args, servers=kafka):
        env = {"KAFKA_BOOTSTRAP_SERVERS": servers, "TRUNKLINE_NAMESPACE": namespace}
        code = "from trunkline.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, "topics", *args],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_plans_applies_and_then_has_nothing_to_do(topics, namespace):
    """The way of a first installation."""
    planned = topics("plan")
    applied = topics("apply")
    again = topics("plan")

    assert (planned.returncode, applied.returncode, again.returncode) == (0, 0, 0)
    assert f"+ {namespace}.order.created\n" in planned.stdout
    assert f"+ {namespace}.order.created created\n" in applied.stdout
    assert "Nothing to do" in again.stdout
    assert applied.stderr == ""


def test_prints_json(topics, namespace):
    """Plan, apply and ls for programs."""
    planned = json.loads(topics("plan", "--json").stdout)
    applied = json.loads(topics("apply", "--json").stdout)
    listed = json.loads(topics("ls", "--json").stdout)

    assert {t["action"] for t in planned["topics"]} == {"create"}
    assert all(t["created"] for t in applied["topics"])
    partitions = {t["topic"]: t["partitions"] for t in listed}
    assert partitions[f"{namespace}.order.created"] == 4
    assert partitions[f"{namespace}.dlq.order.created"] == 4
    assert partitions[f"{namespace}.dlq-consumer-group.actions"] == 1


def test_lists_what_is_missing(topics, namespace):
    """A table with a row for each declared topic."""
    listed = topics("ls")

    assert listed.returncode == 0
    assert f"{namespace}.order.created" in listed.stdout
    assert "missing" in listed.stdout


def test_a_refusal_ends_with_exit_status_1(topics, kafka, namespace):
    """The changelog would have to shrink; everything else is created all the same."""
    (changelog,) = Topology(namespace).changelogs("activity-processor")
    oversized = TopicPlan(changelog.name, 9, 1, {"cleanup.policy": "compact"}, None, "create")

    async def create():
        async with Cluster(KafkaConnection.plaintext(kafka)) as cluster:
            await cluster.create([oversized])

    asyncio.run(create())

    applied = topics("apply")

    assert applied.returncode == 1
    assert f"! {changelog.name}\n!     partitions 9 -> 3 refused" in applied.stdout
    assert f"+ {namespace}.order.created created\n" in applied.stdout


def test_without_a_broker_it_says_so_in_one_line(topics):
    """No traceback, exit status 1."""
    planned = topics("plan", servers="127.0.0.1:1")

    assert planned.returncode == 1
    assert planned.stdout == ""
    assert planned.stderr == (
        "Error: Kafka at 127.0.0.1:1 does not answer: connection refused; "
        "start it with: trunkline broker start\n"
    )


def test_apply_waits_for_a_broker_that_is_not_up_yet(topics):
    """It says so once, and gives up when it was told to."""
    applied = topics("apply", "--wait", "6", servers="127.0.0.1:1")

    assert applied.returncode == 1
    waits, gives_up = applied.stderr.splitlines()
    assert re.match(r"Waiting, for \d s at most: Kafka at 127\.0\.0\.1:1 does not answer", waits)
    assert gives_up.startswith("Error: Kafka at 127.0.0.1:1 does not answer")


async def test_apply_goes_on_when_the_broker_is_up(topics, own_broker):
    """A cluster and the job that makes its topics may be started together."""
    broker = own_broker()
    applying = asyncio.create_task(
        asyncio.to_thread(topics, "apply", "--wait", "100", servers=broker.bootstrap_servers)
    )
    await asyncio.sleep(2)  # long enough for it to have asked once, mostly; it may as well be late
    await asyncio.to_thread(broker.start)

    applied = await applying

    assert applied.returncode == 0, applied.stderr
    assert "Error" not in applied.stderr
    assert "created" in applied.stdout


async def test_apply_waits_until_there_are_enough_brokers_for_three_copies(topics, own_broker):
    """A broker that has never started is unknown to the others: two would get one copy each."""
    broker = own_broker(nodes=3)
    await asyncio.to_thread(broker.start)
    servers = broker.bootstrap_servers

    too_few = topics("apply", "--brokers", "4", servers=servers)
    enough = topics("apply", "--brokers", "3", "--wait", "60", "--json", servers=servers)

    assert too_few.returncode == 1
    assert "Of 4 brokers (--brokers) 3 have joined the cluster" in too_few.stderr
    assert {t["replication_factor"] for t in json.loads(enough.stdout)["topics"]} == {3}
    assert {t["action"] for t in json.loads(enough.stdout)["topics"]} == {"create"}
