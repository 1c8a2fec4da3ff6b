"""The engine of a failures partition: attempts, order, dead letters, commands, crashes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict

import pytest

from models.failures import HeldKey
from tests.support.failing_partition import HEADERS, VALUE, Failing
from tests.support.waiting import eventually
from trunkline.delivery import failure
from trunkline.errors import DependencyDown, Permanent
from trunkline.retries import trials
from trunkline.retries.backoff import parse_backoff
from trunkline.retries.policy import RetryPolicy
from trunkline.settings import Settings

AT_ONCE = parse_backoff("fixed:0")
LATER = parse_backoff("fixed:60")
RELEASED = HeldKey("release", "t", 0, b"k")


class Handler:
    """Fails as often as it is told, and keeps what it was given."""

    def __init__(self, fails=None, error=None):
        self.fails = fails or {}
        self.error = error or RuntimeError("again")
        self.seen = []
        self.ended = []

    async def __call__(self, event, context):
        self.seen.append((context.offset, context.attempt))
        await asyncio.sleep(0)
        if context.attempt <= self.fails.get(context.offset, 0):
            raise self.error
        self.ended.append(context.offset)


ALWAYS = 1_000


async def test_retries_count_on_from_the_first_attempt():
    """The handler is told which attempt it is; success deletes the entry and releases the key."""
    handler = Handler({1: 2})
    failing = Failing(handler)
    failing.failed(1)
    await failing.settled()
    assert handler.seen == [(1, 2), (1, 3)]
    assert failing.releases == [(RELEASED, 1)]
    assert not failing.dead
    counters = failing.target.counters
    assert (counters.retried, counters.recovered, counters.dead) == (2, 1, 0)
    await failing.end()


async def test_after_three_retries_the_event_is_dead_byte_for_byte():
    """Key, value, headers and timestamp are the published ones; ours stand behind, once."""
    handler = Handler({7: ALWAYS})
    failing = Failing(handler)
    failing.failed(7)
    await failing.settled()
    assert handler.seen == [(7, 2), (7, 3), (7, 4)]
    [dead] = failing.dead
    assert (dead.key, dead.value) == (b"k", VALUE)
    assert dead.timestamp_ms == 1_700_000_000_007
    assert list(dead.headers[: len(HEADERS)]) == list(HEADERS)
    ours = [name for name, _ in dead.headers[len(HEADERS) :]]
    assert len(ours) == len(set(ours))
    headers = dict(dead.headers)
    assert headers[failure.ATTEMPTS] == b"4"
    assert headers[failure.EXCEPTION] == b"builtins.RuntimeError"
    assert headers[failure.MESSAGE] == b"again"
    assert headers[failure.OFFSET] == b"7"
    assert headers[failure.GROUP] == b"g"
    assert failure.HELD not in headers
    assert failure.RECORD not in headers
    await failing.end()


@pytest.mark.parametrize("kind", ["permanent", "invalid"])
async def test_what_no_retry_helps_is_dead_at_once(kind):
    """It is not tried again, and has the one error that it had."""
    handler = Handler()
    failing = Failing(handler)
    failing.failed(3, kind=kind)
    await failing.settled()
    assert not handler.seen
    [dead] = failing.dead
    headers = dict(dead.headers)
    assert (headers[failure.KIND], headers[failure.ATTEMPTS]) == (kind.encode(), b"1")
    assert headers[failure.MESSAGE] == b"first"
    await failing.end()


async def test_a_retry_that_fails_for_good_is_the_last_one():
    """A transient failure may be followed by a permanent one."""
    handler = Handler({1: ALWAYS}, Permanent("no"))
    failing = Failing(handler)
    failing.failed(1)
    await failing.settled()
    assert handler.seen == [(1, 2)]
    assert dict(failing.dead[0].headers)[failure.KIND] == b"permanent"
    await failing.end()


async def test_parked_events_come_after_their_head_in_order():
    """Other keys do not wait; the key is released once, up to the last of them."""
    gate = asyncio.Event()
    ended = []

    async def handle(event, context):
        if context.offset == 1:
            await gate.wait()
        ended.append(context.offset)

    failing = Failing(handle)
    failing.failed(1)
    for offset in (2, 3, 4):
        failing.parked(offset)
    failing.failed(5, b"other")
    await eventually(lambda: ended == [5])
    gate.set()
    await failing.settled()
    assert ended == [5, 1, 2, 3, 4]
    assert [at for at in failing.releases if at[0].key == b"k"] == [(RELEASED, 4)]
    await failing.end()


@pytest.mark.parametrize(("when_dead", "handled"), [("continue", [2, 3]), ("follow", [])])
async def test_what_becomes_of_a_key_when_its_head_is_dead(when_dead, handled):
    """The lane goes on, or follows the head; either way the key is released."""
    handler = Handler({1: ALWAYS})
    failing = Failing(handler, RetryPolicy(backoff=AT_ONCE, when_dead=when_dead))
    failing.failed(1)
    failing.parked(2)
    failing.parked(3)
    await failing.settled()
    assert handler.ended == handled
    dead = [int(dict(record.headers)[failure.OFFSET]) for record in failing.dead]
    assert dead == [o for o in (1, 2, 3) if o not in handled]
    assert failing.releases == [(RELEASED, 3)]
    await failing.end()


async def test_two_equal_events_are_two():
    """The same key and value at another offset is another event; a second copy of one is none."""
    handler = Handler()
    failing = Failing(handler, RetryPolicy(backoff=parse_backoff("fixed:0.05")))
    failing.failed(1)
    failing.failed(2)
    failing.failed(1)
    await failing.settled()
    assert handler.ended == [1, 2]
    await failing.end()


async def test_events_without_a_key_wait_for_nobody():
    """Each is tried by itself, and nothing is released."""
    handler = Handler({1: ALWAYS})
    failing = Failing(handler)
    failing.failed(1, None)
    failing.failed(2, None)
    await failing.settled()
    assert handler.ended == [2]
    assert [record.key for record in failing.dead] == [None]
    assert not failing.releases
    await failing.end()


async def test_a_tombstone_is_dead_with_its_null_value():
    """Null stays null, and is not the empty value."""
    failing = Failing(Handler())
    failing.failed(1, value=None, kind="invalid")
    await failing.settled()
    assert [record.value for record in failing.dead] == [None]
    await failing.end()


async def test_a_redriven_event_has_a_fresh_budget():
    """It begins with attempt 1 and has all of its retries again."""
    handler = Handler({1: ALWAYS})
    failing = Failing(handler)
    failing.tell("redriven", 1)
    await failing.settled()
    assert [attempt for _, attempt in handler.seen] == [1, 2, 3, 4]
    assert failing.target.counters.redriven == 1
    await failing.end()


async def test_a_question_is_answered_with_a_release():
    """Also when the key is unknown here; not while its event waits."""
    handler = Handler()
    failing = Failing(handler, RetryPolicy(backoff=LATER))
    failing.failed(1)
    failing.tell("ask", 1)
    failing.tell("ask", 9, b"unknown")
    await eventually(lambda: failing.store.applied == 2)
    assert failing.releases == [(HeldKey("release", "t", 0, b"unknown"), 9)]
    await failing.end()


async def test_nothing_is_tried_early():
    """Not a millisecond before its time."""
    began = []

    async def handle(event, context):
        began.append(time.time())

    failing = Failing(handle, RetryPolicy(backoff=parse_backoff("fixed:0.15")))
    before = int(time.time() * 1000) / 1000
    failing.failed(1)
    await failing.settled()
    assert began[0] >= before + 0.15
    await failing.end()


async def test_now_makes_an_event_due():
    """An operator need not wait for the back-off."""
    handler = Handler()
    failing = Failing(handler, RetryPolicy(backoff=LATER))
    failing.failed(1)
    failing.tell("now", 1)
    await failing.settled()
    assert handler.ended == [1]
    await failing.end()


async def test_discard_lets_an_event_and_a_parked_one_go_untried():
    """The key goes on without them, and is released up to its last event."""
    handler = Handler()
    failing = Failing(handler, RetryPolicy(backoff=LATER))
    failing.failed(1)
    failing.parked(2)
    failing.parked(3)
    failing.tell("discard", 3)
    failing.tell("discard", 1)
    await failing.settled()
    assert handler.ended == [2]
    assert not failing.dead
    assert failing.releases == [(RELEASED, 3)]
    assert failing.target.counters.discarded == 2
    await failing.end()


async def test_discard_of_a_running_event_lets_it_end():
    """When the attempt fails it is not made again."""
    gate = asyncio.Event()
    seen = []

    async def handle(event, context):
        seen.append(context.attempt)
        await gate.wait()
        raise RuntimeError("no")

    failing = Failing(handle)
    failing.failed(1)
    await eventually(lambda: seen)
    failing.tell("discard", 1)
    await eventually(lambda: failing.store.applied == 1)
    gate.set()
    await failing.settled()
    assert seen == [2]
    assert not failing.dead
    await failing.end()


async def test_a_dependency_that_is_down_costs_no_attempt():
    """The event waits, and has the same attempt when the dependency is back."""
    down, seen = [True], []

    async def handle(event, context):
        seen.append(context.attempt)
        if down[0]:
            raise DependencyDown("away")

    settings = Settings(breaker_first_pause_s=0.01, breaker_longest_pause_s=0.01)
    failing = Failing(handle, settings=settings)
    failing.failed(1)
    await eventually(lambda: len(seen) >= 2)
    down[0] = False
    await failing.settled()
    assert set(seen) == {2}
    assert not failing.dead
    await failing.end()


async def test_nothing_is_buried_while_the_flood_guard_stops_it():
    """The events wait in the table, exhausted, and go when it lets them."""
    settings = Settings(flood_guard_min_events=1, flood_guard_share=0.5)
    failing = Failing(Handler(dict.fromkeys(range(5), ALWAYS)), settings=settings)
    for offset in range(5):
        failing.failed(offset, b"%d" % offset)
    await eventually(
        lambda: (
            failing.target.guard.tripped
            and len(failing.store.entries) == 5
            and all(entry.state.exhausted for entry in failing.store.entries.values())
        )
    )
    assert not failing.dead
    assert len(failing.store.entries) == 5
    await failing.end()


async def test_draining_commits_what_came_of_running_attempts():
    """A handler that ends in time is not repeated by the next owner."""
    gate = asyncio.Event()
    seen = []

    async def handle(event, context):
        seen.append(context.offset)
        await gate.wait()

    failing = Failing(handle)
    failing.failed(1)
    await eventually(lambda: seen)
    draining = asyncio.create_task(failing.partition.drain(5))
    await asyncio.sleep(0)
    gate.set()
    assert await draining
    assert not failing.store.entries
    assert failing.tracker.committable == 1


async def test_a_handler_that_is_cut_off_is_tried_again_with_the_same_attempt():
    """Draining cancels it in the end; that is no failure of the event."""
    seen, ends = [], [False]

    async def handle(event, context):
        seen.append(context.attempt)
        if not ends[0]:
            await asyncio.sleep(60)

    failing = Failing(handle)
    failing.failed(1)
    await eventually(lambda: seen)
    await failing.partition.drain(0.05)
    assert len(failing.store.entries) == 1
    ends[0] = True
    failing.start()
    await failing.settled()
    assert seen == [2, 2]
    await failing.end()


async def test_one_worker_alone_misses_no_due_time():
    """With a concurrency of 1 the one that goes to sleep must see what became due meanwhile."""
    handler = Handler(dict.fromkeys(range(30), ALWAYS))
    failing = Failing(handler, RetryPolicy(backoff=parse_backoff("fixed:0.003")), concurrency=1)
    for offset in range(30):
        failing.failed(offset, None)
    await failing.settled()
    assert len(failing.dead) == 30
    await failing.end()


async def test_a_record_that_is_none_is_passed_over():
    """A stranger's record in the failures topic stops nothing."""
    handler = Handler()
    failing = Failing(handler)
    failing.bring(failing.context(0, b"k"), [])
    failing.failed(1)
    await failing.settled()
    assert handler.ended == [1]
    assert failing.failures.unreadable == 1
    await failing.end()


# -- a fault at every commit: each event has exactly one end


def _bring_all(failing):
    failing.failed(0)
    failing.parked(1)
    failing.parked(2)
    failing.failed(3, b"b")
    failing.failed(4, None)
    failing.failed(5, b"c", kind="permanent")
    failing.parked(6, b"b")


FATES = {0: 2, 1: 0, 2: ALWAYS, 3: ALWAYS, 4: 3, 6: 2}


async def _survive(failing, handler):
    await failing.settled(15)
    handled = Counter(handler.ended)
    dead = Counter(int(dict(r.headers)[failure.OFFSET]) for r in failing.dead)
    assert dead == {2: 1, 3: 1, 5: 1}, "each that always fails has one dead letter"
    assert set(handled) == {0, 1, 4, 6}, "each is handled or dead, none is both"
    lasts = {offset: index for index, (offset, _) in enumerate(handler.seen)}
    keys = defaultdict(list)
    for offset, key in ((0, "k"), (1, "k"), (2, "k"), (3, "b"), (6, "b")):
        keys[key].append(lasts[offset])
    assert all(order == sorted(order) for order in keys.values())
    released = dict(failing.releases)
    assert released == {RELEASED: 2, RELEASED._replace(key=b"b"): 6}
    assert all(dict(r.headers)[failure.ATTEMPTS] in (b"1", b"4") for r in failing.dead)


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_a_lost_commit_at_any_point_loses_and_doubles_nothing(fault, monkeypatch):
    """Whether it took effect or not: the table is read anew, and each event ends once."""
    monkeypatch.setattr("trunkline.retries.partition._FIRST_PAUSE_S", 0)
    number, worked = 0, True
    while worked:
        handler = Handler(FATES)
        failing = Failing(handler)
        failing.store.faults = [""] * number + [fault]
        _bring_all(failing)
        await _survive(failing, handler)
        await failing.end()
        worked = not failing.store.faults
        number += 1
    assert number > 4


async def test_a_crash_after_any_commit_loses_and_doubles_nothing():
    """A new process on the table as it was then resumes every count."""
    number, crashed = 1, True
    while crashed:
        handler = Handler(FATES)
        failing = Failing(handler)
        _bring_all(failing)
        crashed = False
        store = failing.store
        while store.commits < number and (store.entries or not store.commits):
            await asyncio.sleep(0)
        if failing.store.entries:
            crashed = True
            await failing.crash()
            failing.start()
        await _survive(failing, handler)
        await failing.end()
        number += 1
    assert number > 4


@pytest.mark.parametrize("opens", [False, True])
async def test_a_partition_is_given_away_while_its_table_is_being_opened(opens):
    """It ends at once though Kafka does not answer, and tries nothing if it answers just then."""
    seen = []

    async def handle(event, context):
        seen.append(context.offset)
        raise RuntimeError("no")

    failing = Failing(handle, RetryPolicy(backoff=parse_backoff("fixed:0.01")))
    failing.failed(1)
    await eventually(lambda: failing.store.entries)
    await failing.crash()
    opened = failing.store.open
    answer = asyncio.Event()

    async def open_late(partition):
        await answer.wait()
        return await opened(partition)

    failing.store.open = open_late
    failing.start()
    await asyncio.sleep(0.05)  # so that what waits is due
    before = len(seen)
    if opens:
        answer.set()
        await asyncio.sleep(0)
    async with asyncio.timeout(1):
        assert await failing.partition.drain(60)
    assert len(seen) == before
    assert not failing.partition.is_open


async def test_a_mistake_of_ours_at_one_event_does_not_stop_the_others(monkeypatch):
    """What is durable is read anew, the event waits, and is tried again when its time has come."""
    monkeypatch.setattr(trials, "_OUR_MISTAKE_MS", 300)
    handler = Handler()
    failing = Failing(handler)
    good = failing.failures.attempts["t"].attempt
    broken = True

    async def attempt(entry):
        assert not (broken and entry.id.offset == 1), "a mistake of ours"
        return await good(entry)

    monkeypatch.setattr(failing.failures.attempts["t"], "attempt", attempt)
    failing.failed(1)
    for offset in range(2, 6):
        failing.failed(offset, b"key-%d" % offset)
    others = {2, 3, 4, 5}  # more than once: what is not durable yet is begun anew as well
    await eventually(lambda: set(handler.ended) == others, 5, "the other events to be handled")
    await eventually(lambda: len(failing.store.entries) == 1, 5, "them to be gone for good")
    broken = False
    await failing.settled()
    assert handler.ended[-1] == 1
    await failing.end()


async def test_a_handler_that_cancels_its_own_task_costs_no_event(monkeypatch):
    """The cancellation is nobody's: the event is tried again, and those behind it are handled."""
    monkeypatch.setattr(trials, "_OUR_MISTAKE_MS", 200)
    seen = []

    async def handle(_event, context):
        seen.append(context.offset)
        if len(seen) <= 2:
            asyncio.current_task().cancel()
            await asyncio.sleep(0)

    failing = Failing(handle, concurrency=1)
    for offset in range(1, 4):
        failing.failed(offset, b"key-%d" % offset)
    await failing.settled()
    assert set(seen) == {1, 2, 3}
    assert not failing.dead
    await failing.end()
