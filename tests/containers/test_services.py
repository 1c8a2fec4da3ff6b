"""The project's own image: events posted to one container are stored by the pods of another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from testcontainers.core.network import Network

from tests.containers.kafka import ApacheKafka
from tests.containers.service import ServiceContainer, run_once
from tests.support import eventually

pytestmark = pytest.mark.containers
TOPIC = "auth.registered"
USERS = 300
_ROWS = (
    "import glob, sqlite3; "
    "print(sum(sqlite3.connect(f).execute('select count(*) from registered_users').fetchone()[0]"
    " for f in glob.glob('/data/*.sqlite')))"
)


def handled(pod: ServiceContainer) -> int:
    return pod.get("/stats")["topics"].get(TOPIC, {}).get("handled", 0)


def rows(pod: ServiceContainer) -> int:
    result = pod.exec(["python", "-c", _ROWS])
    assert result.exit_code == 0, result.output
    return int(result.output)


async def ready(*pods: ServiceContainer) -> None:
    await eventually(
        lambda: all(pod.is_ready() for pod in pods), timeout_s=60, what="the pods to be ready"
    )


async def test_pods_of_the_image_share_and_store_what_another_container_published(
    service: Callable[..., ServiceContainer],
) -> None:
    """Every event that auth-service took over HTTP is one row in one of two db-server pods."""
    pods = [service("db-server", TRUNKLINE_POD=f"db-server-{n}") for n in range(2)]
    auth = service("auth-service")
    await ready(*pods, auth)
    await eventually(
        lambda: all(partitions(pod) for pod in pods), timeout_s=60, what="both pods to have a part"
    )

    events: list[dict[str, Any]] = [
        {"userId": f"user-{n}", "email": f"user-{n}@example.com"} for n in range(USERS)
    ]
    assert auth.post(f"/events/{TOPIC}", events) == 202

    await eventually(
        lambda: sum(map(handled, pods)) >= USERS, timeout_s=60, what="all events handled"
    )
    assert sum(map(handled, pods)) == USERS
    assert all(handled(pod) for pod in pods)
    assert sum(map(rows, pods)) == USERS


async def test_a_bad_event_is_a_dead_letter_that_a_redrive_gives_back_to_its_group(
    service: Callable[..., ServiceContainer], network: Network, kafka_container: ApacheKafka
) -> None:
    """The image's command line redrives it, and its group fails it once more."""
    pod = service("db-server", TRUNKLINE_POD="db-server-failing")
    await ready(pod)
    async with AIOKafkaProducer(bootstrap_servers=kafka_container.bootstrap_servers) as bad:
        await bad.send_and_wait(TOPIC, b'{"userId": 1}', key=b"1")

    def dead() -> int:
        return pod.get("/stats")["topics"].get(TOPIC, {}).get("dead", 0)

    def trunkline(*arguments: str) -> Any:
        command = ["trunkline", *arguments, "--json"]
        return json.loads(run_once(network, command, KAFKA_BOOTSTRAP_SERVERS=ApacheKafka.inside))

    await eventually(lambda: dead() == 1, timeout_s=60, what="the dead letter")
    (cause,) = trunkline("dlq", "ls")
    assert (cause["group"], cause["count"]) == ("db-server-group", 1)

    assert trunkline("dlq", "redrive", "--yes")["redriven"] == 1

    await eventually(lambda: dead() == 2, timeout_s=60, what="the redriven event's dead letter")
    (letter,) = trunkline("dlq", "ls", "--letters")
    assert letter["redrives"] == 1


def partitions(pod: ServiceContainer) -> Any:
    return pod.get("/stats")["partitions"]


async def test_a_pod_is_healthy_and_ends_on_sigterm(
    service: Callable[..., ServiceContainer],
) -> None:
    """The image's own health check turns healthy, and `docker stop` ends the worker in time."""
    pod = service("db-server", TRUNKLINE_POD="db-server-stopped")
    await ready(pod)
    await eventually(lambda: pod.health() == "healthy", timeout_s=60, what="a healthy container")

    exit_code = await asyncio.wait_for(asyncio.to_thread(pod.terminate), timeout=15)

    assert exit_code == 0
