"""A worker that cannot do its work says why and ends; it never starts in silence."""

from __future__ import annotations

import re

import pytest

from tests.support.kafka import create_topics
from tests.support.waiting import eventually
from tests.support.worker import Worker
from trunkline.connection import KafkaConnection
from trunkline.topics import apply
from trunkline.topology import AUTH_REGISTERED, Topology

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("service", ["db-server", "activity-processor", "order-service"])
async def test_missing_topics_are_named(kafka, namespace, tmp_path, service):
    """Nothing was applied: exit code 1, each topic, and the command that makes them."""
    worker = Worker(tmp_path, kafka, namespace, TRUNKLINE_SERVICE=service).start()
    try:
        assert await worker.wait_for_end(60) == 1
        assert f"{service} cannot start" in worker.output()
        assert f"{namespace}." in worker.output()
        assert "the topic is missing" in worker.output()
        assert "trunkline topics apply" in worker.output()
        assert "Traceback" not in worker.output()
    finally:
        worker.kill()


async def test_missing_topics_may_be_waited_for(kafka, namespace, tmp_path):
    """It is live, says once what it waits for, and works when another one has made them."""
    wait = {"TRUNKLINE_SERVICE": "db-server", "TRUNKLINE_START_WAIT_S": 100}
    worker = Worker(tmp_path, kafka, namespace, **wait).start()
    other = Worker(tmp_path, kafka, namespace, name="gives-up", **wait).start()
    try:
        await eventually(lambda: "Waiting, for" in other.output(), 60, "the other one to wait")
        assert (await other.terminate())[0] == 0
        await eventually(lambda: "Waiting, for" in worker.output(), 60, "it to wait")
        assert (await worker.get("/health/live"))[0] == 200
        status, body = await worker.get("/health/ready")
        assert status == 503
        assert "waiting: db-server cannot start" in body["reason"]
        assert f"{namespace}.auth.registered: the topic is missing" in body["reason"]

        await apply(KafkaConnection.plaintext(kafka), Topology(namespace))

        await worker.wait_ready()
        # Some of the topics may have been there when it looked again.
        assert 1 <= worker.output().count("Waiting, for") <= 3
        assert (await worker.terminate())[0] == 0
    finally:
        worker.kill()
        other.kill()


async def test_it_waits_no_longer_than_it_was_told_to(kafka, namespace, tmp_path):
    """The same end as without waiting."""
    wait = {"TRUNKLINE_SERVICE": "db-server", "TRUNKLINE_START_WAIT_S": 5}
    worker = Worker(tmp_path, kafka, namespace, **wait).start()
    try:
        assert await worker.wait_for_end(60) == 1
        assert re.search(r"Waiting, for \d s at most: db-server cannot start", worker.output())
        assert "Error: db-server cannot start" in worker.output()
        assert "Traceback" not in worker.output()
    finally:
        worker.kill()


async def test_a_changelog_that_does_not_fit_its_source_is_named(kafka, namespace, tmp_path):
    """Faust would fail in the middle of its start with PartitionsMismatch."""
    topology = Topology(namespace)
    [changelog] = topology.changelogs("activity-processor")
    await create_topics(kafka, {changelog.name: changelog.partitions + 2})
    await apply(KafkaConnection.plaintext(kafka), topology)
    worker = Worker(tmp_path, kafka, namespace, TRUNKLINE_SERVICE="activity-processor").start()
    try:
        assert await worker.wait_for_end(60) == 1
        assert f"{changelog.name}: {changelog.partitions + 2} partitions" in worker.output()
        assert "Traceback" not in worker.output()
    finally:
        worker.kill()


async def test_too_few_partitions_are_named(kafka, namespace, tmp_path):
    """A topic that somebody else made with one partition: say how to grow it."""
    topology = Topology(namespace)
    await create_topics(kafka, {topology.real_name(AUTH_REGISTERED): 1})
    worker = Worker(tmp_path, kafka, namespace, TRUNKLINE_SERVICE="db-server").start()
    try:
        assert await worker.wait_for_end(60) == 1
        assert "1 partitions, declared are 3" in worker.output()
        assert "trunkline topics apply --grow" in worker.output()
        assert "Traceback" not in worker.output()
    finally:
        worker.kill()


@pytest.mark.parametrize(
    ("env", "said"),
    [
        pytest.param({"TRUNKLINE_SERVICE": "db-sever"}, "Did you mean 'db-server'?", id="unknown"),
        pytest.param({"TRUNKLINE_SERVICE": ""}, "TRUNKLINE_SERVICE is not set", id="missing"),
        pytest.param(
            {"TRUNKLINE_SERVICE": "engine", "TRUNKLINE_SESSION_TIMEOUT_S": "soon"},
            "TRUNKLINE_SESSION_TIMEOUT_S='soon'",
            id="wrong setting",
        ),
    ],
)
async def test_a_wrong_environment_is_explained(tmp_path, env, said):
    """Exit code 2, one clear error, no traceback; the broker is not even asked."""
    worker = Worker(tmp_path, "127.0.0.1:1", "", **env).start()
    try:
        assert await worker.wait_for_end(60) == 2
        assert said in worker.output()
        assert "Traceback" not in worker.output()
    finally:
        worker.kill()


async def test_an_agent_that_fails_to_import_is_not_dropped_in_silence(tmp_path):
    """Faust's autodiscovery would drop it and start without it."""
    # A copy of the project in which one agent is broken.
    worker = Worker(tmp_path, "127.0.0.1:1", "", TRUNKLINE_SERVICE="db-server")
    worker.copy_project(tmp_path / "project")
    broken = tmp_path / "project/agents/auth_registered.py"
    broken.write_text(broken.read_text() + "\nimport no_such_library\n")
    worker.start()
    try:
        assert await worker.wait_for_end(60) != 0
        assert "agents/auth_registered.py" in worker.output()
        assert "no_such_library" in worker.output()
    finally:
        worker.kill()
