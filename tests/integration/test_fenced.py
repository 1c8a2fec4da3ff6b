"""One owner at a time writes under a transactional id, whole lists or nothing."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.support.committed import read_committed
from tests.support.kafka import create_topics
from trunkline.connection import KafkaConnection
from trunkline.delivery.fenced import FencedTransactions, TransactionLostError
from trunkline.delivery.producer_call import OutRecord
from trunkline.errors import BrokerError

pytestmark = pytest.mark.kafka


@pytest.fixture
async def topic(kafka, namespace):
    name = f"{namespace}.t"
    await create_topics(kafka, {name: 3})
    return name


@pytest.fixture
async def make_owner(kafka, namespace):
    made = []

    def make(**options):
        made.append(
            FencedTransactions(
                KafkaConnection.plaintext(kafka), "test", f"{namespace}.id", **options
            )
        )
        return made[-1]

    yield make
    for owner in made:
        await owner.close()


def records(topic, size, value=b"v"):
    return [OutRecord(topic, b"%s-%d" % (value, n), b"key-%d" % (n % 7)) for n in range(size)]


async def test_lists_are_written_in_order_and_their_places_are_told(kafka, topic, make_owner):
    """Thousands of records, in several batches of several partitions."""
    owner = make_owner()
    await owner.open()
    written = records(topic, 5_000, b"x" * 300)
    first, second = await asyncio.gather(owner.transact(written), owner.transact(written[:10]))
    found = {(r.partition, r.offset): r.value for r in await read_committed(kafka, topic, 3)}
    assert [found[p.partition, p.offset] for p in first + second] == [
        record.value for record in written + written[:10]
    ]
    by_partition = {}
    for place in first:
        assert by_partition.get(place.partition, -1) < place.offset
        by_partition[place.partition] = place.offset
    assert await owner.transact([]) == []


async def test_a_new_owner_ends_the_earlier_one(kafka, topic, make_owner):
    """Also when it was idle; and it may take it back by opening again."""
    first, second = make_owner(), make_owner()
    await first.open()
    await first.transact(records(topic, 3, b"1"))
    await second.open()
    with pytest.raises(TransactionLostError, match="another owner") as lost:
        await first.transact(records(topic, 3_000, b"2" * 1_000))
    assert lost.value.fenced
    assert not lost.value.refused
    assert not first.is_open
    with pytest.raises(TransactionLostError, match="not open"):
        await first.transact(records(topic, 3))
    await second.transact(records(topic, 3, b"3"))
    await first.open()
    await first.transact(records(topic, 3, b"4"))
    seen = {r.value.split(b"-")[0] for r in await read_committed(kafka, topic, 3)}
    assert seen == {b"1", b"3", b"4"}


async def test_what_may_not_be_committed_is_not_visible(kafka, topic, make_owner):
    """Asked when all is written; the owner opens anew and goes on."""
    owner = make_owner()
    await owner.open()
    with pytest.raises(TransactionLostError, match="another's by now") as lost:
        await owner.transact(records(topic, 3, b"1"), lambda: False)
    assert not lost.value.unknown
    await owner.open()
    await owner.transact(records(topic, 3, b"2"), lambda: True)
    assert {r.value[:1] for r in await read_committed(kafka, topic, 3)} == {b"2"}


async def test_a_record_that_is_too_large_is_refused_with_its_list(kafka, topic, make_owner):
    """By our own limit or by the broker's; nothing of the list is visible."""
    for limit, size in ((10_000, 20_000), (10_000_000, 9_000_000)):
        owner = make_owner(max_request_bytes=limit)
        await owner.open()
        with pytest.raises(TransactionLostError) as lost:
            await owner.transact([*records(topic, 100), OutRecord(topic, b"x" * size, b"k")])
        assert lost.value.refused
        assert not lost.value.unknown
        assert not lost.value.fenced
        await owner.open()
    await owner.transact(records(topic, 1, b"after"))
    assert [r.value for r in await read_committed(kafka, topic, 3)] == [b"after-0"]


async def test_a_missing_topic_is_told(namespace, make_owner):
    """And nothing is written."""
    owner = make_owner()
    await owner.open()
    with pytest.raises(TransactionLostError, match="no such topic"):
        await owner.transact(records(f"{namespace}.none", 1))


async def test_closing_ends_a_list_that_is_being_written(topic, make_owner):
    """At once, and as what it is."""
    owner = make_owner()
    await owner.open()
    await owner.transact(records(topic, 1))
    writing = asyncio.create_task(owner.transact(records(topic, 100)))
    await asyncio.sleep(0)
    began = time.monotonic()
    await owner.close()
    with pytest.raises(TransactionLostError, match="it was closed"):
        await writing
    assert time.monotonic() - began < 8


async def test_a_commit_that_is_not_answered_is_unknown(kafka, topic, make_owner):
    """Nobody can say what became of it until it is opened anew."""
    owner = make_owner(commit_timeout_s=0.3)
    await owner.open()

    async def never():
        await asyncio.Event().wait()

    owner._link.producer.commit_transaction = never
    with pytest.raises(TransactionLostError, match="the commit: no acknowledgement") as lost:
        await owner.transact(records(topic, 3))
    assert lost.value.unknown
    await owner.open()
    assert await read_committed(kafka, topic, 3) == []


async def test_writing_that_takes_too_long_is_rolled_back(kafka, topic, make_owner):
    """Before its transaction times out by itself."""
    owner = make_owner(transaction_timeout_s=5)
    await owner.open()
    link = owner._link

    async def never(*_):
        return asyncio.get_running_loop().create_future()

    link.send = never
    with pytest.raises(TransactionLostError, match="within 5 s") as lost:
        await owner.transact(records(topic, 3))
    assert not lost.value.unknown
    await owner.open()
    await owner.transact(records(topic, 1, b"after"))
    assert [r.value for r in await read_committed(kafka, topic, 3)] == [b"after-0"]


async def test_opening_and_closing_without_a_broker_are_quick():
    """Opening says where Kafka was looked for; closing has nothing to wait for."""
    owner = FencedTransactions(
        KafkaConnection.plaintext("127.0.0.1:1"), "test", "id", request_timeout_s=1
    )
    began = time.monotonic()
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1"):
        await owner.open()
    await owner.close()
    assert time.monotonic() - began < 15
