"""Retries keep their delays whatever clocks say: ours, another pod's, an earlier owner's."""

from __future__ import annotations

import time

import pytest

from tests.support.failing_partition import Failing
from tests.support.waiting import eventually
from trunkline.delivery import failure
from trunkline.delivery.failure import Failure, failure_headers
from trunkline.delivery.steady_time import SteadyTime
from trunkline.retries.backoff import parse_backoff
from trunkline.retries.policy import RetryPolicy

HOUR_MS = 3_600_000


class Clocks:
    """A clock that may be set, and one that may not."""

    def __init__(self):
        self.wall, self.monotonic = 1_000_000.0, 50.0

    def go_on(self, seconds, jump_s=0.0):
        self.wall += seconds + jump_s
        self.monotonic += seconds


def test_does_not_jump_and_says_once_that_the_clock_did(caplog):
    """An hour ahead or back, it counts on."""
    clocks = Clocks()
    steady = SteadyTime(lambda: clocks.wall, lambda: clocks.monotonic)
    clocks.go_on(10)
    assert steady.now_s() == 1_000_010
    assert not caplog.records
    clocks.go_on(5, jump_s=3600)
    assert steady.now_s() == 1_000_015
    clocks.go_on(5, jump_s=-7200)
    assert steady.now_s() == 1_000_020
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith("The system's clock was set by +3600 s while this worker runs.")


@pytest.mark.parametrize("skew_ms", [HOUR_MS, -HOUR_MS], ids=["ahead", "behind"])
async def test_a_failure_told_by_a_pod_with_a_wrong_clock_waits_its_delay(skew_ms):
    """Neither an hour longer, nor not at all."""
    tried_at = []

    async def handle(event, context):
        tried_at.append(time.monotonic())

    failing = Failing(handle, RetryPolicy(backoff=parse_backoff("fixed:0.3")))
    error = Failure.of(RuntimeError("first"), "transient")
    headers = failure_headers(
        failing.context(1, b"k"),
        error,
        "g",
        first_failed_at_ms=error.at_ms + skew_ms,
    )
    began = time.monotonic()
    failing.bring(failing.context(1, b"k"), [*headers, (failure.HELD, b"1")])
    await failing.settled()
    assert 0.299 <= tried_at[0] - began < 2  # times are kept in whole milliseconds
    await failing.end()


async def test_what_an_earlier_owner_noted_by_a_wrong_clock_does_not_wait_longer_than_its_policy():
    """It is read from the table, an hour ahead."""
    handled = []

    async def handle(event, context):
        if len(handled) == 0 and not came_back:
            raise RuntimeError("again")
        handled.append(context.offset)

    came_back = False
    policy = RetryPolicy(backoff=parse_backoff("fixed:0.2"))
    failing = Failing(handle, policy)
    failing.failed(1)
    await eventually(lambda: failing.store.entries)
    await failing.crash()
    for event, entry in list(failing.store.entries.items()):
        late = entry.state.due_at_ms + HOUR_MS
        failing.store.entries[event] = replaced(entry, due_at_ms=late)
    came_back = True
    failing.start()
    await failing.settled()
    assert handled == [1]
    await failing.end()


def replaced(entry, **state):
    """Return an entry with another state."""
    import msgspec

    new = msgspec.structs.replace(entry.state, **state)
    return msgspec.structs.replace(entry, state=new)
