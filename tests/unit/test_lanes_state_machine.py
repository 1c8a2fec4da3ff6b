"""Failures, retries, lanes, releases and crashes in any order: nothing is lost, order holds.

Hypothesis plays the source worker, the retry engine, the broker and the operator over the pure
logic (trunkline/delivery/holds.py, trunkline/retries/schedule.py). tests/support/lanes_world.py
holds what survives a crash, and the oracle.

Run it long: ``LANES_EXAMPLES=20000 pytest tests/unit/test_lanes_state_machine.py``
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from models.failures import EventId
from tests.support.lanes_engine import Engine
from tests.support.lanes_source import Source
from tests.support.lanes_world import NOBODY, FailureRecord, Fate, Rules, World

EXAMPLES = int(os.environ.get("LANES_EXAMPLES", "300"))
LONGEST_DELAY_MS = 3

keys = st.sampled_from([b"a", b"a", b"a", b"b", None])
fates = st.builds(
    Fate,
    st.sampled_from([0, 0, 1, 2, 4]),
    st.sampled_from(["handled", "handled", "handled", "permanent", "invalid"]),
    st.integers(0, 4),
)
events = st.lists(st.tuples(keys, st.integers(0, 2), fates), min_size=1, max_size=3)
counts = st.integers(0, 4)
delays = st.integers(0, LONGEST_DELAY_MS)
choices = st.integers(0, 5)
seldom = st.sampled_from([False, False, False, True])
often = st.sampled_from([True, True, True, False])


class LanesMachine(RuleBasedStateMachine):
    """Everything that can happen to a partition's events between the source and their end.

    Each worker's rule does some of all that it can do, in its order; a crash can follow each of
    them, since any of the counts can be 0.
    """

    @initialize(
        events=events,
        ordered=often,
        by_key=st.booleans(),
        follow=seldom,
        decode_first=st.booleans(),
        dead_in_lane=st.booleans(),
        pace=st.integers(1, 4),
    )
    def begin(self, events, pace, **rules):
        """Start both workers."""
        self.pace = pace  # how much each does at a time when all comes to its end
        self.world = World(Rules(**rules))
        self.source, self.engine = Source(self.world), Engine(self.world)
        self.publish(events)

    @rule(events=events)
    def publish(self, events):
        """Append events; their timestamps are not in order."""
        for key, late_ms, fate in events:
            self.world.publish(key, late_ms, fate)

    # The source worker

    @rule(
        read=counts,
        deliver=counts,
        handle=counts,
        choice=choices,
        twice=seldom,
        hand_over=counts,
        commit=seldom,
        clean_up=st.booleans(),
        crash=seldom,
    )
    def consume(self, *, read, deliver, handle, choice, twice, hand_over, commit, clean_up, crash):
        """Read releases, fetch, take events through the chain, hand failed ones over, commit."""
        source = self.source
        source.read_held_keys(read)
        source.deliver(deliver)
        for _ in range(handle):
            if ready := source.ready():
                source.handle(ready[choice % len(ready)], self.waiting(), twice=twice)
        source.write(hand_over)
        if commit:
            source.commit()
        if clean_up:
            source.clean_up()
        if crash:  # the successor knows what is durable
            self.source = Source(self.world)

    @precondition(lambda self: self.source.holds.blocked)
    @rule()
    def ask(self):
        """Ask whether the keys that wait still have to."""
        self.source.ask()

    # The retry engine

    @rule(
        apply=counts,
        delay_ms=delays,
        later_ms=delays,
        take=counts,
        finish=st.lists(choices, max_size=4),
        commit=st.booleans(),
        crash=seldom,
    )
    def retry(self, *, apply, delay_ms, later_ms, take, finish, commit, crash):
        """Read the failures partition, begin with what is due, let attempts end, commit."""
        engine = self.engine
        engine.apply(apply, delay_ms)
        self.world.now_ms += later_ms
        for _ in range(take):
            engine.take()
        for choice in finish:
            if running := engine.running:
                engine.finish(running[choice % len(running)], self.waiting(), delay_ms)
        if commit:
            engine.commit()
        if crash:
            self.engine = Engine(self.world)

    # The operator

    @precondition(lambda self: self.world.failures)
    @rule(kind=st.sampled_from(["now", "discard"]), choice=st.integers(0, 20))
    def command(self, kind, choice):
        """Hurry or discard an event that waits, or waited, or never did."""
        known = [*(r.event for r in self.world.failures if r.is_event), NOBODY]
        event = known[choice % len(known)]
        self.world.commanded.add(event.id)
        self.world.failures.append(FailureRecord(kind, event))

    @precondition(lambda self: self.world.redrivable())
    @rule(choice=choices)
    def redrive(self, choice):
        """Send a dead letter back, once."""
        letters = self.world.redrivable()
        self.world.redrive(letters[choice % len(letters)])

    # The oracle

    def waiting(self) -> set[EventId]:
        """Return the events of held keys that wait anywhere."""
        return self.engine.waiting() | self.source.waiting()

    @invariant()
    def schedule_is_right(self):
        """The schedule knows what it was told, and something is due whenever something can be."""
        self.engine.check()

    def teardown(self):
        """Let everything come to its end: every event has exactly one, and nothing is held."""
        if not hasattr(self, "world"):
            return
        self.world.grow()
        for _ in range(2_000):
            if not self._one_round():
                break
        world = self.world
        assert self.source.tracker.committable == len(world.log), "the source is stuck"
        assert not world.table, "something waits for ever"
        assert not self.source.holds.blocked, "a key is blocked for ever"
        assert not self.source.holds, "a hold stays for ever"
        assert not world.live_held_keys(), "the held-keys topic grows"
        world.check_ends()

    def _one_round(self) -> bool:
        """Do a little of everything; returns whether anything is left to do."""
        world, source, engine = self.world, self.source, self.engine
        before = world.size
        source.read_held_keys(self.pace)
        source.deliver(100)
        for _ in range(self.pace):
            if ready := source.ready():
                source.handle(ready[0], self.waiting())
        source.write(1000)
        source.commit()
        source.clean_up()
        engine.apply(self.pace, LONGEST_DELAY_MS)
        world.now_ms += 1
        engine.take()
        for running in engine.running[:1]:
            engine.finish(running, self.waiting(), LONGEST_DELAY_MS)
        engine.commit()
        engine.check()
        return bool(world.size != before or world.table or source.queue or source.is_behind)


class AnewMachine(LanesMachine):
    """The same, with a source topic that is deleted and made anew now and then."""

    @rule(restarts=st.booleans(), events=events)
    def make_anew(self, restarts, events):
        """Delete the topic; its worker is restarted, or goes on with what it has in memory."""
        self.world.make_anew()
        self.publish(events)
        if restarts:
            self.source = Source(self.world)
        else:
            self.source.topic_was_made_anew()


LIMITS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(0)
def test_nothing_is_lost_and_keys_keep_their_order():
    """Whatever fails, crashes or is commanded, every event ends once, in its key's order."""
    run_state_machine_as_test(LanesMachine, settings=LIMITS)


@pytest.mark.timeout(0)
def test_a_topic_made_anew_loses_nothing():
    """Offsets that come again are new events: none is passed over, and no key stays blocked."""
    run_state_machine_as_test(AnewMachine, settings=LIMITS)
