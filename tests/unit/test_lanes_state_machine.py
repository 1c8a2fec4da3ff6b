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
from tests.support.lanes_engine import Engine, waiting_in
from tests.support.lanes_source import Source
from tests.support.lanes_world import NOBODY, FailureRecord, Fate, Rules, World

EXAMPLES = int(os.environ.get("LANES_EXAMPLES", "150"))
STEPS = int(os.environ.get("LANES_STEPS", "60"))
LONGEST_DELAY_MS = 3

keys = st.sampled_from([b"a", b"a", b"b", None])
fates = st.builds(
    Fate,
    st.sampled_from([0, 0, 1, 1, 2, 4]),
    st.sampled_from(["handled", "handled", "handled", "permanent", "invalid"]),
    st.integers(0, 4),
)
counts = st.integers(1, 4)
delays = st.integers(0, LONGEST_DELAY_MS)
choices = st.integers(0, 5)


class LanesMachine(RuleBasedStateMachine):
    """Everything that can happen to a partition's events between the source and their end."""

    source: Source | None
    engine: Engine | None

    @initialize(
        ordered=st.sampled_from([True, True, True, False]),
        by_key=st.booleans(),
        follow=st.sampled_from([False, False, True]),
        decode_first=st.booleans(),
        dead_in_lane=st.booleans(),
    )
    def begin(self, **rules):
        """Start with nothing in the topics and both workers up."""
        self.world = World(Rules(**rules))
        self.source, self.engine = Source(self.world), Engine(self.world)

    # The source worker

    @rule(events=st.lists(st.tuples(keys, st.integers(0, 2), fates), min_size=1, max_size=5))
    def publish(self, events):
        """Append events; their timestamps are not in order."""
        for key, late_ms, fate in events:
            self.world.publish(key, late_ms, fate)

    @precondition(lambda self: self.source)
    @rule(count=counts)
    def deliver(self, count):
        """Fetch a batch."""
        self.source.deliver(count)

    @precondition(lambda self: self.source and self.source.queue)
    @rule(count=counts, choice=choices, twice=st.booleans())
    def handle(self, count, choice, twice):
        """Take events through the chain: in order, or in order for each key."""
        for _ in range(count):
            if ready := self.source.ready():
                self.source.handle(ready[choice % len(ready)], self.waiting(), twice=twice)

    @precondition(lambda self: self.source and self.source.writes)
    @rule(count=counts)
    def hand_over(self, count):
        """Let hand-overs, holds and tombstones become durable."""
        self.source.write(count)

    @precondition(lambda self: self.source)
    @rule()
    def commit_offsets(self):
        """Commit what is finished."""
        self.source.commit()

    @precondition(lambda self: self.source and self.source.holds)
    @rule()
    def clean_up(self):
        """Forget settled holds."""
        self.source.clean_up()

    @precondition(lambda self: self.source and self.source.read < len(self.world.held_keys))
    @rule(count=counts)
    def read_releases(self, count):
        """Follow the held-keys topic."""
        self.source.read_held_keys(count)

    @precondition(lambda self: self.source and self.source.holds.blocked)
    @rule()
    def ask(self):
        """Ask whether the keys that wait still have to."""
        self.source.ask()

    @rule()
    def restart_source(self):
        """Kill the worker; its successor knows what is durable."""
        self.source = Source(self.world)

    # The retry engine

    @precondition(lambda self: self.engine)
    @rule(count=counts, delay_ms=delays)
    def apply(self, count, delay_ms):
        """Read the failures partition."""
        self.engine.apply(count, delay_ms)

    @precondition(lambda self: self.engine)
    @rule(later_ms=delays, count=counts)
    def take(self, later_ms, count):
        """Let time pass, and begin with what is due."""
        self.world.now_ms += later_ms
        for _ in range(count):
            self.engine.take()

    @precondition(lambda self: self.engine and self.engine.running)
    @rule(choice=choices, delay_ms=delays)
    def finish(self, choice, delay_ms):
        """Let one of the running attempts end."""
        running = self.engine.running
        self.engine.finish(running[choice % len(running)], self.waiting(), delay_ms)

    @precondition(lambda self: self.engine)
    @rule()
    def commit_engine(self):
        """Let the engine's transaction become durable."""
        self.engine.commit()

    @precondition(lambda self: self.engine)
    @rule()
    def kill_engine(self):
        """Kill the engine for a while."""
        self.engine = None

    @precondition(lambda self: not self.engine)
    @rule()
    def start_engine(self):
        """Start it again from what is durable."""
        self.engine = Engine(self.world)

    # The operator

    @precondition(lambda self: self.world.failures)
    @rule(kind=st.sampled_from(["now", "discard"]), choice=st.integers(0, 20))
    def command(self, kind, choice):
        """Hurry or discard an event that waits, or waited, or never did."""
        events = [record.event for record in self.world.failures] + [NOBODY]
        event = events[choice % len(events)]
        self.world.commanded.add(event.id)
        self.world.failures.append(FailureRecord(kind, event))

    @precondition(lambda self: self.world.dead)
    @rule(choice=choices)
    def redrive(self, choice):
        """Send a dead letter back, once."""
        at = choice % len(self.world.dead)
        if not self.world.redriven[at]:
            self.world.redriven[at] += 1
            letter = self.world.dead[at]
            record = FailureRecord("redriven", letter.event, redrives=letter.redrives + 1)
            self.world.failures.append(record)

    # The oracle

    def waiting(self) -> set[EventId]:
        """Return the events of held keys that wait anywhere."""
        if self.engine:
            waiting = self.engine.waiting()
        else:
            held = {event for event, entry in self.world.table.items() if entry.held}
            waiting = held | waiting_in(self.world, self.world.applied)
        return waiting | self.source.handed_over

    @invariant()
    def schedule_is_right(self):
        """The schedule knows what it was told, and something is due whenever something can be."""
        if self.engine:
            self.engine.check()

    def run_to_the_end(self):
        """Let everything come to its end: every event has exactly one, and nothing is held."""
        for _ in range(1000):
            if not self._one_round():
                break
        world = self.world
        assert self.source.tracker.committable == len(world.log), "the source is stuck"
        assert not world.table, "something waits for ever"
        assert not self.source.holds.blocked, "a key is blocked for ever"
        assert not self.source.holds, "a hold stays for ever"
        assert not world.live_held_keys(), "the held-keys topic grows"
        world.check_ends()

    def teardown(self):
        """End every example like this."""
        if hasattr(self, "world"):
            self.run_to_the_end()

    def _one_round(self) -> bool:
        world, source = self.world, self.source
        before = self._size()
        self.engine = engine = self.engine or Engine(world)
        source.deliver(100)
        while ready := source.ready():
            source.handle(ready[0], self.waiting())
        source.write(1000)
        source.commit()
        source.read_held_keys(1000)
        source.clean_up()
        source.write(1000)
        engine.apply(1000, LONGEST_DELAY_MS)
        world.now_ms += LONGEST_DELAY_MS
        while engine.take() or engine.running:
            for running in list(engine.running):
                engine.finish(running, self.waiting(), LONGEST_DELAY_MS)
        engine.commit()
        engine.check()
        return self._size() != before or bool(world.table)

    def _size(self):
        world = self.world
        return (world.committed, len(world.failures), len(world.held_keys), world.applied)


class AnewMachine(LanesMachine):
    """The same, with a source topic that is deleted and made anew now and then."""

    @rule(restarts=st.booleans())
    def make_anew(self, restarts):
        """Delete the topic; its worker is restarted, or goes on with what it has in memory."""
        self.world.make_anew()
        if restarts:
            self.source = Source(self.world)
        else:
            self.source.topic_was_made_anew()


LIMITS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
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
