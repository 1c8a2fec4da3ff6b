"""Bad events among the demo traffic, so that there are dead letters to look at.

The publishers' HTTP endpoints refuse them, so they go straight to Kafka, as any other client's do.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from typing import Protocol

from trunkline.delivery.producer import OutRecord
from trunkline.errors import TrunklineError
from trunkline.topology import AUTH_REGISTERED, ORDER_CREATED, Topology

logger = logging.getLogger(__name__)

#: What clients get wrong: a number as an id, an amount in euros, a document that was cut off.
_BAD = (
    (AUTH_REGISTERED, b"10007", b'{"userId": 10007, "email": "tim.10007@example.com"}'),
    (ORDER_CREATED, b"10012", b'{"orderId": "o-demo", "userId": "10012", "amountCents": 19.99}'),
    (AUTH_REGISTERED, b"10031", b'{"userId": "10031", "ema'),
)


class Producer(Protocol):
    """What of :class:`trunkline.delivery.producer.RecordProducer` is needed."""

    async def send_many(self, records: Sequence[OutRecord], /) -> object:
        """Publish records; return when Kafka has them."""


class BadEvents:
    """Publishes a bad event beside every so many good ones.

    Args:
        producer: Publishes it.
        topology: The topics.
        share: How many bad ones there are for each good one, above 0.

    """

    def __init__(self, producer: Producer, topology: Topology, share: float) -> None:
        self._producer = producer
        self._share = share
        self._due = 0.0
        self._bad = itertools.cycle(
            OutRecord(topology.topic(topic).name, value, key=key) for topic, key, value in _BAD
        )

    async def after_a_good_one(self) -> None:
        """Publish a bad event when it is time for one; one that Kafka does not take is left out."""
        self._due += self._share
        if self._due < 1:
            return
        self._due -= 1
        try:
            await self._producer.send_many([next(self._bad)])
        except TrunklineError as error:
            logger.debug("No bad event this time: %s", error)
