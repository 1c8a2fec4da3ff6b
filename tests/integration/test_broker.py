"""The embedded Kafka: starts, keeps its records, survives what kills it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter

import psutil
import pytest

from tests.support import eventually
from tests.support.kafka import create_topics, produce, read_all
from trunkline.broker import EmbeddedBroker, ensure_broker
from trunkline.connection import KafkaConnection
from trunkline.delivery.fenced import FencedTransactions, TransactionLostError
from trunkline.delivery.producer_call import OutRecord
from trunkline.errors import BrokerError, ConfigurationError
from trunkline.settings import load_settings

pytestmark = pytest.mark.kafka

RECORDS = [(b"key", str(i).encode()) for i in range(1000)]
VALUES = [value for _, value in RECORDS]


async def values_in(bootstrap, topic):
    return [record.value for record in await read_all(bootstrap, topic)]


async def test_gives_back_what_was_put_in(kafka, namespace):
    """Records come back in order, byte for byte, up to 1 MiB each."""
    topic = f"{namespace}.t"
    large = bytes(range(256)) * 4096
    await create_topics(kafka, {topic: 1})
    await produce(kafka, topic, [*RECORDS, (None, large), (b"tombstone", None)])

    assert await values_in(kafka, topic) == [*VALUES, large, None]


async def test_makes_no_topic_that_nobody_declared(kafka, namespace):
    """A misspelled topic is an error, never a new topic."""
    from aiokafka import AIOKafkaProducer
    from aiokafka.errors import KafkaError

    async with AIOKafkaProducer(bootstrap_servers=kafka, request_timeout_ms=5000) as producer:
        with pytest.raises(KafkaError):
            await producer.send_and_wait(f"{namespace}.nobody", b"x")


async def test_survives_a_kill_with_its_records(own_broker):
    """After kill -9 the stale state is recognised, and start recovers what was acknowledged."""
    broker = own_broker()
    await asyncio.to_thread(broker.start)
    await create_topics(broker.bootstrap_servers, {"t": 1})
    await produce(broker.bootstrap_servers, "t", RECORDS)

    broker.kill()
    assert not broker.status().running
    with pytest.raises(BrokerError, match="does not run"):
        broker.kill()

    assert await asyncio.to_thread(broker.start)
    assert await values_in(broker.bootstrap_servers, "t") == VALUES


async def test_a_commit_that_was_acknowledged_survives_a_kill(own_broker):
    """Transactions that are committed as the only node dies are whole when it is back.

    Kafka 4.3 and 4.4 leave some of them open for ever (KAFKA-20734).
    """
    broker = own_broker()
    await asyncio.to_thread(broker.start)
    servers = broker.bootstrap_servers
    await create_topics(servers, {"t": 3})
    acknowledged: set[bytes] = set()

    def transactions(number):
        return FencedTransactions(
            KafkaConnection.plaintext(servers), f"w{number}", f"w{number}", request_timeout_s=5
        )

    async def write(number, life):
        counts = itertools.count()
        while True:  # a second is not always enough for a broker that has just come
            writer = transactions(number)
            try:
                await writer.open()
                for count in counts:
                    value = b"%d-%d-%d" % (life, number, count)
                    await writer.transact(
                        [OutRecord("t", value, key=b"%d" % key) for key in range(6)]
                    )
                    acknowledged.add(value)
            except (BrokerError, TransactionLostError):
                await asyncio.sleep(0.05)
            finally:
                await writer.close()

    async def end_what_is_open(number):
        owner = transactions(number)
        await eventually(lambda: _opens(owner), 60, "the next owner")
        await owner.close()

    async def is_whole():
        found = Counter(await values_in(servers, "t"))
        return all(found[value] == 6 for value in acknowledged)

    for life in range(2):
        writers = [asyncio.create_task(write(number, life)) for number in range(12)]
        enough = len(acknowledged) + 200
        await eventually(lambda: len(acknowledged) > enough, 60, "transactions")  # noqa: B023  # called at once
        await asyncio.to_thread(broker.kill)
        for writer in writers:
            writer.cancel()
        ends = await asyncio.gather(*writers, return_exceptions=True)
        assert {type(end) for end in ends} == {asyncio.CancelledError}
        await asyncio.to_thread(broker.restart_node, 0)
        await asyncio.gather(*(end_what_is_open(number) for number in range(12)))
        await eventually(is_whole, 60, "every acknowledged transaction")


async def _opens(transactions):
    try:
        await transactions.open()
    except BrokerError:
        return False
    return True


async def test_keeps_its_records_over_a_stop_and_drops_them_on_reset(own_broker):
    """A stop is quick and clean; only a reset deletes, also with another number of nodes."""
    broker = own_broker()
    await asyncio.to_thread(broker.start)
    await create_topics(broker.bootstrap_servers, {"t": 1})
    await produce(broker.bootstrap_servers, "t", RECORDS)

    assert await asyncio.to_thread(broker.stop)
    assert not await asyncio.to_thread(broker.stop)
    await asyncio.to_thread(broker.start)
    assert await values_in(broker.bootstrap_servers, "t") == VALUES

    await asyncio.to_thread(broker.start, reset=True)
    assert broker.status().topics == 0


async def test_a_second_start_finds_the_first(own_broker):
    """Two starts at once, and one later, are one broker; another port or size is refused."""
    broker = own_broker()
    again = EmbeddedBroker(broker.directory, broker.port)
    started = await asyncio.gather(asyncio.to_thread(broker.start), asyncio.to_thread(again.start))

    assert sorted(started) == [False, True]
    assert again.status().nodes[0].pid == broker.status().nodes[0].pid
    with pytest.raises(ConfigurationError, match=f"runs already, on port {broker.port}"):
        EmbeddedBroker(broker.directory, port=0).start()
    with pytest.raises(ConfigurationError, match="--reset"):
        EmbeddedBroker(broker.directory, broker.port, nodes=3).start()


async def test_three_nodes_lose_one_and_nothing_else(own_broker):
    """With one of three nodes killed, acks=all goes on; the node comes back and catches up."""
    broker = own_broker(nodes=3)
    await asyncio.to_thread(broker.start)
    await create_topics(broker.bootstrap_servers, {"t": 1})
    await produce(broker.bootstrap_servers, "t", RECORDS)

    broker.kill(1)
    await produce(broker.bootstrap_servers, "t", RECORDS)
    await asyncio.to_thread(broker.restart_node, 1)
    assert await values_in(broker.bootstrap_servers, "t") == VALUES * 2
    assert (await asyncio.to_thread(broker.status)).running

    began_at = time.monotonic()
    await asyncio.to_thread(broker.stop)
    assert time.monotonic() - began_at < 20


async def test_leaves_no_process_when_it_cannot_get_ready(own_broker):
    """Data that Kafka refuses is an error with Kafka's reason, and nothing keeps running."""
    broker = own_broker()
    await asyncio.to_thread(broker.start)
    await asyncio.to_thread(broker.stop)
    meta = broker.directory / "data" / "node-0" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=0", "node.id=7"))

    with pytest.raises(BrokerError, match=r"(?s)ended while it started.*node.id.*node-0\.log"):
        await asyncio.to_thread(broker.start)
    assert broker.status().nodes[0].pid is None


async def test_belongs_to_no_session_of_its_starter(own_broker):
    """It is nobody's child and in a session of its own, so that no Ctrl-C or exit reaches it."""
    import os

    broker = own_broker()
    await asyncio.to_thread(broker.start)
    [node] = broker.status().nodes
    process = psutil.Process(node.pid)

    await eventually(lambda: process.ppid() != os.getpid(), what="the broker to be nobody's child")
    assert os.getsid(node.pid) != os.getsid(0)


async def test_ensure_broker_starts_one_only_where_no_cluster_was_named(tmp_path, own_broker):
    """A named cluster is returned as it is; else the embedded broker runs afterwards."""
    named = load_settings(KAFKA_BOOTSTRAP_SERVERS="kafka.example:9092")
    assert ensure_broker(named) == "kafka.example:9092"

    broker = own_broker()
    settings = load_settings(broker_dir=broker.directory, broker_port=broker.port)
    bootstrap = await asyncio.to_thread(ensure_broker, settings)
    assert bootstrap == f"127.0.0.1:{broker.port}"
    assert broker.status().running
