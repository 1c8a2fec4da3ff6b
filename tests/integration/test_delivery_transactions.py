"""Publishers in transactions: what was aborted is not delivered, and commits pass the markers."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer

from tests.support.journal import event, journal_group
from tests.support.waiting import eventually

pytestmark = pytest.mark.kafka


async def test_aborted_events_are_not_delivered_and_lag_returns_to_zero(kafka, namespace, tmp_path):
    """Aborted and committed transactions side by side; their markers hold nothing up."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(2)
        pod = group.start(POD_CONCURRENCY=4)
        await pod.wait_ready()
        await _publish_in_transactions(group, rounds=20)
        await group.wait_handled(200)
        await group.wait_committed()
        await eventually(lambda: _lag_is_zero(pod), 20, "the lag to be 0")

        ended = [e.key for e in group.entries() if e.what == "end"]
        assert set(ended) == {"committed"}
        assert len(ended) == 200
        assert [row["unfinished"] for row in (await pod.stats())["partitions"]] == [0, 0]


async def test_events_of_an_open_transaction_wait_for_its_end(kafka, namespace, tmp_path):
    """Nothing of an open transaction is handled, nothing behind it is lost when it ends."""
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics(1)
        pod = group.start()
        await pod.wait_ready()
        async with _producer(group) as producer:
            await producer.begin_transaction()
            await producer.send_and_wait(group.topic, event("open", "ok"), key=b"open")
            await group.publish([("behind", "ok")] * 10)
            await group.publish([("behind", "ok")] * 10)
            assert group.count() == 0
            await producer.commit_transaction()
        await group.wait_handled(21)
        await group.wait_committed()
        assert [e.offset for e in group.entries() if e.what == "end"] == list(range(21))


def _producer(group):
    return AIOKafkaProducer(bootstrap_servers=group.servers, transactional_id=group.namespace)


async def _publish_in_transactions(group, rounds):
    async with _producer(group) as producer:
        for _ in range(rounds):
            for end in ("aborted", "committed"):
                await producer.begin_transaction()
                for partition in (0, 1):
                    for _ in range(5):
                        await producer.send(
                            group.topic, event(end, "ok"), key=end.encode(), partition=partition
                        )
                if end == "aborted":
                    await producer.flush()
                    await producer.abort_transaction()
                else:
                    await producer.commit_transaction()
        # The last thing in the topic is an aborted transaction: records, then a marker.
        await producer.begin_transaction()
        await producer.send_and_wait(group.topic, event("aborted", "ok"), partition=0)
        await producer.abort_transaction()


async def _lag_is_zero(pod):
    return (await pod.stats()).get("lag") == 0
