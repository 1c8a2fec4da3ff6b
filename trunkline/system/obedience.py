"""Do on this pod what operators have ordered on ``trunkline.control``."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from mode import Service

from trunkline.delivery.app import DeliveryApp
from trunkline.delivery.follower import TopicFollower
from trunkline.system.orders import Orders
from trunkline.system.reporter import INCARNATION
from trunkline.topology import Topology

logger = logging.getLogger(__name__)

_LOOK_S = 0.2


class Obedience(Service):
    """Follow the orders; the topic is read to its end before this pod consumes anything.

    So a pause holds from the first event of a pod on, however often it is restarted. When Kafka
    goes away later, what was ordered last goes on to hold.

    Args:
        app: The worker.
        topology: Where the orders are.
        group: Real name of the worker's group.

    """

    mundane_level = "debug"

    def __init__(self, app: DeliveryApp, topology: Topology, group: str, **options: Any) -> None:
        super().__init__(**options)
        self.orders = Orders()
        self._app = app
        self._group = group
        self._pod = app.trunkline.pod_name
        self._follower = TopicFollower.of_topic(
            app.trunkline.connection,
            topology.control_topic().name,
            self._take,
            client_id=f"{self._pod}.control",
        )
        self._draining: asyncio.Task[None] | None = None
        self._has_read = False

    async def on_start(self) -> None:
        """Read what was ordered, to the end that the topic has now."""
        await self._follower.maybe_start()
        while not self._is_stopping():
            error = await self._read_to_end()
            if error is None:
                self._has_read = True
                self._obey()
                return
            # Without its pauses this pod must not consume, whatever the mistake is.
            logger.error("Reading the orders failed; it is tried again", exc_info=error)
            await asyncio.sleep(_LOOK_S)

    async def _read_to_end(self) -> BaseException | None:
        """Return what went wrong; None when all was read, or this pod is being stopped."""
        reading = asyncio.create_task(self._follower.read_to_end())
        while not reading.done() and not self._is_stopping():
            await asyncio.wait({reading}, timeout=_LOOK_S)
        if reading.done():
            return reading.exception()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        return None

    async def on_stop(self) -> None:
        """Stop listening."""
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.gather(self._draining, return_exceptions=True)
        await self._follower.stop()

    def _is_stopping(self) -> bool:
        root = self.beacon.root
        return bool(self.should_stop or (root is not None and root.data.should_stop))

    def _take(self, record: Any) -> None:
        self.orders.take(record)
        if self._has_read:  # what was taken back since is not obeyed for a moment at each start
            self._obey()

    def _obey(self) -> None:
        self._app.pauses.order(self.orders.paused(self._group))
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._follow_drain(), name="drain")

    async def _follow_drain(self) -> None:
        """Go out of the group or back into it, until the state is as ordered last."""
        drain = self._app.drain
        while True:
            is_out = drain.state == "drained"
            if is_out == self.orders.drains_pod(self._pod, INCARNATION):
                return
            try:
                await (drain.back() if is_out else drain.out())
            except Exception:
                logger.exception("Draining failed; the pod stays as it is until it is told again")
                return
