"""Reading a topic while another task lets go of the client, as a worker that stops does."""

from __future__ import annotations

import asyncio

import pytest

from trunkline.connection import KafkaConnection
from trunkline.delivery.tail import TopicTail
from trunkline.errors import BrokerError


class Client:
    """A consumer whose answers wait for leave, and come though it was closed."""

    def __init__(self, batches):
        self.leave = asyncio.Event()
        self.asked = asyncio.Event()
        self._batches = batches

    def assignment(self):
        return set()

    def partitions_for_topic(self, _topic):
        return set()

    def last_poll_timestamp(self, _place):
        return 0

    async def getmany(self, **_):
        self.asked.set()
        await self.leave.wait()
        return self._batches


@pytest.mark.parametrize("batches", [{}, {"place": ["record"]}])
async def test_a_poll_that_is_overtaken_by_the_end_gives_nothing(batches):
    """No record of a client that is gone, and no traceback at every stop."""
    tail = TopicTail("topic", KafkaConnection.plaintext("127.0.0.1:1"))
    tail._consumer = client = Client(batches)
    poll = asyncio.create_task(tail.poll())
    await client.asked.wait()
    tail._consumer = None
    client.leave.set()
    assert await poll == []


async def test_without_a_client_it_says_so():
    """Whoever goes on to ask hears that there is nothing to ask."""
    tail = TopicTail("topic", KafkaConnection.plaintext("127.0.0.1:1"))
    with pytest.raises(BrokerError, match="not being read"):
        await tail.poll()
