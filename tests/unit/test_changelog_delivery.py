"""Tables: their changelog is read without a hole, and written before its source is committed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from faust.exceptions import ProducerSendError
from faust.types import TP

from trunkline.delivery.faust_internals import Consumer
from trunkline.delivery.faust_producer import Producer

CHANGELOG = TP("g-table-changelog", 0)


class Recovering:
    """What of a consumer the delivery of single records uses, with a flow that can be stopped."""

    def __init__(self):
        self.app = SimpleNamespace(
            consumer_generation_id=1,
            monitor=SimpleNamespace(track_tp_end_offset=lambda *_: None),
            topics=SimpleNamespace(acks_enabled_for=lambda _: False),
        )
        self.flow_active = True
        self.suspend_flow = asyncio.Event()
        self._read_offset = {CHANGELOG: None}
        self.delivered = []

    async def wait_first(self, *coroutines):
        """Wait for the first, and cancel the others, as mode does."""
        tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def highwater(self, _tp):
        return 10_000

    def _to_message(self, _tp, record):
        return record.offset, self.app.consumer_generation_id

    async def callback(self, message):
        self.delivered.append(message)
        await asyncio.sleep(0)

    def _is_stale(self, generation):
        return Consumer._is_stale(self, generation)

    def rebalance(self):
        self.flow_active = False
        self.suspend_flow.set()

    def resume(self):
        self.app.consumer_generation_id += 1
        self.flow_active = True
        self.suspend_flow.clear()


async def test_a_rebalance_leaves_no_hole_in_what_a_table_recovers():
    """Records of the old generation are neither jumped over nor delivered as of the new one."""
    consumer = Recovering()
    records = [SimpleNamespace(offset=offset) for offset in range(2000)]
    task = asyncio.create_task(Consumer._deliver_singly(consumer, CHANGELOG, records, 1))
    while len(consumer.delivered) < 100:
        await asyncio.sleep(0)
    consumer.rebalance()
    await asyncio.sleep(0.001)
    consumer.resume()
    await task
    offsets = [offset for offset, _ in consumer.delivered]
    assert offsets == list(range(len(offsets)))
    assert {generation for _, generation in consumer.delivered} == {1}
    assert consumer._read_offset[CHANGELOG] <= offsets[-1]


class Buffered(Producer):
    """A producer whose buffer takes messages and acknowledges nothing by itself."""

    def __init__(self):
        self._unacknowledged = set()
        self._failure = None
        self.buffer = SimpleNamespace(put=lambda _: None, flush=self._flush_nothing)
        self._producer = None
        self._transaction_producers = {}

    async def _flush_nothing(self):
        """Give up at once, as Faust's does after 0.1 s."""


async def test_flush_waits_for_the_brokers_acknowledgement():
    """Source offsets are committed after it, so it must not end before."""
    producer = Buffered()
    messages = [asyncio.get_running_loop().create_future() for _ in range(3)]
    for message in messages:
        producer.send_soon(message)
    flushing = asyncio.create_task(producer.flush())
    messages[0].set_result(None)
    messages[1].set_result(None)
    await asyncio.sleep(0.01)
    assert not flushing.done()
    messages[2].set_result(None)
    await asyncio.wait_for(flushing, 1)


async def test_flush_fails_when_a_changelog_was_refused():
    """What was made from it must not be committed: the worker restarts from the changelog."""
    producer = Buffered()
    message = asyncio.get_running_loop().create_future()
    producer.send_soon(message)
    message.set_exception(RuntimeError("too large"))
    await asyncio.sleep(0)
    with pytest.raises(ProducerSendError, match="too large"):
        await producer.flush()
