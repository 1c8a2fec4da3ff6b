"""Follow a topic from its beginning: everything that stands there, then everything that comes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from aiokafka.errors import KafkaError
from mode import Service

from trunkline.connection import KafkaConnection
from trunkline.delivery.producer_link import explain
from trunkline.delivery.tail import TopicTail, read_to_end
from trunkline.errors import BrokerError

logger = logging.getLogger(__name__)

#: Given as a tail's ``replay``: from the beginning.
FROM_THE_BEGINNING = 2**62
_RETRY_S = 0.5


class TopicFollower(Service):
    """Gives every record of a topic to a function, in the order of each partition's offsets.

    It can be started before the broker or the topic is there: it waits, and says so once.

    Args:
        make_tail: Makes the tail; called again when all is to be read anew.
        take: Called with each record; must not block. What it raises is logged, and the record
            passed over: what a stranger wrote must not end the reading for ever.
        forget: Called before all is read anew: the topic was made anew, or :meth:`reread`. Without
            it, what is known stays until another record says otherwise.

    """

    mundane_level = "debug"

    def __init__(
        self,
        make_tail: Callable[[], TopicTail],
        take: Callable[[Any], None],
        forget: Callable[[], None] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._make_tail = make_tail
        self._take = take
        self._forget = forget
        self._tail = make_tail()
        self._ready = self._said = self._reread = False

    @classmethod
    def of_topic(
        cls, connection: KafkaConnection, topic: str, take: Callable[[Any], None], *, client_id: str
    ) -> TopicFollower:
        """Return one that reads a topic from its beginning, and forgets nothing."""

        def tail() -> TopicTail:
            return TopicTail(topic, connection, replay=FROM_THE_BEGINNING, client_id=client_id)

        return cls(tail, take)

    @property
    def ready(self) -> bool:
        """Whether all that stood in the topic at the beginning was read."""
        return self._ready

    @property
    def connected(self) -> bool:
        """Whether Kafka is being read; what was read before stays when it is not."""
        return self._tail.connected

    async def read_to_end(self) -> None:
        """Return when all that the topic has now was handed out; waits for the broker."""
        await read_to_end(lambda: self._tail)

    def reread(self) -> None:
        """Forget everything, and read it anew."""
        self._reread = True

    async def on_stop(self) -> None:
        """Let go of the client."""
        await self._tail.close()

    @Service.task
    async def _follow(self) -> None:
        while not self.should_stop:
            try:
                await self._read()
            except (KafkaError, BrokerError, TimeoutError, OSError) as error:
                self._say(f"Reading {self._tail.topic} waits for Kafka: {explain(error)}")
            except Exception:
                # Mode would end the reading for ever, and the pages would show what was once so.
                logger.exception("Reading %s failed; it is tried again", self._tail.topic)
            await self._tail.close()
            await self.sleep(_RETRY_S)

    async def _read(self) -> None:
        if not await self._tail.open():
            self._say(
                f"Topic {self._tail.topic} does not exist; waiting for it (make it with: "
                "trunkline topics apply)"
            )
            return
        self._said = False
        while not self.should_stop:
            if self._reread:
                await self._begin_anew()
                return
            before = dict(self._tail.positions)
            for record in await self._tail.poll():
                self._give(record)
                self._tail.positions[record.partition] = record.offset + 1
            if any(self._tail.positions[p] < at for p, at in before.items()):
                self._reread = True  # the topic was deleted and made anew
            self._ready = self._ready or self._tail.caught_up
            await asyncio.sleep(0)

    def _give(self, record: Any) -> None:
        try:
            self._take(record)
        except Exception as error:  # whatever a stranger wrote
            logger.warning(
                "%s[%s]@%s is no record of ours and is passed over: %r",
                record.topic,
                record.partition,
                record.offset,
                error,
            )

    async def _begin_anew(self) -> None:
        with contextlib.suppress(KafkaError, OSError):
            await self._tail.close()
        self._tail = self._make_tail()
        if self._forget is not None:
            self._forget()
        self._ready = self._reread = False

    def _say(self, what: str) -> None:
        if not self._said and not self.should_stop:
            logger.warning("%s", what)
        self._said = True
