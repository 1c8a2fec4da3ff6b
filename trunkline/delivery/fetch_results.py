"""Take what aiokafka has fetched as whole record batches (0.14.0, ``consumer/fetcher.py``).

aiokafka hands out record by record: a generator step, a check and a copy into ``ConsumerRecord``
for each, which takes more time than all that Trunkline does with the event. For our topics the
records of a batch are taken at once, as they were read: topic and partition are the batch's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult
from aiokafka.errors import CorruptRecordException


class FetchResults(dict[Any, Any]):
    """aiokafka's fetched but not yet taken results by partition; ours give whole batches.

    Args:
        batched_topics: The topics that are ours.
        on_jump: Told partition, expected and actual offset when a fetch begins behind the end of
            the one before it in the same assignment. Only a reset does that: the offset was out of
            range, because retention had deleted it. aiokafka itself goes on without a word.
        on_unreadable: Told partition, offset and error when a batch cannot be read (its checksum,
            its compression). The position stays before it, so that it is fetched again; an error
            out of here would end the worker, and with it the partitions that can be read.
        waiters: Who waits for a result (aiokafka's own). They are woken at once: aiokafka wakes
            them a few rounds of the loop later, when it has looked for what to fetch next, in vain,
            because what came has not been taken yet. All that one answer brought is there when
            they run: it is put in without a break.

    """

    def __init__(
        self,
        batched_topics: frozenset[str],
        on_jump: Callable[[Any, int, int], None],
        on_unreadable: Callable[[Any, int, Exception], None],
        waiters: Collection[asyncio.Future[None]] = (),
    ) -> None:
        super().__init__()
        self._waiters = waiters
        self._batched_topics = batched_topics
        self._on_jump = on_jump
        self._on_unreadable = on_unreadable
        #: Partition → assignment, and where its last fetch ended.
        self._ends: dict[Any, tuple[Any, int]] = {}

    def __setitem__(self, tp: Any, result: Any) -> None:
        if type(result) is FetchResult and tp.topic in self._batched_topics:
            result.getall = partial(self._take_all, tp, result)
        super().__setitem__(tp, result)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _take_all(self, tp: Any, result: Any, _max_records: int | None = None) -> list[Any]:
        """Return all records of one partition's fetch, and move its position behind them.

        At most ``max.partition.fetch.bytes`` (or one larger batch), so no other limit is kept.
        """
        # A result that holds itself keeps the fetched bytes until the next garbage collection, and
        # a worker puts those off (see app.py). From here on the method is aiokafka's own again:
        # there is nothing left for it to return.
        del result.getall
        if not result.check_assignment(tp) or not result.has_more():
            return []
        fetched = result._partition_records
        begin = fetched.next_fetch_offset
        taken: list[Any] = []
        try:
            for records in _batches(fetched):
                taken += records
        except Exception as error:
            self._on_unreadable(tp, fetched.next_fetch_offset, error)
        result._update_position()
        result._partition_records = None
        # aiokafka's own generator over the records, which nobody has begun, holds them too.
        fetched._records_iterator = None
        assignment, end = self._ends.get(tp, (None, begin))
        if assignment is result._assignment and begin > end:
            self._on_jump(tp, end, begin)
        self._ends[tp] = (result._assignment, fetched.next_fetch_offset)
        return taken


def _batches(fetched: Any) -> Iterator[list[Any]]:
    """Yield the records of each batch, without control batches and aborted transactions.

    Raises:
        CorruptRecordException: A batch's checksum is wrong.

    """
    while fetched._records.has_next():
        batch = fetched._records.next_batch()
        if fetched._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {fetched._tp}")
        if not _is_left_out(fetched, batch):
            records = batch.read_all() if hasattr(batch, "read_all") else list(batch)
            # A fetch begins with the batch that contains the position, so maybe before it.
            if records and records[0].offset < fetched.next_fetch_offset:
                records = [r for r in records if r.offset >= fetched.next_fetch_offset]
            yield records
        # The batch's end, also when compaction took its last records.
        fetched.next_fetch_offset = batch.next_offset


def _is_left_out(fetched: Any, batch: Any) -> bool:
    if fetched._isolation_level == READ_COMMITTED and batch.producer_id is not None:
        fetched._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and fetched._contains_abort_marker(batch):
            fetched._aborted_producers.discard(batch.producer_id)
        if batch.is_transactional and batch.producer_id in fetched._aborted_producers:
            return True
    return bool(batch.is_control_batch)
