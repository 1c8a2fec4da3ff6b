"""The pods' reports for a command, as they come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from trunkline.delivery.follower import TopicFollower
from trunkline.settings import Settings
from trunkline.system.workers import Worker, Workers
from trunkline.topology import Topology

_ASK_AGAIN_S = 0.1


def quietly() -> None:
    """Keep libraries and services from logging what a command says itself."""
    for name in ("aiokafka", "trunkline", "mode"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class Reports:
    """Follows what the pods report; use it with ``async with``."""

    def __init__(self, settings: Settings, topology: Topology) -> None:
        self._workers = Workers()
        self._follower = TopicFollower.of_topic(
            settings.connection,
            topology.workers_topic().name,
            self._workers.take,
            client_id="trunkline-reports",
        )

    async def __aenter__(self) -> Reports:
        await self._follower.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._follower.stop()

    async def fresh(self) -> AsyncIterator[list[Worker]]:
        """Yield the pods that report, again and again; first when all that was there is read."""
        while True:
            if self._follower.ready:
                yield self._workers.fresh()
            await asyncio.sleep(_ASK_AGAIN_S)
