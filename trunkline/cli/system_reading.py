"""The system view for a command: opened, read, and closed again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from trunkline.cli.reports import quietly
from trunkline.errors import BrokerError, TopologyError, TrunklineError
from trunkline.settings import Settings
from trunkline.system.view import SystemView
from trunkline.topics.cluster import Cluster
from trunkline.topology import Topology

_READ_WITHIN_S = 15.0
_ASK_AGAIN_S = 0.02


class NothingRunsError(TrunklineError):
    """No pod reports."""


@contextlib.asynccontextmanager
async def system_view(settings: Settings, topology: Topology) -> AsyncIterator[SystemView]:
    """Give a view that has read all reports and asked the brokers once.

    Raises:
        BrokerError: Kafka is away.
        TopologyError: The topic of the reports is not there.

    """
    quietly()
    workers = topology.workers_topic().name
    async with Cluster(settings.connection) as cluster:
        if workers not in (await cluster.read([workers])).topics:
            raise TopologyError(
                f"There is no topic {workers}, to which pods report: nothing was ever started "
                "here, or under another TRUNKLINE_NAMESPACE. Start everything with: trunkline up"
            )
    view = SystemView(settings, topology)
    await view.start()
    try:
        await _read(view)
        yield view
    finally:
        await view.stop()


async def _read(view: SystemView) -> None:
    try:
        async with asyncio.timeout(_READ_WITHIN_S):
            while not (view.caught_up and view.brokers.at_s):
                await asyncio.sleep(_ASK_AGAIN_S)
    except TimeoutError:
        why = view.brokers.error or "it took too long"
        raise BrokerError(f"Kafka did not tell how the system is: {why}. Try again.") from None


def check_something_runs(view: SystemView) -> None:
    """Refuse when no pod has reported within a day.

    Raises:
        NothingRunsError: None has.

    """
    if not view.workers.all():
        raise NothingRunsError(
            "Nothing runs: no pod has reported within a day. Start everything with 'trunkline up', "
            "or check KAFKA_BOOTSTRAP_SERVERS and TRUNKLINE_NAMESPACE."
        )
