"""The retries table keeps what was committed, whatever happens to the pod, its disk and Kafka."""

from __future__ import annotations

import asyncio
import os
import time

import msgspec
import pytest

from models.failures import APPLIED_KEY, decode_entry, entry_key
from tests.support.committed import read_committed
from tests.support.kafka import create_topics
from tests.support.retries_table import (
    create_changelog,
    event_id,
    ids,
    make_entry,
    make_table,
    state_of,
    waiting,
)
from trunkline.connection import KafkaConnection
from trunkline.delivery.fenced import FencedTransactions
from trunkline.delivery.producer_call import OutRecord
from trunkline.errors import BrokerError
from trunkline.retries.store import Changes, StoreLostError

pytestmark = pytest.mark.kafka


@pytest.fixture
async def changelog(kafka, namespace):
    return await create_changelog(kafka, namespace)


@pytest.fixture
async def table(kafka, namespace, changelog, tmp_path):
    return make_table(kafka, namespace, tmp_path / "data")


async def test_remembers_what_was_committed(kafka, namespace, table, changelog, tmp_path):
    """Entries, newest states, deletions and the applied offset survive on the disk and without."""
    partition = await table.open(1)
    assert (partition.applied, waiting(partition)) == (-1, {})
    await partition.commit(Changes(entries=[make_entry(n) for n in range(10)], applied=9))
    changes = Changes(
        states={event_id(3): state_of(2), event_id(4): state_of(2)},
        gone=ids([0, 1]),
        entries=[make_entry(10)],
        applied=12,
    )
    await partition.commit(changes)
    await partition.commit(Changes(gone=ids([4])))
    expected = {2: 1, 3: 2, 5: 1, 6: 1, 7: 1, 8: 1, 9: 1, 10: 1}
    assert waiting(partition) == expected
    assert partition.applied == 12
    assert partition.get(event_id(3)).state == state_of(2)
    assert partition.get(event_id(4)) is None
    await partition.close()
    for data_dir in (tmp_path / "data", tmp_path / "empty"):
        again = await make_table(kafka, namespace, data_dir).open(1)
        assert waiting(again) == expected
        assert again.applied == 12
        assert again.get(event_id(3)) == msgspec.structs.replace(make_entry(3), state=state_of(2))
        assert again.get(event_id(4)) is None
        await again.close()
    assert {record.partition for record in await read_committed(kafka, changelog, 3)} == {1}


async def test_writes_other_topics_in_the_same_transaction(kafka, namespace, table):
    """Dead letters and releases become visible together with the deletion of their entries."""
    dead = f"{namespace}.dlq"
    await create_topics(kafka, {dead: 3})
    partition = await table.open(0)
    await partition.commit(Changes(entries=[make_entry(1)]))
    record = OutRecord(dead, b"value", b"key", [("n", b"v")], 1_700_000_000_000)
    await partition.commit(Changes(gone=ids([1]), records=[record]))
    await partition.commit(Changes(records=[record]))
    await partition.close()
    found = await read_committed(kafka, dead, 3)
    assert [(r.key, r.value, r.headers, r.timestamp) for r in found] == [
        (b"key", b"value", (("n", b"v"),), 1_700_000_000_000)
    ] * 2


async def test_an_entry_that_replaces_another_has_its_own_state(kafka, namespace, table, tmp_path):
    """A state that was written for an event's earlier entry does not count for its new one."""
    partition = await table.open(0)
    await partition.commit(Changes(entries=[make_entry(1)]))
    await partition.commit(Changes(states={event_id(1): state_of(3)}))
    await partition.commit(Changes(entries=[make_entry(1, attempts=0)]))
    assert waiting(partition) == {1: 0}
    await partition.close()
    empty = await make_table(kafka, namespace, tmp_path / "empty").open(0)
    assert waiting(empty) == {1: 0}
    await empty.close()


async def test_what_comes_and_goes_at_once_is_never_written(kafka, table, changelog):
    """An event in ``entries`` and ``gone`` of the same changes costs no record."""
    partition = await table.open(0)
    await partition.commit(Changes(entries=[make_entry(1)], gone=ids([1]), applied=5))
    await partition.close()
    assert [r.key for r in await read_committed(kafka, changelog, 3)] == [APPLIED_KEY]


async def test_a_second_owner_fences_the_first(kafka, namespace, table, changelog, tmp_path):
    """Who opens a partition ends its earlier owner, of whose later commits nothing is visible."""
    first = await table.open(0)
    await first.commit(Changes(entries=[make_entry(1)], applied=1))
    second = await make_table(kafka, namespace, tmp_path / "data", "pod-2").open(0)
    with pytest.raises(StoreLostError, match="another owner has taken over"):
        await first.commit(Changes(entries=[make_entry(2)], applied=2))
    with pytest.raises(StoreLostError, match="was lost before"):
        await first.commit(Changes(entries=[make_entry(2)], applied=2))
    assert waiting(second) == {1: 1}
    await second.commit(Changes(gone=ids([1]), applied=3))
    await first.close()
    await second.close()
    keys = [record.key for record in await read_committed(kafka, changelog, 3)]
    assert entry_key(event_id(2)) not in keys
    again = await table.open(0)
    assert (again.applied, waiting(again)) == (3, {})
    await again.close()


async def test_an_open_transaction_of_the_first_owner_is_rolled_back(
    kafka, namespace, table, changelog, tmp_path
):
    """What an owner wrote but had not committed is not seen by the next one, who waits for none."""
    group = table.app.conf.id
    first = FencedTransactions(KafkaConnection.plaintext(kafka), "first", f"{group}.retries-0")
    await first.open()
    await first.transact([OutRecord(changelog, b"\x05", APPLIED_KEY, partition=0)])
    link = first._link
    await link.producer.begin_transaction()
    await link.producer.send_and_wait(changelog, b"\x63", APPLIED_KEY, partition=0)
    began = time.monotonic()
    second = await make_table(kafka, namespace, tmp_path / "data", "pod-2").open(0)
    assert time.monotonic() - began < 9, "it waited for the transaction timeout"
    assert second.applied == 5
    await first.close()
    await second.close()


async def test_nothing_is_committed_behind_what_is_read(kafka, namespace, table, tmp_path):
    """The earlier owner is fenced before the changelog is read, not after."""
    first = await table.open(0)
    await first.commit(Changes(entries=[make_entry(1)]))
    other = make_table(kafka, namespace, tmp_path / "data", "pod-2")
    recover = other._recover

    async def commit_then_recover(*args):
        with pytest.raises(StoreLostError):
            await first.commit(Changes(entries=[make_entry(2)]))
        await recover(*args)

    other._recover = commit_then_recover
    second = await other.open(0)
    assert waiting(second) == {1: 1}
    await first.close()
    await second.close()


async def test_one_process_may_open_a_partition_again(table):
    """The partition that was open before is closed, and lost."""
    first = await table.open(0)
    await first.commit(Changes(entries=[make_entry(1)]))
    second = await table.open(0)
    assert waiting(second) == {1: 1}
    with pytest.raises(StoreLostError):
        await first.commit(Changes(entries=[make_entry(2)]))
    with pytest.raises(StoreLostError):
        list(first.entries())
    await second.commit(Changes(entries=[make_entry(3)]))
    assert waiting(second) == {1: 1, 3: 1}
    await second.close()


async def test_a_cancelled_commit_loses_the_partition(table):
    """Nobody knows what became of it, so nothing is committed behind it."""
    partition = await table.open(0)
    task = asyncio.create_task(partition.commit(Changes(entries=[make_entry(1)])))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(StoreLostError):
        await partition.commit(Changes(entries=[make_entry(2)]))
    await partition.close()
    again = await table.open(0)
    assert 2 not in waiting(again)
    await again.close()


async def test_an_event_of_a_mebibyte_fits_with_its_headers(kafka, namespace, table, tmp_path):
    """A value of 1 MiB and 100 kB of headers go through, and come back byte for byte."""
    value = os.urandom(1024 * 1024)
    headers = tuple((f"h{n}", os.urandom(10_000)) for n in range(10))
    entry = msgspec.structs.replace(make_entry(1, value), headers=headers)
    partition = await table.open(0)
    await partition.commit(Changes(entries=[entry]))
    await partition.close()
    again = await make_table(kafka, namespace, tmp_path / "empty").open(0)
    assert list(again.entries()) == [entry]
    await again.close()


async def test_a_record_that_is_too_large_is_told(table):
    """It is refused for itself, which its sender can see."""
    partition = await table.open(0)
    entry = make_entry(1, b"x" * 4_000_000)
    with pytest.raises(StoreLostError) as lost:
        await partition.commit(Changes(entries=[entry]))
    assert lost.value.__cause__.refused
    assert not lost.value.__cause__.unknown
    await partition.close()


async def test_is_a_faust_table_to_its_readers(table):
    """``table[key]`` and ``items()`` show the open partitions; writing goes by commits only."""
    assert table.app.tables["retries"] is table
    for number in (0, 2):
        partition = await table.open(number)
        await partition.commit(Changes(entries=[make_entry(number)], applied=number))
    key = entry_key(event_id(2))
    assert decode_entry(table[key]) == make_entry(2)
    assert key in table
    assert {k for k, _ in table.items()} == {APPLIED_KEY, entry_key(event_id(0)), key}
    assert sorted(table.keys()) == sorted(k for k, _ in table.items())
    assert len(table) == 4
    for write in (
        lambda: table.__setitem__(b"k", b"v"),
        lambda: table.__delitem__(key),
        lambda: table.update({b"k": b"v"}),
        lambda: table.pop(key),
        table.clear,
    ):
        with pytest.raises(TypeError, match="in transactions only"):
            write()
    await partition.close()
    assert key not in table
    with pytest.raises(KeyError):
        table[key]
    await table._open[0].close()
    assert list(table) == []


async def test_opening_says_when_kafka_is_away(namespace, tmp_path):
    """The caller can wait for it."""
    table = make_table("127.0.0.1:1", namespace, tmp_path)
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1"):
        await table.open(0)
