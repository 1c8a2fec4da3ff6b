"""Broadcast receivers on the real Kafka: every pod gets every notification."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from agents.fan_out import relay_notifications
from models import NotificationSent
from tests.support.kafka import admin, create_topics, produce, read_all
from tests.support.waiting import eventually
from trunkline.connection import KafkaConnection
from trunkline.delivery.chain import context_of
from trunkline.delivery.origin import ORIGIN
from trunkline.delivery.producer import RecordProducer
from trunkline.delivery.receiver import BroadcastReceiver
from trunkline.delivery.tail import TopicTail

pytestmark = pytest.mark.kafka


class Pod:
    """A receiver that writes down what it was given."""

    def __init__(self, kafka, topic, **options):
        self.messages = []
        self.records = []
        self.tail = TopicTail(
            topic, KafkaConnection.plaintext(kafka), metadata_max_age_s=0.5, **options
        )
        self.receiver = BroadcastReceiver(
            self.tail, NotificationSent, self._note, commit_interval_s=0.05
        )

    def _note(self, record, event):
        self.records.append(record)
        self.messages.append(event.message)

    async def __aenter__(self):
        await self.receiver.start()
        return self

    async def __aexit__(self, *_):
        await self.receiver.stop()

    async def ready(self, timeout_s=15):
        await eventually(lambda: self.receiver.ready, timeout_s, "the receiver to be ready")

    async def gets(self, expected, timeout_s=15):
        await eventually(lambda: len(self.messages) >= len(expected), timeout_s, str(expected)[:80])
        assert self.messages == expected

    async def die(self):
        """End as kill -9 would: no last commit."""
        for task in self.receiver._running:
            task.cancel()
        await asyncio.gather(*self.receiver._running, return_exceptions=True)
        await self.tail.close()
        self.tail.group = None
        await self.receiver.stop()


def texts(start, end):
    return [str(n) for n in range(start, end)]


def records(messages):
    return [(b"u", msgspec.json.encode(NotificationSent(user_id="u", message=m))) for m in messages]


async def publish(kafka, topic, messages):
    await produce(kafka, topic, records(messages))


async def test_two_pods_both_get_everything_from_now_on(kafka, namespace):
    """Each pod gets all notifications in order, and none from before its start."""
    await create_topics(kafka, {namespace: 1})
    await publish(kafka, namespace, ["old"])
    async with Pod(kafka, namespace) as one, Pod(kafka, namespace) as two:
        await one.ready()
        await two.ready()
        await publish(kafka, namespace, texts(0, 300))
        await one.gets(texts(0, 300))
        await two.gets(texts(0, 300))
        assert one.receiver.stats()["partitions"] == {"0": {"position": 301, "lag": 0}}


async def test_reads_a_bounded_history_first_when_asked(kafka, namespace):
    """A pod that starts anew fills its replay buffer before it says that it is ready."""
    await create_topics(kafka, {namespace: 1})
    await publish(kafka, namespace, texts(0, 10))
    async with Pod(kafka, namespace, replay=3) as pod:
        await pod.ready()
        assert pod.messages == ["7", "8", "9"]


async def test_waits_for_its_topic_and_reads_it_from_the_beginning(kafka, namespace, caplog):
    """All of a topic that is made after the start is new; that it waits is said once."""
    async with Pod(kafka, namespace) as pod:
        await eventually(lambda: "does not exist" in caplog.text)
        await create_topics(kafka, {namespace: 2})
        await publish(kafka, namespace, texts(0, 20))
        await pod.gets(texts(0, 20))
    assert caplog.text.count("does not exist") == 1


async def test_undecodable_records_are_counted_and_passed_over(kafka, namespace, caplog):
    """No bytes stop the receiver, and only the first of them is logged."""
    await create_topics(kafka, {namespace: 1})
    bad = [b"", b"{", None, b"\xff", b"[]", b'{"userId":1,"message":"m"}', b'{"userId":"u"}']
    async with Pod(kafka, namespace) as pod:
        await pod.ready()
        await produce(kafka, namespace, [(b"k", value) for value in bad])
        await publish(kafka, namespace, ["good"])
        await pod.gets(["good"])
        assert pod.receiver.counters.undecodable == len(bad)
    assert caplog.text.count("reaches no client") == 1


async def test_a_callback_that_raises_stops_nothing(kafka, namespace):
    """A bug in one push must not silence the pod."""
    await create_topics(kafka, {namespace: 1})
    async with Pod(kafka, namespace) as pod:
        await pod.ready()
        note = pod.receiver._callback

        def fail_once(record, event):
            pod.receiver._callback = note
            raise ValueError(event)

        pod.receiver._callback = fail_once
        await publish(kafka, namespace, texts(0, 3))
        await pod.gets(["1", "2"])
        assert pod.receiver.counters.callback_errors == 1


async def test_partitions_that_are_added_are_read_from_their_beginning(kafka, namespace):
    """A topic that grows from 1 to 2 partitions loses nothing, whatever comes before it is seen."""
    await create_topics(kafka, {namespace: 1})
    async with Pod(kafka, namespace) as pod:
        await pod.ready()
        await publish(kafka, namespace, ["0"])
        async with admin(kafka) as client:
            await client.create_partitions({namespace: NewPartitions(2)})
        await _publish_to(kafka, namespace, 1, texts(1, 50))
        await _publish_to(kafka, namespace, 0, texts(50, 100))
        await eventually(lambda: len(pod.messages) >= 100)
        assert sorted(pod.messages, key=int) == texts(0, 100)
        assert pod.tail.positions == {0: 51, 1: 49}


async def _publish_to(kafka, topic, partition, messages):
    async def knows():
        return partition in await producer.partitions_for(topic)

    async with AIOKafkaProducer(bootstrap_servers=kafka, metadata_max_age_ms=200) as producer:
        await eventually(knows)
        for key, value in records(messages):
            await producer.send(topic, value, key=key, partition=partition)


async def test_reads_past_transaction_markers(kafka, namespace):
    """Aborted records reach nobody, and markers are no lag."""
    await create_topics(kafka, {namespace: 1})
    async with Pod(kafka, namespace) as pod:
        await pod.ready()
        async with AIOKafkaProducer(
            bootstrap_servers=kafka, transactional_id=namespace
        ) as producer:
            async with producer.transaction():
                await producer.send(namespace, records(["kept"])[0][1])
            await producer.begin_transaction()
            await producer.send_and_wait(namespace, records(["aborted"])[0][1])
            await producer.abort_transaction()
        await eventually(
            lambda: pod.receiver.stats()["partitions"] == {"0": {"position": 4, "lag": 0}}
        )
        assert pod.messages == ["kept"]


async def test_relayed_twice_is_received_once(kafka, namespace):
    """A relay that is killed before its commit relays again; two equal events are two events."""
    source, target = f"{namespace}.source", f"{namespace}.target"
    await create_topics(kafka, {source: 1, target: 1})
    await publish(kafka, source, ["0", "same", "same"])
    sources = await read_all(kafka, source)
    contexts = [context_of(record, record.topic, record.partition) for record in sources]
    producer = RecordProducer(KafkaConnection.plaintext(kafka), "test")
    await producer.start()
    relay = relay_notifications(producer, target)
    async with Pod(kafka, target) as pod:
        await pod.ready()
        await relay([], contexts)
        await relay([], contexts[1:])
        await pod.gets(["0", "same", "same"])
        await eventually(lambda: pod.receiver.counters.duplicates == 2)
    await producer.stop()
    copies = await read_all(kafka, target)
    assert [(c.key, c.value, c.timestamp) for c in copies[:3]] == [
        (s.key, s.value, s.timestamp) for s in sources
    ]
    assert dict(copies[2].headers)[ORIGIN].startswith(f"{source}/0/2/".encode())


async def test_direct_pods_each_get_everything_and_continue_where_they_left_off(kafka, namespace):
    """A group a pod: one of the same name goes on behind its last commit, without loss."""
    await create_topics(kafka, {namespace: 1})
    await publish(kafka, namespace, ["old"])
    async with (
        Pod(kafka, namespace, group=f"{namespace}-a") as one,
        Pod(kafka, namespace, group=f"{namespace}-b") as two,
    ):
        await one.ready()
        await two.ready()
        await publish(kafka, namespace, texts(0, 100))
        await one.gets(texts(0, 100))
        await two.gets(texts(0, 100))
    await publish(kafka, namespace, texts(100, 150))
    async with Pod(kafka, namespace, group=f"{namespace}-a") as again:
        await again.gets(texts(100, 150))


async def test_a_direct_pod_that_stops_before_its_first_notification_misses_none(kafka, namespace):
    """Where a pod began is committed, although nothing was read yet."""
    await create_topics(kafka, {namespace: 1})
    group = f"{namespace}-a"
    async with Pod(kafka, namespace, group=group) as pod:
        await pod.ready()
    await publish(kafka, namespace, texts(0, 5))
    async with admin(kafka) as client:
        await client.create_partitions({namespace: NewPartitions(2)})
    await _publish_to(kafka, namespace, 1, ["5"])
    async with Pod(kafka, namespace, group=group) as pod:
        await eventually(lambda: sorted(pod.messages) == texts(0, 6))


async def test_a_killed_direct_pod_loses_nothing(kafka, namespace):
    """What was pushed after the last commit comes again; nothing is left out."""
    await create_topics(kafka, {namespace: 1})
    group = f"{namespace}-a"
    pod = Pod(kafka, namespace, group=group)
    await pod.receiver.start()
    await pod.ready()
    await publish(kafka, namespace, texts(0, 2000))
    await eventually(lambda: len(pod.messages) >= 500)
    await pod.die()
    async with Pod(kafka, namespace, group=group) as again:
        await eventually(lambda: again.messages and again.messages[-1] == "1999")
        first = int(again.messages[0])
        assert again.messages == texts(first, 2000)
        assert first <= len(pod.messages)


async def test_a_replay_does_not_take_commits_back(kafka, namespace):
    """History that is read again for the buffer is not uncommitted by a kill meanwhile."""
    await create_topics(kafka, {namespace: 1})
    group = f"{namespace}-a"
    async with Pod(kafka, namespace, group=group) as pod:
        await pod.ready()
        await publish(kafka, namespace, texts(0, 10))
        await pod.gets(texts(0, 10))
    async with Pod(kafka, namespace, group=group, replay=4) as pod:
        await pod.gets(texts(6, 10))
        pod.tail.positions[0] = 7
        await pod.tail.commit(again=True)
    async with AIOKafkaAdmin(kafka) as client:
        offsets = await client.list_consumer_group_offsets(group)
    assert [place.offset for place in offsets.values()] == [10]


class AIOKafkaAdmin:
    """An admin client as a context."""

    def __init__(self, kafka):
        self._client = AIOKafkaAdminClient(bootstrap_servers=kafka)

    async def __aenter__(self):
        await self._client.start()
        return self._client

    async def __aexit__(self, *_):
        await self._client.close()


async def test_starts_before_the_broker_and_says_so_once(own_broker, namespace, caplog):
    """A pod that is started first waits, and works when the broker is there."""
    broker = own_broker()
    await asyncio.to_thread(broker.start)
    kafka = broker.bootstrap_servers
    await create_topics(kafka, {namespace: 1})
    await asyncio.to_thread(broker.stop)
    caplog.set_level(logging.WARNING)
    async with Pod(kafka, namespace) as pod:
        await eventually(lambda: pod.receiver.counters.reconnects >= 3)
        assert not pod.receiver.ready
        await asyncio.to_thread(broker.start)
        await pod.ready()
        await publish(kafka, namespace, texts(0, 5))
        await pod.gets(texts(0, 5))
    assert caplog.text.count("waits for Kafka") == 1


@pytest.mark.parametrize("mode", ["fanout", "direct"])
async def test_a_broker_that_is_killed_costs_no_event(own_broker, namespace, mode, caplog):
    """Nothing that is published around the broker's death is lost, and nothing is pushed twice."""
    broker = own_broker()
    await asyncio.to_thread(broker.start)
    kafka = broker.bootstrap_servers
    await create_topics(kafka, {namespace: 1})
    async with Pod(kafka, namespace, group=namespace if mode == "direct" else None) as pod:
        await pod.ready()
        await publish(kafka, namespace, texts(0, 200))
        await pod.gets(texts(0, 200))
        for node in broker.status().nodes:
            os.kill(node.pid, signal.SIGKILL)
        await eventually(lambda: all(node.pid is None for node in broker.status().nodes))
        reopen, published = pod.tail.open, asyncio.Event()

        async def open_late():
            await published.wait()
            return await reopen()

        pod.tail.open = open_late
        await eventually(lambda: pod.receiver.counters.reconnects >= 1, timeout_s=30)
        await asyncio.to_thread(broker.start)
        await publish(kafka, namespace, texts(200, 400))
        published.set()
        await pod.gets(texts(0, 400), timeout_s=30)
        assert pod.receiver.counters.received == 400
    assert caplog.text.count("waits for Kafka") == 1


async def test_stops_promptly_when_the_broker_is_gone(own_broker, namespace):
    """A worker that loses its broker must still end within its time."""
    broker = own_broker()
    await asyncio.to_thread(broker.start)
    await create_topics(broker.bootstrap_servers, {namespace: 1})
    pod = Pod(broker.bootstrap_servers, namespace, group=namespace)
    await pod.receiver.start()
    await pod.ready()
    await publish(broker.bootstrap_servers, namespace, texts(0, 5))
    await pod.gets(texts(0, 5))
    await asyncio.to_thread(broker.stop)
    async with asyncio.timeout(6):
        await pod.receiver.stop()
