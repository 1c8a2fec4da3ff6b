"""From a published notification to a client's event stream, on the real Kafka."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import pytest

from agents.fan_out import relay_notifications
from models import NotificationSent
from tests.support.event_stream import serve
from tests.support.kafka import create_topics, produce, read_all
from tests.support.waiting import eventually
from trunkline.connection import KafkaConnection
from trunkline.delivery.chain import context_of
from trunkline.delivery.producer import RecordProducer
from trunkline.delivery.receiver import BroadcastReceiver
from trunkline.delivery.tail import TopicTail
from trunkline.web.notifications import HubLimits

pytestmark = pytest.mark.kafka

LIMITS = HubLimits(replay=100)


@asynccontextmanager
async def pod(kafka, topic, group=None):
    """Run what a notification-service pod runs, wired as the worker wires it."""
    async with serve(LIMITS, is_ready=lambda: receiver.ready) as service:
        tail = TopicTail(topic, KafkaConnection.plaintext(kafka), group=group, replay=LIMITS.replay)
        receiver = BroadcastReceiver(tail, NotificationSent, service.hub.on_notification)
        await receiver.start()
        await eventually(lambda: receiver.ready)
        try:
            yield service
        finally:
            await receiver.stop()


async def publish(kafka, topic, *messages):
    await produce(
        kafka,
        topic,
        [(b"u", msgspec.json.encode(NotificationSent(user_id="u", message=m))) for m in messages],
    )


async def test_a_relayed_notification_reaches_the_clients_of_every_pod(kafka, namespace):
    """The seed's second solution: published once, relayed once, pushed by every pod."""
    source, fanout = f"{namespace}.source", f"{namespace}.fanout"
    await create_topics(kafka, {source: 1, fanout: 1})
    producer = RecordProducer(KafkaConnection.plaintext(kafka), "test")
    await producer.start()
    async with AsyncExitStack() as stack:
        pods = [await stack.enter_async_context(pod(kafka, fanout)) for _ in range(2)]
        streams = [await stack.enter_async_context(p.stream("u")) for p in pods]
        for stream in streams:
            await stream.greeting()
        await publish(kafka, source, "hello")
        contexts = [
            context_of(record, record.topic, record.partition)
            for record in await read_all(kafka, source)
        ]
        await relay_notifications(producer, fanout)([], contexts)
        assert [await stream.message() for stream in streams] == ["hello", "hello"]
    await producer.stop()


@pytest.mark.parametrize("mode", ["fanout", "direct"])
async def test_a_client_resumes_at_another_pod_and_at_a_new_one(kafka, namespace, mode):
    """What was published between two connections is pushed by whichever pod the client gets."""
    await create_topics(kafka, {namespace: 1})
    groups = [f"{namespace}-{n}" if mode == "direct" else None for n in range(2)]
    async with pod(kafka, namespace, groups[0]) as other:
        async with pod(kafka, namespace, groups[1]) as first, first.stream("u") as stream:
            await stream.greeting()
            await publish(kafka, namespace, "0", "1")
            assert [await stream.message() for _ in range(2)] == ["0", "1"]
            last_id = stream.last_id
        await publish(kafka, namespace, "2", "3")
        await eventually(lambda: other.hub.stats()["buffered"] == 4)
        async with other.stream("u", Last_Event_ID=last_id) as stream:
            assert [await stream.message() for _ in range(2)] == ["2", "3"]
    async with pod(kafka, namespace, groups[1]) as again:
        async with again.stream("u", Last_Event_ID=last_id) as stream:
            assert [await stream.message() for _ in range(2)] == ["2", "3"]
            await publish(kafka, namespace, "4")
            assert await stream.message() == "4"
        assert again.hub.stats()["gaps"] == 0


async def test_a_burst_to_one_client_is_no_slow_client(kafka, namespace):
    """5,000 notifications at once for one user: a client that reads gets all, and stays."""
    await create_topics(kafka, {namespace: 1})
    async with pod(kafka, namespace) as service, service.stream("u") as stream:
        await stream.greeting()
        reading = asyncio.create_task(_messages(stream, 5000))
        await publish(kafka, namespace, *(str(n) for n in range(5000)))
        assert await reading == [str(n) for n in range(5000)]
        assert service.hub.stats()["dropped_slow"] == 0


async def _messages(stream, count):
    return [await stream.message() for _ in range(count)]
