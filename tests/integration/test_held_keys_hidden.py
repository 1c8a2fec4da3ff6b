"""What was committed behind a transaction that a dead pod left open is not overlooked."""

from __future__ import annotations

import asyncio

from models.failures import WIRE_VERSION, HeldKey, HeldRange, encode
from tests.support.kafka import create_topics
from tests.support.waiting import eventually
from trunkline.connection import KafkaConnection
from trunkline.delivery.fenced import FencedTransactions
from trunkline.delivery.held_keys import HeldKeys
from trunkline.delivery.producer_call import OutRecord
from trunkline.delivery.tail import TopicTail


async def test_a_hold_behind_an_open_transaction_is_waited_for(kafka, namespace):
    """A new owner must not begin before it knows it."""
    topic = f"{namespace}.held-keys"
    await create_topics(kafka, {topic: 1})
    dead, alive = (
        FencedTransactions(
            KafkaConnection.plaintext(kafka),
            name,
            f"{namespace}.{name}",
            transaction_timeout_s=60,
        )
        for name in ("dead", "alive")
    )
    await dead.open()
    await alive.open()
    await dead._link.producer.begin_transaction()
    await dead._link.producer.send_and_wait(topic, key=b"half", value=b"done")
    key, held = HeldKey("hold", "t", 0, b"k"), HeldRange(WIRE_VERSION, 1, 2, 1, 2, True)
    await alive.transact([OutRecord(topic, encode(held), key=encode(key))])
    replica = HeldKeys(TopicTail(topic, KafkaConnection.plaintext(kafka), replay=2**62))
    await replica.start()
    reading = asyncio.create_task(replica.read_to_end())
    try:
        done, _ = await asyncio.wait({reading}, timeout=1)
        assert not done, "it did not wait for the open transaction"
        await dead.open()  # its next incarnation rolls it back
        await eventually(reading.done, what="the topic to be read")
        assert replica.get(key) == held
    finally:
        reading.cancel()
        await replica.stop()
        await dead.close()
        await alive.close()
