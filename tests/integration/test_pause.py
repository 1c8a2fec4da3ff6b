"""An operator pauses a partition: its events wait over restarts and rebalances, none is lost."""

from __future__ import annotations

import pytest

from tests.support.journal import journal_group, repeated
from tests.support.waiting import eventually
from trunkline.connection import KafkaConnection
from trunkline.errors import ConfigurationError
from trunkline.system.control import pause, read_orders, resume

pytestmark = pytest.mark.kafka

EACH = 200
OPTIONS = {
    "POD_OBEYS": 1,
    "POD_SLEEP_MS": 8,
    "TRUNKLINE_RETRY_BACKOFF": "fixed:3",
    "TRUNKLINE_MAX_RETRIES": 5,
}


async def test_a_pause_holds_over_a_restart_and_a_rebalance(kafka, namespace, tmp_path):
    """The paused partition stands, retries included; the others flow; then all is handled."""
    connection = KafkaConnection.plaintext(kafka)
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics()
        what = (connection, group.topology, group.group, group.topic, 0)
        first = group.start("pod-1", **OPTIONS)
        await first.wait_assigned(3)
        published = await group.publish([("fails", "fail-1")], partition=0)
        published += await group.publish([("stops", "gate")], partition=0)
        for partition in range(3):
            published += await _publish(group, partition)
        await eventually(lambda: _count(group, "failed", 0), 20, "the first failure")
        await eventually(lambda: _in_flight(group, 0), 20, "the event in the middle")

        outcome = await pause(*what, who="a test")

        assert outcome.changed == (f"{group.topic}[0] of {group.group}",)
        await _wait_for_pause(first, [f"{group.topic}[0]"])
        group.gate.touch()
        await eventually(lambda: _in_flight(group, 0) == 0, 10, "what ran to end")
        before = _count(group, "end", 0)
        waiting = 2 * EACH + 2 - _begun(group, 0)  # those published below counted
        assert waiting > EACH, "the pause let everything through"
        # The restart, and with it another member: both begin with the pause.
        code, _ = await first.terminate()
        assert code == 0
        first = group.start("pod-1", **OPTIONS)
        second = group.start("pod-2", **OPTIONS)
        await second.wait_ready()
        published += await group.publish([("waits", "fail-1")], partition=1)
        for partition in range(3):
            published += await _publish(group, partition)
        # The retry in partition 1 comes after the one that was due in partition 0.
        await eventually(lambda: _count(group, "end", 1) == 2 * EACH + 1, 30, "partition 1")
        await eventually(lambda: _count(group, "end", 2) == 2 * EACH, 30, "partition 2")
        assert _count(group, "end", 0) == before
        assert _in_flight(group, 0) == 0
        await eventually(lambda: _tells_lag(first, second, waiting), 30, "the lag to be told")
        assert (await group.committed()).get(0, 0) <= _begun(group, 0)

        outcome = await resume(*what, who="a test")

        assert len(outcome.changed) == 1
        await group.wait_handled(published)
        await group.wait_committed()
        assert len(group.ended()) == published
        assert repeated(group.ended()) == 0
        for pod in (first, second):
            assert (await pod.stats())["paused"] == []
            code, _ = await pod.terminate()
            assert code == 0


async def test_pauses_are_told_from_each_other(kafka, namespace, tmp_path):
    """A topic and its partitions: what is ordered twice, taken back together, or not there."""
    connection = KafkaConnection.plaintext(kafka)
    with journal_group(kafka, namespace, tmp_path) as group:
        await group.create_topics()
        whole = (connection, group.topology, "journal-group", "auth.registered")

        await pause(*whole, 1, who="a test")
        assert (await pause(*whole, 1, who="a test")).unchanged
        await pause(*whole, who="a test")
        assert (await pause(*whole, 2, who="a test")).unchanged
        with pytest.raises(ConfigurationError, match=r"The whole of .* is paused"):
            await resume(*whole, 1, who="a test")
        assert len((await resume(*whole, who="a test")).changed) == 2
        assert (await read_orders(connection, group.topology)).pauses == {}
        assert (await resume(*whole, who="a test")).unchanged
        for wrong, message in (
            (("journal-gruop", "auth.registered"), "Did you mean 'journal-group'"),
            (("journal-group", "auth.registred"), "Did you mean 'auth.registered'"),
            (("journal-group", "auth.registered", 7), "no partition 7: they are 0 to 2"),
        ):
            with pytest.raises(ConfigurationError, match=message):
                await pause(connection, group.topology, *wrong, who="a test")


async def _publish(group, partition):
    keys = (f"key-{partition}-{n % 20}" for n in range(EACH))
    return await group.publish(((key, "ok") for key in keys), partition=partition)


def _count(group, what, partition):
    return sum(1 for e in group.entries() if e.what == what and e.partition == partition)


def _begun(group, partition):
    return len({e.offset for e in group.entries() if e.partition == partition})


def _in_flight(group, partition):
    started = _count(group, "start", partition)
    return started - sum(_count(group, what, partition) for what in ("end", "failed", "cancelled"))


async def _tells_lag(first, second, expected):
    rows = [r for pod in (first, second) for r in (await pod.stats()).get("partitions", ())]
    return [row["lag"] for row in rows if row["paused"]] == [expected]


async def _wait_for_pause(pod, names):
    async def paused():
        return (await pod.stats()).get("paused") == names

    await eventually(paused, 30, f"{pod.name} to pause {names}")
