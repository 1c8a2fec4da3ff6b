"""Lists are published as a whole or not at all, whatever happens to the broker."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from aiokafka.admin import NewTopic

from tests.support.committed import read_committed
from tests.support.kafka import admin, create_topics
from tests.support.waiting import eventually
from trunkline.connection import KafkaConnection
from trunkline.delivery.producer import OutRecord
from trunkline.delivery.transactions import OutcomeUnknownError, TransactionalProducer
from trunkline.errors import PublishError

pytestmark = pytest.mark.kafka


def post(topic, name, size=5):
    return [OutRecord(topic, b"%d/%d" % (name, i), b"key-%d" % (i % 7)) for i in range(size)]


def whole_posts(records):
    """Return how many records of each post there are."""
    return Counter(int(record.value.split(b"/")[0]) for record in records)


@pytest.fixture
async def producer(kafka):
    producer = TransactionalProducer(KafkaConnection.plaintext(kafka), "test")
    await producer.start()
    yield producer
    await producer.stop(timeout_s=5)


async def test_posts_side_by_side_are_all_there_in_order(kafka, namespace, producer):
    """Posts that share transactions keep their own places, and each key its order."""
    topic = f"{namespace}.lists"
    await create_topics(kafka, {topic: 3})
    places = await asyncio.gather(*(producer.send_atomically(post(topic, n)) for n in range(200)))
    records = await read_committed(kafka, topic, 3)
    there = {(record.partition, record.offset): record.value for record in records}
    for name, post_places in enumerate(places):
        values = [there[place.partition, place.offset] for place in post_places]
        assert values == [record.value for record in post(topic, name)]
    by_key = {key: [r.value for r in records if r.key == key] for key in {r.key for r in records}}
    for values in by_key.values():
        assert values == sorted(values, key=lambda value: tuple(map(int, value.split(b"/"))))


async def test_a_refused_post_takes_no_other_with_it(kafka, namespace, producer):
    """One record that the broker refuses fails its own post, of which nothing is visible."""
    topic = f"{namespace}.lists"
    async with admin(kafka) as client:
        await client.create_topics(
            [NewTopic(topic, 2, 1, topic_configs={"max.message.bytes": "10000"})]
        )
    posts = [post(topic, n) for n in range(30)]
    posts[11] = [*posts[11], OutRecord(topic, b"11/" + b"x" * 20_000, b"key-1")]
    outcomes = await asyncio.gather(
        *(producer.send_atomically(records) for records in posts), return_exceptions=True
    )
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, PublishError)] == [11]
    assert "nothing of it was published" in str(outcomes[11])
    visible = whole_posts(await read_committed(kafka, topic, 2))
    assert visible == {n: 5 for n in range(30) if n != 11}


async def test_nothing_is_half_done_when_the_broker_is_killed(own_broker):
    """Kill -9 in the middle: what was answered is there as a whole, what failed is not at all."""
    broker = own_broker()
    broker.start()
    await create_topics(broker.bootstrap_servers, {"t": 3})
    producer = TransactionalProducer(
        KafkaConnection.plaintext(broker.bootstrap_servers), "test", timeout_s=4
    )
    await producer.start()
    outcomes = {}

    async def publish(worker):
        for number in range(1000):
            name = worker * 1000 + number
            try:
                outcomes[name] = await producer.send_atomically(post("t", name, 20))
            except PublishError as error:
                outcomes[name] = error
                if back.is_set():
                    return
            if back.is_set() and number % 5 == 0:
                return

    back = asyncio.Event()
    workers = [asyncio.create_task(publish(worker)) for worker in range(8)]
    while len(outcomes) < 100:
        await asyncio.sleep(0.01)
    broker.kill()
    while not any(_failed(outcome) for outcome in outcomes.values()):
        await asyncio.sleep(0.01)
    await asyncio.to_thread(broker.start)
    back.set()
    await asyncio.gather(*workers)
    assert len(await _sent_at_last(producer, post("t", 99_999, 20))) == 20
    await producer.stop(timeout_s=5)

    visible = whole_posts(await read_committed(broker.bootstrap_servers, "t", 3))
    assert set(visible.values()) == {20}, "a part of a post is visible"
    accepted = {n for n, outcome in outcomes.items() if not isinstance(outcome, PublishError)}
    failed = {n for n, outcome in outcomes.items() if _failed(outcome)}
    assert failed
    assert accepted | {99_999} <= visible.keys()
    assert not failed & visible.keys()


def _failed(outcome):
    return isinstance(outcome, PublishError) and not isinstance(outcome, OutcomeUnknownError)


async def _sent_at_last(producer, records):
    """Return where they are; a broker that has just started may not answer in time at first."""
    for tries_left in reversed(range(11)):
        try:
            return await producer.send_atomically(records)
        except PublishError as error:
            if not tries_left or not _failed(error):
                raise
            await asyncio.sleep(0.5)
    return None


async def test_a_commit_is_repeated_until_its_outcome_is_known(own_broker):
    """A broker that vanishes between the last record and the commit: the answer is still right."""
    broker = own_broker()
    broker.start()
    await create_topics(broker.bootstrap_servers, {"t": 1})
    producer = TransactionalProducer(
        KafkaConnection.plaintext(broker.bootstrap_servers), "test", timeout_s=30
    )
    await producer.start()
    await producer.send_atomically(post("t", 1))
    inner = producer._link.producer
    commit = inner.commit_transaction

    async def commit_late():
        broker.kill()
        answer = asyncio.create_task(commit())
        await asyncio.to_thread(broker.start)
        await answer

    inner.commit_transaction = commit_late
    places = await producer.send_atomically(post("t", 2))
    assert len(places) == 5
    visible = whole_posts(await read_committed(broker.bootstrap_servers, "t", 1))
    assert visible == {1: 5, 2: 5}
    await producer.stop(timeout_s=5)


async def test_connects_again_without_being_posted_to(own_broker, namespace):
    """A publisher that says 503 gets no posts: it must notice by itself that Kafka is back."""
    broker = own_broker()
    broker.start()
    topic = f"{namespace}.lists"
    await create_topics(broker.bootstrap_servers, {topic: 1})
    producer = TransactionalProducer(
        KafkaConnection.plaintext(broker.bootstrap_servers), "test", timeout_s=8.0
    )
    await producer.start()
    try:
        await producer.send_atomically(post(topic, 1))
        broker.kill()
        with pytest.raises(PublishError):
            await producer.send_atomically(post(topic, 2))
        assert not producer.connected
        await asyncio.to_thread(broker.start)
        await eventually(lambda: producer.connected, 60, "the producer to be connected again")
        await producer.send_atomically(post(topic, 3))
    finally:
        await producer.stop()
    records = await read_committed(broker.bootstrap_servers, topic, 1)
    assert whole_posts(records) == {1: 5, 3: 5}
