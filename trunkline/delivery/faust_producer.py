"""Faust's producer, made to mean what it says; the contract test covers what it replaces."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.errors import KafkaError
from faust.exceptions import ProducerSendError
from faust.transport.drivers import aiokafka as driver

from trunkline.delivery.consumer_thread import CLOSE_TIMEOUT_S


class Producer(driver.Producer):
    """Faust's producer (changelogs); its flush means what it says, closing is limited in time.

    Stock ``flush`` gives up after 0.1 s without progress, does not count the message that is just
    being sent, and does not look at errors: source offsets would be committed ahead of the table's
    changelog, and a kill at that moment would lose what the table remembered.
    """

    mundane_level = "debug"

    def __init__(self, *args: Any, **options: Any) -> None:
        self._unacknowledged: set[Any] = set()
        self._failure: BaseException | None = None
        super().__init__(*args, **options)

    def send_soon(self, fut: Any) -> None:
        """Buffer a message, and remember it until the broker has acknowledged it."""
        self._unacknowledged.add(fut)
        fut.add_done_callback(self._settled)
        super().send_soon(fut)

    def _settled(self, fut: Any) -> None:
        self._unacknowledged.discard(fut)
        if not fut.cancelled() and fut.exception() is not None:
            self._failure = fut.exception()

    async def flush(self) -> None:
        """Return when all that was sent so far is acknowledged.

        Raises:
            ProducerSendError: Some of it never will be: the tables are ahead of their changelogs,
                which only a restart mends.

        """
        if self._unacknowledged:
            await asyncio.wait(set(self._unacknowledged))
        if self._failure is not None:
            raise ProducerSendError(f"A changelog was not written: {self._failure!r}")
        await super().flush()

    async def on_stop(self) -> None:
        """Close within the limit, whether or not the broker is there."""
        try:
            await asyncio.wait_for(super().on_stop(), CLOSE_TIMEOUT_S)
        except (TimeoutError, KafkaError) as error:
            self.log.warning("The producer did not close in time: %r", error)
