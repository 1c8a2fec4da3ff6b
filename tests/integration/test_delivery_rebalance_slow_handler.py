"""A rebalance in the middle of a slow handler: what ended is committed, what was cut off is not."""

from __future__ import annotations

import pytest

from tests.support.journal import journal_group
from tests.support.waiting import eventually

pytestmark = pytest.mark.kafka

#: One slow event in each of the two partitions, with quick ones around it.
QUICK = 20
SLOW_OFFSET = 10
SLOW = {(0, SLOW_OFFSET), (1, SLOW_OFFSET)}


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_a_handler_cut_off_by_a_rebalance_is_handled_again(
    kafka, namespace, tmp_path, concurrency
):
    """Longer than the drain limit: cancelled, not committed, handled again by the new owner."""
    with journal_group(kafka, namespace, tmp_path) as group:
        options = {"POD_CONCURRENCY": concurrency, "TRUNKLINE_DRAIN_TIMEOUT_S": 1}
        await _rebalance_in_the_middle(group, options)
        await eventually(lambda: group.count("cancelled") == 2, 30, "both to be cut off")
        committed = await group.committed()
        assert set(committed.values()) == {SLOW_OFFSET}
        group.gate.touch()
        await group.wait_handled(2 * QUICK)
        await group.wait_committed()

        ended = group.ended()
        assert len(ended) == 2 * QUICK
        assert {ended[place] for place in SLOW} == {1}
        # The one that moved was handled by its new owner, the other one by the first pod again.
        assert len(SLOW & set(group.ended("second"))) == 1
        assert len(SLOW & set(group.ended("first"))) == 1
        # By key, those behind the slow one had ended and come again; in order, none had begun.
        repeated = {place for place, times in ended.items() if times > 1}
        assert all(offset > SLOW_OFFSET for _, offset in repeated)
        assert not (repeated and concurrency == 1)


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_a_handler_that_ends_within_the_limit_is_handled_once(
    kafka, namespace, tmp_path, concurrency
):
    """The rebalance waits for it: exactly one delivery of every event."""
    with journal_group(kafka, namespace, tmp_path) as group:
        options = {"POD_CONCURRENCY": concurrency, "TRUNKLINE_DRAIN_TIMEOUT_S": 30}
        first = await _rebalance_in_the_middle(group, options)
        assert (await first.get("/health/ready"))[0] == 503
        group.gate.touch()
        await group.wait_handled(2 * QUICK)
        await group.wait_committed()

        assert group.count("cancelled") == 0
        assert set(group.ended().values()) == {1}
        assert len(group.ended()) == 2 * QUICK


async def _rebalance_in_the_middle(group, options):
    """Let a second pod join while both slow handlers of the first one run; return the first."""
    await group.create_topics(2)
    for partition in (0, 1):
        orders = [(f"user-{n}", "ok") for n in range(QUICK)]
        orders[SLOW_OFFSET] = (f"user-{SLOW_OFFSET}", "gate")
        await group.publish(orders, partition)
    first = group.start("first", **options)
    await first.wait_assigned(2)
    await eventually(lambda: _slow_ones_run(group), 30, "both slow handlers to run")
    rebalances = (await first.stats())["rebalances"]
    group.start("second", **options)
    await eventually(lambda: _has_rebalanced(first, rebalances), 60, "the second pod to join")
    return first


def _slow_ones_run(group):
    return {e.place for e in group.entries("first") if e.what == "start"} >= SLOW


async def _has_rebalanced(pod, before):
    return (await pod.stats()).get("rebalances", 0) > before
