"""Stuck partitions: what stands still counts, what has an excuse does not."""

from __future__ import annotations

import asyncio

import pytest
from faust.types import TP

from tests.support.failing_partition import Failing
from tests.support.waiting import eventually
from tests.unit.test_runner import Bench, record
from trunkline.delivery.offsets import OffsetTracker
from trunkline.delivery.progress import Progress, Standing
from trunkline.errors import DependencyDown
from trunkline.settings import Settings

HERE = TP("t", 0)
SLOW = Settings(breaker_first_pause_s=60)


class Consumer:
    """One partition, whose broker answers every fetch."""

    def __init__(self):
        self.rounds = 0
        self.trackers = {HERE: OffsetTracker(0)}
        self.end = 0
        self.unreadable = False
        self.answers = True

    def end_offset(self, tp):
        return self.end

    def answer_stamp(self, tp):
        return self.rounds if self.answers else 0

    def is_unreadable(self, tp):
        return self.unreadable


class App:
    """A worker at work, with what its partition is at."""

    def __init__(self):
        self.consumer = Consumer()
        self.dispatcher = self
        self.rebalancing = False
        self.has_assignment = True
        self.should_stop = False
        self.batched_topics = frozenset({"t"})
        self.paused = False
        self.is_paused = lambda _: self.paused
        self.at = []
        self.now = 0.0
        self.progress = Progress(self, 10, clock=lambda: self.now)

    def standing(self, tp):
        return self.at

    def assigned(self):
        return {HERE, TP("changelog", 0)}

    def pass_s(self, seconds, *, fetches=True):
        for _ in range(seconds):
            self.now += 1
            self.consumer.rounds += fetches
            self.progress.look()
        return self.progress.partitions()[0]


@pytest.fixture
def app():
    made = App()
    made.at = [Standing("the event at offset 4 has not been finished")]
    made.progress.look()
    return made


def test_what_stands_for_longer_than_the_limit_is_stuck(app):
    """The reason names the partition, the event and the time."""
    assert not app.pass_s(10).stuck
    assert app.pass_s(1).stuck
    live, reason = app.progress.is_live()
    assert not live
    assert reason == "t[0]: the event at offset 4 has not been finished for 11 s"


def test_it_is_well_again_as_soon_as_anything_moves(app):
    """The next event begins at nought."""
    assert app.pass_s(11).stuck
    app.at = [Standing("the event at offset 5 has not been finished")]
    assert not app.pass_s(10).stuck
    app.at = []
    row = app.pass_s(20)
    assert (row.stuck, row.stands_s, row.what) == (False, 0.0, "")


def test_an_excuse_stops_the_time_and_begins_it_anew(app):
    """An hour behind an open breaker is no hour of hanging."""
    app.pass_s(9)
    app.at = [Standing("the event at offset 4 has not been finished", "the breaker is open")]
    row = app.pass_s(100)
    assert (row.stuck, row.stands_s, row.excuse) == (False, 0.0, "the breaker is open")
    app.at = [Standing("the event at offset 4 has not been finished")]
    assert not app.pass_s(10).stuck
    assert app.pass_s(2).stuck


def test_a_paused_partition_is_not_stuck(app):
    """An operator wants it to stand."""
    app.paused = True
    row = app.pass_s(100)
    assert (row.stuck, row.excuse) == (False, "it is paused")


@pytest.mark.parametrize("name", ["rebalancing", "should_stop"])
def test_nothing_is_stuck_while_partitions_move_or_the_worker_stops(app, name):
    """Time before does not count either."""
    app.pass_s(9)
    setattr(app, name, True)
    for _ in range(100):
        app.now += 1
        app.progress.look()
    assert app.progress.partitions() == []
    setattr(app, name, False)
    assert not app.pass_s(9).stuck


def test_time_in_which_the_worker_was_suspended_does_not_count(app):
    """A laptop that slept has no stuck partitions."""
    app.now += 3600
    assert not app.pass_s(5).stuck


def test_an_event_that_is_there_and_not_fetched_is_stuck(app):
    """The broker answers, and has more than was fetched."""
    app.at = []
    app.consumer.end = 7
    assert app.pass_s(12).what == "the event at offset 0 has not been fetched"
    assert app.progress.stuck()


@pytest.mark.parametrize("name", ["unreadable", "answers"])
def test_a_broker_that_is_away_or_damaged_is_no_reason_for_a_restart(app, name):
    """No restart brings it back."""
    app.at = []
    app.consumer.end = 7
    setattr(app.consumer, name, name == "unreadable")
    row = app.pass_s(100)
    assert not row.stuck
    assert row.excuse in (
        "Kafka does not answer",
        "the next batch cannot be read from the broker's disk",
    )


def test_a_worker_that_does_not_come_round_to_fetching_is_stuck(app):
    """Also when none of its partitions has anything to do."""
    app.at = []
    app.pass_s(12, fetches=False)
    assert [row.topic for row in app.progress.stuck()] == [""]
    assert "this worker: fetching from Kafka stands at round" in app.progress.is_live()[1]
    app.pass_s(1)
    assert not app.progress.stuck()


# -- what runners and failures partitions say


@pytest.mark.parametrize("options", [{}, {"concurrency": 4}, {"shape": "batch"}])
async def test_a_handler_that_hangs_has_no_excuse(options):
    """Whatever its shape."""

    async def handle(event):
        await asyncio.Event().wait()

    bench = Bench(handle, **options)
    bench.feed([record(0, b"a"), record(1, b"b")])
    await asyncio.sleep(0)
    await eventually(lambda: not bench.runner.recovering)
    assert bench.runner.standing() == [Standing("the event at offset 0 has not been finished", "")]
    await bench.runner.drain(0)


@pytest.mark.parametrize("options", [{}, {"concurrency": 2}, {"shape": "batch"}])
async def test_an_open_breaker_excuses_all_that_waits_for_it(options):
    """Also the event that waits for those which wait."""

    async def handle(event):
        raise DependencyDown("away")

    bench = Bench(handle, settings=SLOW, **options)
    bench.feed([record(0, b"a"), record(1, b"b"), record(2, b"c")])
    await eventually(lambda: bench.chain.held_up)
    assert [s.excuse for s in bench.runner.standing()] == ["the breaker is open"]
    await bench.runner.drain(0)


async def test_a_key_that_hangs_has_no_excuse_when_others_wait_for_the_breaker():
    """What hangs is what counts, not what stands beside it."""

    async def handle(event, context):
        if context.offset:
            raise DependencyDown("away")
        await asyncio.Event().wait()

    bench = Bench(handle, settings=SLOW, concurrency=3)
    bench.feed([record(0, b"a"), record(1, b"b")])
    await eventually(lambda: bench.chain.held_up)
    assert [s.excuse for s in bench.runner.standing()] == [""]
    await bench.runner.drain(0)


async def test_an_event_whose_hand_over_kafka_does_not_take_is_excused():
    """A restart would hand it over again, to the same Kafka."""

    async def handle(event):
        raise RuntimeError("no")

    bench = Bench(handle)
    bench.source.hand_over = lambda *_: None
    bench.feed([record(0)])
    await eventually(lambda: bench.chain.handing_over)
    assert "hand-over" in bench.runner.standing()[0].excuse


async def test_an_attempt_that_hangs_stands_and_names_its_event():
    """A failures partition can get stuck as well."""
    go_on = asyncio.Event()

    async def handle(event):
        await go_on.wait()

    failing = Failing(handle)
    assert failing.partition.standing() == [
        Standing("nothing is tried", "what waits is being read")
    ]
    assert failing.partition.recovering
    failing.failed(3)
    await eventually(lambda: failing.partition.running)
    await eventually(lambda: not failing.tracker.unfinished)
    assert failing.partition.standing() == [Standing("attempt 2 at t[0]@3 has not ended")]
    assert not failing.partition.recovering
    go_on.set()
    await failing.settled()
    assert failing.partition.standing() == []
    await failing.end()
