"""A worker process: in which order it starts its parts, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import faust
from faust.app.base import BootStrategy

from trunkline.delivery.deadline import Deadline
from trunkline.delivery.logs import make_readable
from trunkline.delivery.memory import MemoryKeeper, spare_the_garbage_collector

logger = logging.getLogger(__name__)

#: How long tasks that were cancelled at the worker's end may take to clean up.
_LAST_TASKS_S = 1.0


class DeliveryBoot(BootStrategy):
    """Start order: the web server first, then wait for the broker, then all that needs it."""

    def server(self) -> Iterable[Any]:
        """Return the services in the order of their start."""
        before = self._chain(self.sensors(), self.web_server(), [self.app.gate])
        if not self.app.batched_topics:
            # A publisher, or a service that only receives: Faust's consumer has nothing to do.
            return self._chain(before, self.app.before_consumer)
        return self._chain(
            before,
            self.kafka_producer(),
            self.app.before_consumer,
            self.kafka_consumer(),
            self.agents(),
            self.kafka_conductor(),
            self.tables(),
        )


class DeliveryWorker(faust.Worker):
    """A worker that ends in time, whatever hangs, and whose log can be read."""

    def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
        """Keep the libraries' chatter for ``-l debug``: ``-l info`` is what an operator reads."""
        super().on_setup_root_logger(logger, level)
        make_readable(logging.getLogger(), level)

    async def on_startup_finished(self) -> None:
        """Say that the worker is ready, and where it serves."""
        spare_the_garbage_collector()
        self.add_future(MemoryKeeper().run())
        logger.info("%s is ready: %s", self.app.trunkline.pod_name, self.app.conf.canonical_url)
        await super().on_startup_finished()

    def install_signal_handlers(self) -> None:
        """Handle signals as Faust does, and count the time from then on."""
        super().install_signal_handlers()
        Deadline(self.app.shutdown_timeout_s).watch()

    async def _sentinel_task(self) -> None:
        """Let cancelled tasks end, which is all that the second is for that stock Faust sleeps."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_TASKS_S):
                while left := asyncio.all_tasks() - {asyncio.current_task()}:
                    await asyncio.wait(left)
        await asyncio.sleep(0)  # what was closed last is told so

    def _on_sigterm(self) -> None:
        logger.info("Stopping: finishing what runs, then committing")
        super()._on_sigterm()
