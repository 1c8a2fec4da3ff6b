"""A small running system with failing traffic, for tests that look at the console."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.kafka import produce
from tests.support.waiting import eventually
from tests.support.worker import Worker, workers
from trunkline.connection import KafkaConnection
from trunkline.topics import apply
from trunkline.topology import AUTH_REGISTERED, Topology

#: Users whose rows the database refuses: their events fail, and wait to be tried again.
REFUSED_USER = "10007"
SERVICES = ("db-server", "dlq", "console")
#: A first retry soon, the next one in ten minutes: so something waits while tests look at it.
_BACKOFF = "list:1,600"


class ConsoleSystem:
    """The workers, and what tests do to them.

    Attributes:
        url: Where the console is.
        topology: With the namespace of this system.
        servers: Kafka's bootstrap servers.
        workers: By service.

    """

    def __init__(self, servers: str, topology: Topology, folder: Path) -> None:
        self.servers = servers
        self.topology = topology
        self.workers: dict[str, Worker] = {}
        self._database = folder / "data/db-server.sqlite"

    @property
    def url(self) -> str:
        """Where the console is."""
        return f"http://127.0.0.1:{self.workers['console'].port}"

    async def publish(self, user_id: str, **fields: Any) -> None:
        """Publish an ``auth.registered`` event."""
        event = {"userId": user_id, "email": f"{user_id}@example.com", **fields}
        await self.publish_raw(user_id.encode(), json.dumps(event).encode())

    async def publish_raw(self, key: bytes | None, value: bytes | None) -> None:
        """Put anything into ``auth.registered``."""
        topic = self.topology.topic(AUTH_REGISTERED).name
        await produce(self.servers, topic, [(key, value)])

    def break_handler(self) -> None:
        """Let the database refuse the rows of one user."""
        self._sql(
            "CREATE TRIGGER IF NOT EXISTS refuse BEFORE INSERT ON registered_users "
            f"WHEN NEW.user_id = '{REFUSED_USER}' "
            "BEGIN SELECT RAISE(ABORT, 'quota exceeded'); END"
        )

    def mend_handler(self) -> None:
        """Let it take them again."""
        self._sql("DROP TRIGGER IF EXISTS refuse")

    def _sql(self, statement: str) -> None:
        with sqlite3.connect(self._database, timeout=10) as connection:
            connection.execute(statement)
        connection.close()


@asynccontextmanager
async def console_system(
    servers: str, namespace: str, folder: Path, **settings: Any
) -> AsyncIterator[ConsoleSystem]:
    """Run db-server, dlq and the console, with events that were handled, that wait, and dead ones.

    Args:
        servers: Kafka's bootstrap servers.
        namespace: Put before topics and groups.
        folder: For logs and data.
        settings: More environment variables of the workers.

    """
    topology = Topology(namespace)
    await apply(KafkaConnection.plaintext(servers), topology)
    system = ConsoleSystem(servers, topology, folder)
    with workers(folder, servers, namespace) as start:
        for service in SERVICES:
            system.workers[service] = start(
                f"{service}.1",
                TRUNKLINE_SERVICE=service,
                TRUNKLINE_RETRY_BACKOFF=_BACKOFF,
                TRUNKLINE_DATA_DIR=folder / "data",
                **settings,
            )
        await asyncio.gather(*(worker.wait_ready() for worker in system.workers.values()))
        await _fail(system)
        yield system


async def _fail(system: ConsoleSystem) -> None:
    system.break_handler()
    for number in range(20):
        await system.publish(str(20_000 + number))
    for _ in range(3):
        await system.publish(REFUSED_USER)
    for value in (b'{"userId": 10012, "email": "x"}', b'{"userId": "10031", "ema', b"\xff\x00\x01"):
        await system.publish_raw(b"10031", value)

    async def all_failed() -> bool:
        stats = await system.workers["db-server"].stats()
        letters = (await system.workers["dlq"].stats()).get("dead_letters", {})
        waiting = stats.get("retries", {}).get("waiting", 0)
        return bool(waiting >= 3 and (letters.get("open") or 0) >= 3)

    await eventually(all_failed, 120, "events that wait, and dead letters")
