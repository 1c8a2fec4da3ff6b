"""Drain a worker: it gives its partitions to the others, stays up, and can be told to go on.

For an operator who wants to look at a pod, or to take it away without anybody waiting for it. It
finishes what runs, commits, leaves its group, and serves on; SIGTERM ends it as ever.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Literal

logger = logging.getLogger(__name__)

State = Literal["working", "draining", "drained"]
_POLL_S = 0.05


class Drain:
    """The one pod's place in its group: in it, on its way out, or out.

    Args:
        app: Whose consumer leaves and joins.

    """

    def __init__(self, app: Any) -> None:
        self.state: State = "working"
        self._app = app
        self._turn = asyncio.Lock()

    async def out(self) -> None:
        """Leave the group; returns when all that ran has ended and the group knows."""
        async with self._turn:
            if self.state != "working":
                return
            self.state = "draining"
            logger.warning("Drained by an operator: giving all partitions to the other pods")
            try:
                await self._no_rebalance()
                await self._leave()
            except BaseException:
                self.state = "working"
                raise
            self.state = "drained"
            self._app.has_assignment = False
            logger.warning("Drained: out of the group, waiting to be resumed or ended")

    async def back(self) -> None:
        """Join the group again."""
        async with self._turn:
            if self.state != "drained":
                return
            await self._app.consumer.join_group()
            self.state = "working"
            logger.info("Resumed by an operator: joining the group again")

    async def _leave(self) -> None:
        try:
            await self._app.consumer.leave_group()
        except Exception:
            # Half-way out it would handle nothing, and no order would bring it back.
            await self._app.consumer.join_group()
            raise

    async def _no_rebalance(self) -> None:
        """Wait until the group has settled, so that there is something to leave."""
        while self._app.rebalancing or not self._app.has_assignment:
            await asyncio.sleep(_POLL_S)
