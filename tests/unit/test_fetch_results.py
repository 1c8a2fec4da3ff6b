"""Whole record batches are taken from aiokafka's fetch results, and nothing else."""

from __future__ import annotations

import asyncio
import gc
from weakref import ref

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from trunkline.delivery.fetch_results import FetchResults

TP = TopicPartition("ours", 0)


class State:
    """The position of a partition, as aiokafka's subscription keeps it."""

    paused = False

    def __init__(self, position):
        self.position = position

    def consumed_to(self, position):
        self.position = position


class Assignment:
    active = True

    def __init__(self, position):
        self.state = State(position)

    def state_value(self, _tp):
        return self.state


def batch(base_offset, values, producer_id=-1, *, transactional=False):
    """Build a record batch as a broker returns it."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=int(transactional),
        producer_id=producer_id,
        producer_epoch=0,
        base_sequence=0,
        batch_size=100_000,
    )
    for index, value in enumerate(values):
        builder.append(index, timestamp=1, key=None, value=value, headers=[])
    raw = bytearray(builder.build())
    raw[:8] = base_offset.to_bytes(8, "big")
    return bytes(raw)


def no_jump(tp, expected, found):
    raise AssertionError(f"{tp} jumped from {expected} to {found}")


def unreadable(tp, offset, error):
    raise error


def fetched(data, position, aborted=(), on_unreadable=unreadable):
    records = PartitionRecords(
        TP, MemoryRecords(data), list(aborted), position, None, None, True, READ_COMMITTED
    )
    results = FetchResults(frozenset({"ours"}), no_jump, on_unreadable)
    assignment = Assignment(position)
    results[TP] = FetchResult(TP, assignment=assignment, partition_records=records, backoff=0)
    return results.pop(TP), assignment.state


def test_fetched_bytes_are_freed_without_the_garbage_collector():
    """It runs seldom in a worker: what was taken must not wait for it with all its bytes."""
    result, _state = fetched(batch(5, [b"a"]), 5)
    left = [ref(result), ref(result._partition_records)]
    gc.disable()
    try:
        result.getall()
        del result
        assert [reference() for reference in left] == [None, None]
    finally:
        gc.enable()


def test_takes_all_records_and_moves_the_position_behind_them():
    """Two batches come out as one list, in order."""
    result, state = fetched(batch(5, [b"a", b"b"]) + batch(7, [b"c"]), 5)
    assert [(r.offset, r.value) for r in result.getall()] == [(5, b"a"), (6, b"b"), (7, b"c")]
    assert state.position == 8
    assert not result.has_more()


def test_leaves_out_what_is_before_the_position():
    """A broker returns the whole batch that contains the position."""
    result, state = fetched(batch(5, [b"a", b"b", b"c"]), 7)
    assert [r.offset for r in result.getall()] == [7]
    assert state.position == 8


def test_leaves_out_aborted_transactions_and_moves_over_them():
    """What was aborted is no event, and does not hold the position back."""
    data = batch(0, [b"aborted"], producer_id=9, transactional=True) + batch(1, [b"good"])
    result, state = fetched(data, 0, aborted=[(9, 0)])
    assert [r.value for r in result.getall()] == [b"good"]
    assert state.position == 2


def test_takes_nothing_of_a_partition_that_was_moved_by_a_seek():
    """A result fetched for another position is dropped."""
    result, state = fetched(batch(5, [b"a"]), 5)
    state.position = 3
    assert result.getall() == []
    assert state.position == 3


def test_a_corrupt_batch_is_told_and_never_skipped():
    """What stands before it is taken, what is behind it is not: it is fetched again from there."""
    told = []
    corrupt = bytearray(batch(6, [b"corrupt"]))
    corrupt[-2] ^= 0xFF
    data = batch(5, [b"good"]) + bytes(corrupt) + batch(7, [b"behind"])
    result, state = fetched(data, 5, on_unreadable=lambda *what: told.append(what))
    assert [r.value for r in result.getall()] == [b"good"]
    assert state.position == 6
    assert not result.has_more()
    assert [(tp, offset) for tp, offset, _ in told] == [(TP, 6)]
    assert isinstance(told[0][2], CorruptRecordException)


def test_tells_when_a_reset_skipped_offsets():
    """Retention that passes a running worker is no silent loss; a gap between batches is none."""
    jumps = []
    results = FetchResults(frozenset({"ours"}), lambda *jump: jumps.append(jump), unreadable)
    assignment = Assignment(0)

    def fetch(data, position):
        assignment.state.position = position
        records = PartitionRecords(
            TP, MemoryRecords(data), [], position, None, None, True, READ_COMMITTED
        )
        results[TP] = FetchResult(TP, assignment=assignment, partition_records=records, backoff=0)
        results.pop(TP).getall()

    fetch(batch(0, [b"a", b"b"]), 0)
    fetch(batch(5, [b"compacted before"]), 2)
    assert jumps == []
    fetch(batch(90, [b"c"]), 90)
    assert jumps == [(TP, 6, 90)]
    assignment = Assignment(0)
    fetch(batch(200, [b"a new assignment"]), 200)
    assert len(jumps) == 1


def test_other_topics_keep_aiokafkas_way():
    """Changelogs and stock agents get ConsumerRecords."""
    results = FetchResults(frozenset({"another"}), no_jump, unreadable)
    records = PartitionRecords(
        TP, MemoryRecords(batch(0, [b"a"])), [], 0, None, None, True, READ_COMMITTED
    )
    results[TP] = FetchResult(TP, assignment=Assignment(0), partition_records=records, backoff=0)
    assert type(results[TP].getall()[0]).__name__ == "ConsumerRecord"


async def test_whoever_waits_is_woken_by_what_comes():
    """Not when aiokafka's own routine has come round; one that has what it waited for is left."""
    loop = asyncio.get_running_loop()
    waiting, woken = loop.create_future(), loop.create_future()
    woken.set_result("before")
    results = FetchResults(frozenset({"ours"}), no_jump, unreadable, {waiting, woken})

    results[TP] = "what an error is"

    assert waiting.done()
    assert woken.result() == "before"
