"""The record producer on a real Kafka: order, sizes, refusals, and a broker that goes away."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest
from aiokafka.admin import NewTopic

from tests.support.kafka import admin, create_topics, read_all
from tests.support.waiting import eventually
from trunkline.connection import KafkaConnection
from trunkline.delivery.partitioning import murmur2
from trunkline.delivery.producer import (
    NotAcknowledgedError,
    OutRecord,
    RecordProducer,
    RecordTooLargeError,
)
from trunkline.errors import BrokerError, PublishError

pytestmark = pytest.mark.kafka


@pytest.fixture
async def producer(kafka):
    producer = RecordProducer(KafkaConnection.plaintext(kafka), "test")
    await producer.start()
    yield producer
    await producer.stop(timeout_s=5)


@pytest.fixture
async def topic(kafka, namespace):
    name = f"{namespace}.events"
    await create_topics(kafka, {name: 3})
    return name


def frozen(pid):
    """Stop a process for the length of a with block."""

    class Frozen:
        def __enter__(self):
            os.kill(pid, signal.SIGSTOP)

        def __exit__(self, *_):
            os.kill(pid, signal.SIGCONT)

    return Frozen()


async def test_returns_where_each_record_is_in_the_order_given(producer, kafka, topic):
    """The n-th result is the place of the n-th record."""
    records = [OutRecord(topic, b"v%d" % i, b"k%d" % (i % 50)) for i in range(5000)]
    places = await producer.send_many(records)
    there = {(r.partition, r.offset): r.value for r in await read_all(kafka, topic)}
    assert [there[p.partition, p.offset] for p in places] == [r.value for r in records]
    assert len(there) == 5000


async def test_keeps_the_order_of_calls_for_a_partition(producer, kafka, topic):
    """Calls that were made in an order are written in that order, side by side as they run."""
    calls = [
        producer.send_many([OutRecord(topic, b"%d.%d" % (n, i), b"one") for i in range(n % 7 + 1)])
        for n in range(200)
    ]
    await asyncio.gather(*calls)
    values = [r.value for r in await read_all(kafka, topic)]
    assert values == [b"%d.%d" % (n, i) for n in range(200) for i in range(n % 7 + 1)]


async def test_keeps_key_value_headers_and_timestamp(producer, kafka, topic):
    """A record arrives byte for byte: null key, null value and repeated headers as well."""
    headers = [("a", b"\xff\x00"), ("a", None), ("ü", b"")]
    records = [
        OutRecord(
            topic, b"\xff\x00", b"\x00", headers, timestamp_ms=1_700_000_000_123, partition=1
        ),
        OutRecord(topic, None, b"tombstone", partition=1),
        OutRecord(topic, None, None, (), partition=1),
        OutRecord(topic, b"", b"", headers, timestamp_ms=1_600_000_000_000, partition=1),
    ]
    await producer.send_many(records)
    first, second, third, fourth = await read_all(kafka, topic)
    assert (first.key, first.value, first.timestamp) == (b"\x00", b"\xff\x00", 1_700_000_000_123)
    assert list(first.headers) == headers
    assert (second.key, second.value, third.key, third.value) == (b"tombstone", None, None, None)
    assert (fourth.key, fourth.value, fourth.timestamp) == (b"", b"", 1_600_000_000_000)


async def test_keyed_records_go_by_murmur2_and_others_go_round(producer, kafka, topic):
    """A key has one partition; records without a key are spread evenly."""
    await producer.send_many([OutRecord(topic, b"k", b"key-%d" % i) for i in range(100)])
    await producer.send_many([OutRecord(topic, b"n") for _ in range(300)])
    records = await read_all(kafka, topic)
    assert all(r.partition == murmur2(r.key) % 3 for r in records if r.key)
    assert [sum(r.partition == p for r in records if not r.key) for p in range(3)] == [100] * 3


async def test_sends_records_that_are_larger_than_a_batch(producer, kafka, topic):
    """900 kB records among small ones arrive in order."""
    values = [b"small", b"x" * 900_000, b"small too", b"y" * 900_000, b"z"]
    await producer.send_many([OutRecord(topic, value, b"one") for value in values])
    assert [r.value for r in await read_all(kafka, topic)] == values


async def test_sends_nothing_when_one_record_is_too_large(producer, kafka, topic):
    """The check comes before everything else, and names the record."""
    records = [OutRecord(topic, b"fine"), OutRecord(topic, b"x" * 1024 * 1024)]
    with pytest.raises(RecordTooLargeError, match=r"Record 1 .* nothing was sent") as caught:
        await producer.send_many(records)
    assert (caught.value.index, caught.value.limit_bytes) == (1, 1024 * 1024)
    assert await read_all(kafka, topic) == []


async def test_goes_on_after_a_record_that_the_broker_refuses(producer, kafka, namespace):
    """Of calls that shared batches only the one with the refused record fails; order holds."""
    topic = f"{namespace}.small"
    async with admin(kafka) as client:
        await client.create_topics(
            [NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": "10000"})]
        )
    values = [b"%d" % i for i in range(20)] + [b"x" * 20_000] + [b"%d" % i for i in range(20, 60)]
    outcomes = await asyncio.gather(
        *(producer.send(OutRecord(topic, value, b"one")) for value in values),
        return_exceptions=True,
    )
    failed = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, PublishError)]
    assert failed == [20]
    assert "MessageSizeTooLarge" in str(outcomes[20])
    assert [r.value for r in await read_all(kafka, topic)] == [b"%d" % i for i in range(60)]


async def test_splits_batches_that_are_larger_than_the_topic_takes(producer, kafka, namespace):
    """A topic with a small max.message.bytes still takes many records in one call, in order."""
    topic = f"{namespace}.small"
    async with admin(kafka) as client:
        await client.create_topics(
            [NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": "10000"})]
        )
    values = [b"%d " % i + b"x" * 1000 for i in range(100)]
    await producer.send_many([OutRecord(topic, value) for value in values])
    assert [r.value for r in await read_all(kafka, topic)] == values


async def test_survives_a_producer_whose_sequence_is_lost(producer, kafka, topic):
    """When the broker refuses the producer's state, a new producer takes over, unnoticed."""
    await producer.send(OutRecord(topic, b"1", b"one"))
    manager = producer._link.producer._txn_manager
    manager._sequence_numbers = {tp: n + 7 for tp, n in manager._sequence_numbers.items()}
    await producer.send(OutRecord(topic, b"2", b"one"))
    await producer.send(OutRecord(topic, b"3", b"one"))
    assert [r.value for r in await read_all(kafka, topic)] == [b"1", b"2", b"3"]


async def test_names_a_topic_and_a_partition_that_do_not_exist(kafka, topic):
    """The message says what is missing, and where to look."""
    producer = RecordProducer(KafkaConnection.plaintext(kafka), "test", request_timeout_s=5)
    await producer.start()
    with pytest.raises(PublishError, match=r"no\.such\.topic .* 'trunkline topics plan'"):
        await producer.send(OutRecord("no.such.topic", b"1"))
    with pytest.raises(PublishError, match=r"partition 9: it has only 3 partitions"):
        await producer.send(OutRecord(topic, b"1", partition=9))
    await producer.stop(1)


async def test_says_so_when_the_broker_is_away_at_the_start():
    """Start fails fast with the address and what to do, and leaves nothing behind."""
    producer = RecordProducer(KafkaConnection.plaintext("127.0.0.1:1"), "test", request_timeout_s=2)
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1 does not answer"):
        await producer.start()
    assert not producer.connected
    with pytest.raises(PublishError, match="not started"):
        await producer.send(OutRecord("t", b"1"))
    await producer.stop(1)


async def test_what_failed_is_not_sent_when_the_broker_comes_back(own_broker):
    """After a call has failed nothing of it arrives, and what was acknowledged is there once."""
    broker = own_broker()
    broker.start()
    await create_topics(broker.bootstrap_servers, {"t": 2})
    producer = RecordProducer(
        KafkaConnection.plaintext(broker.bootstrap_servers), "test", request_timeout_s=5
    )
    await producer.start()
    sure = await producer.send_many([OutRecord("t", b"sure", b"%d" % i) for i in range(10)])
    broker.kill()
    doomed = [producer.send_many([OutRecord("t", b"doomed %d" % i)] * 3) for i in range(20)]
    outcomes = await asyncio.gather(*doomed, return_exceptions=True)
    assert all(isinstance(outcome, NotAcknowledgedError) for outcome in outcomes)
    await eventually(lambda: not producer.connected, 30)
    await asyncio.to_thread(broker.start)
    await eventually(lambda: producer.connected, 60)
    await producer.send(OutRecord("t", b"after", b"1"))
    values = sorted(r.value for r in await read_all(broker.bootstrap_servers, "t"))
    assert values == [b"after"] + [b"sure"] * len(sure)
    await producer.stop(5)


async def test_a_short_absence_goes_unnoticed(own_broker):
    """Records handed in while the broker is away arrive once, in order, when it is back in time."""
    broker = own_broker()
    broker.start()
    await create_topics(broker.bootstrap_servers, {"t": 1})
    producer = RecordProducer(
        KafkaConnection.plaintext(broker.bootstrap_servers), "test", request_timeout_s=30
    )
    await producer.start()
    await producer.send(OutRecord("t", b"0"))
    broker.kill()
    waiting = [asyncio.create_task(producer.send(OutRecord("t", b"%d" % i))) for i in range(1, 50)]
    await asyncio.to_thread(broker.start)
    await asyncio.gather(*waiting)
    values = [r.value for r in await read_all(broker.bootstrap_servers, "t")]
    assert values == [b"%d" % i for i in range(50)]
    await producer.stop(5)


async def test_a_hanging_broker_ends_calls_and_stop_in_time(own_broker):
    """A broker that is there but answers nothing: calls fail in time, and stop does not hang."""
    broker = own_broker()
    broker.start()
    await create_topics(broker.bootstrap_servers, {"t": 1})
    producer = RecordProducer(
        KafkaConnection.plaintext(broker.bootstrap_servers), "test", request_timeout_s=5
    )
    await producer.start()
    await producer.send(OutRecord("t", b"0"))
    with frozen(broker.status().nodes[0].pid):
        begun = time.monotonic()
        with pytest.raises(NotAcknowledgedError, match="no acknowledgement within 5 s"):
            await producer.send(OutRecord("t", b"1"))
        assert time.monotonic() - begun < 20
        late = asyncio.create_task(producer.send(OutRecord("t", b"2")))
        await asyncio.sleep(0)
        begun = time.monotonic()
        await producer.stop(timeout_s=0.2)
        assert time.monotonic() - begun < 10
        with pytest.raises(PublishError):
            await late
