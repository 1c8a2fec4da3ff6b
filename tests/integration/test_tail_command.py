"""``trunkline tail`` as users run it, on a real Kafka."""

from __future__ import annotations

import asyncio
import json
import signal
import time

import pytest
from aiokafka import AIOKafkaProducer

from tests.support.command import commands
from tests.support.kafka import create_topics, produce
from tests.support.waiting import eventually
from trunkline.connection import KafkaConnection
from trunkline.tailing.reading import Start, TopicReader
from trunkline.topology import AUTH_REGISTERED

pytestmark = pytest.mark.kafka


@pytest.fixture
async def topic(kafka, namespace):
    """A topic of three partitions with two records in each: values are ``partition.offset``."""
    name = f"{namespace}.{AUTH_REGISTERED}"
    await create_topics(kafka, {name: 3})
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for partition in range(3):
            for number in range(2):
                value, at_ms = f"{partition}.{number}".encode(), 1_000_000 + number
                key = f"key-{partition}".encode()
                await producer.send_and_wait(name, value, key, partition, timestamp_ms=at_ms)
    return name


@pytest.fixture
def command(kafka, namespace):
    with commands(kafka, namespace) as make:
        yield make()


@pytest.fixture
def read(kafka, topic):
    """Return a function that reads to the end; gives the values, sorted."""

    async def read(start, partitions=()):
        reader = TopicReader(topic, KafkaConnection((kafka,)), start, partitions)
        batches = reader.records(follow=False, say=print)
        return sorted([record.value.decode() async for batch in batches for record in batch])

    return read


async def test_begins_where_it_is_told(read):
    """At the beginning, an offset, so many before the end, a time; only some partitions."""
    every, last = ["0.0", "0.1", "1.0", "1.1", "2.0", "2.1"], ["0.1", "1.1", "2.1"]
    assert await read(Start(beginning=True)) == every
    assert await read(Start(offset=1)) == last
    assert await read(Start(offset=-1)) == last
    assert await read(Start(offset=99)) == []
    assert await read(Start(since_ms=1_000_001)) == last
    assert await read(Start(since_ms=2_000_000)) == []
    assert await read(Start()) == []
    assert await read(Start(beginning=True), [2, 0]) == ["0.0", "0.1", "2.0", "2.1"]


async def test_transactions_show_only_what_is_committed(read, topic, kafka, namespace):
    """Nothing of an aborted transaction; and their markers do not keep it from ending."""
    async with AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=namespace) as producer:
        for value, commits in ((b"kept", True), (b"aborted", False)):
            await producer.begin_transaction()
            await producer.send_and_wait(topic, value, partition=1)
            if commits:
                await producer.commit_transaction()
            else:
                await producer.abort_transaction()
    assert await read(Start(beginning=True), [1]) == ["1.0", "1.1", "kept"]


async def test_prints_what_is_meant_and_ends(command, topic):
    """All there is without --follow; else after --count, of those with the key and the text."""
    words = ("--key", "key-1", "--key", "key-2", "--grep", "[12][.]1", "--since", "1970-01-01")
    all_of_it, some = await asyncio.gather(
        command.run("tail", AUTH_REGISTERED, "--no-follow"),
        command.run("tail", AUTH_REGISTERED, "--json", "--count", "2", *words),
    )
    assert (all_of_it.code, all_of_it.err) == (0, "")
    assert len(all_of_it.out.splitlines()) == 6
    assert (some.code, some.err) == (0, "")
    assert {json.loads(line)["value"] for line in some.out.splitlines()} == {"1.1", "2.1"}


async def test_follows_until_ctrl_c(command, topic, kafka, namespace, tmp_path):
    """From now on: what is published later is shown at once; Ctrl-C is a good end."""
    process = command.start("tail", AUTH_REGISTERED, "--json")
    shown = asyncio.create_task(asyncio.to_thread(process.stdout.readline))

    async def published():
        await produce(kafka, topic, [(b"key-new", b"new")])
        return shown.done()

    await eventually(published, what="a record to be shown")
    assert json.loads(await shown)["value"] == "new"
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.to_thread(process.communicate, None, 20)
    assert (process.returncode, err) == (0, "")
    assert time.monotonic() - began < 5


async def test_a_closed_pipe_ends_it_without_a_word(command, topic, kafka):
    """As in ``trunkline tail … | head -1``."""
    await produce(kafka, topic, [(b"k", b"x" * 1000)] * 500)
    process = command.start("tail", AUTH_REGISTERED, "--from-beginning")
    process.stdout.readline()
    process.stdout.close()
    err = await asyncio.to_thread(process.stderr.read)
    assert await asyncio.to_thread(process.wait, 20) in {0, 1}
    assert err == ""


async def test_says_what_there_is_not(command, topic):
    """A topic that is declared but not in the cluster (1), and a partition that is not (2)."""
    missing = await command.run("tail", "order.created")
    assert (missing.code, missing.out) == (1, "")
    assert "There is no topic" in missing.err
    assert "trunkline topics apply" in missing.err
    partition = await command.run("tail", AUTH_REGISTERED, "--partition", "3")
    assert (partition.code, partition.out) == (2, "")
    assert "has no partition 3: it has 0 to 2" in partition.err


async def test_waits_for_a_broker_that_goes_away(own_broker, namespace):
    """It says so in one line, goes on when it is there again, and misses nothing."""
    broker = own_broker()
    await asyncio.to_thread(broker.start)
    topic = f"{namespace}.{AUTH_REGISTERED}"
    await create_topics(broker.bootstrap_servers, {topic: 1})
    with commands(broker.bootstrap_servers, namespace) as make:
        process = make().start("tail", AUTH_REGISTERED, "--from-beginning", "--json")
        await produce(broker.bootstrap_servers, topic, [(b"k", b"before")])
        first = await asyncio.to_thread(process.stdout.readline)
        await asyncio.to_thread(broker.stop)
        away = await asyncio.to_thread(process.stderr.readline)
        await asyncio.to_thread(broker.start)
        await produce(broker.bootstrap_servers, topic, [(b"k", b"after")])
        second = await asyncio.to_thread(process.stdout.readline)
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.to_thread(process.communicate, None, 20)
    assert [json.loads(line)["value"] for line in (first, second)] == ["before", "after"]
    assert "does not answer" in away
    assert away.rstrip().endswith("Waiting for it …")
    assert (process.returncode, err) == (0, "Kafka is there again.\n")
