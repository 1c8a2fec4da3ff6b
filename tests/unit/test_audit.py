"""What the audit trail says, and what happens when it cannot be written (a fake producer)."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from trunkline.audit import Actor, AuditError, AuditLog
from trunkline.audit.records import listed, read_audit
from trunkline.audit.trail import AuditFilter, Trail
from trunkline.errors import BrokerError, PublishError
from trunkline.settings import Settings
from trunkline.topology import Topology

TIM = Actor("tim", "cli", "ops-1")
TOKEN = Actor("token", "console", "console-1", "10.0.0.7")


class Record(NamedTuple):
    """What aiokafka's records are to us."""

    value: bytes | None


class FakeProducer:
    """Takes records, or refuses them from the given one on."""

    def __init__(self, refuse_from: int | None = None, error: Exception | None = None) -> None:
        self.sent = []
        self.refuse_from = refuse_from
        self.error = error or PublishError("not acknowledged")
        self.stopped = False

    async def start(self):
        if self.refuse_from == -1:
            raise BrokerError("Kafka is away")

    async def stop(self, timeout_s):
        self.stopped = True

    async def send(self, record):
        if self.refuse_from is not None and len(self.sent) >= self.refuse_from:
            raise self.error
        self.sent.append(record)


@pytest.fixture
def made():
    """Return a function that makes a log on a fake producer."""

    def make(refuse_from=None):
        log = AuditLog(Settings(), Topology())
        log._producer = FakeProducer(refuse_from)
        return log, log._producer

    return make


def read(producer):
    return [read_audit(record.value) for record in producer.sent]


async def test_an_action_is_noted_before_and_after(made):
    """Both records have the action's id as their key, and who did what."""
    log, producer = made()
    async with log.action(TIM, "dlq.redrive", {"filter": {"topics": ["t"]}}, 3) as note:
        assert [record.phase for record in read(producer)] == ["begun"]
        note.result = {"redriven": 3}

    begun, ended = read(producer)
    assert {record.key for record in producer.sent} == {begun.id.encode()}
    assert {record.topic for record in producer.sent} == {"trunkline.audit"}
    assert (begun.actor, begun.action, begun.count) == (TIM, "dlq.redrive", 3)
    assert begun.what == {"filter": {"topics": ["t"]}}
    assert (begun.outcome, ended.outcome, ended.result) == (None, "done", {"redriven": 3})
    assert ended.at_ms >= begun.at_ms


@pytest.mark.parametrize("refuse_from", [0, -1])
async def test_nothing_is_done_when_the_beginning_cannot_be_noted(made, refuse_from):
    """Neither when Kafka refuses the record, nor when it is away."""
    log, _ = made(refuse_from)
    done = False
    with pytest.raises(AuditError, match=r"Nothing was done: the audit trail cannot be written"):
        async with log.action(TIM, "retries.now", {}):
            done = True
    assert not done


async def test_no_success_is_told_when_the_end_cannot_be_noted(made):
    """The message says what was done all the same."""
    log, _ = made(refuse_from=1)
    with pytest.raises(AuditError, match=r"dlq\.discard was done \(discarded: 2\), but its end"):
        async with log.action(TIM, "dlq.discard", {}) as note:
            note.result = {"discarded": 2}


async def test_a_failure_is_noted_and_raised(made):
    """With its message."""
    log, producer = made()

    async def fail():
        async with log.action(TIM, "dlq.redrive", {}) as note:
            note.result = {"redriven": 1}
            raise BrokerError("it went away")

    with pytest.raises(BrokerError):
        await fail()
    ended = read(producer)[1]
    assert (ended.outcome, ended.error) == ("failed", "it went away")
    assert ended.result == {"redriven": 1}


async def test_a_failure_is_raised_even_when_it_cannot_be_noted(made):
    """The action's own error is the one that matters."""
    log, _ = made(refuse_from=1)
    with pytest.raises(BrokerError, match="it went away"):
        async with log.action(TIM, "dlq.redrive", {}):
            raise BrokerError("it went away")


async def test_a_cancelled_action_is_noted_as_interrupted(made):
    """It is no failure."""
    log, producer = made()
    with pytest.raises(asyncio.CancelledError):
        async with log.action(TIM, "dlq.redrive", {}):
            raise asyncio.CancelledError
    assert read(producer)[1].outcome == "interrupted"


def test_ids_are_listed_up_to_a_limit():
    """A record stays small, however many things an action is about."""
    assert listed(["a"]) == {"ids": ["a"]}
    many = listed([str(n) for n in range(101)])
    assert (len(many["ids"]), many["more_ids"]) == (100, 1)


#: What strangers may write to the topic.
NONSENSE = (
    None,
    b"nonsense",
    b'{"id": 1}',
    b'{"id":"a","phase":"begun","at_ms":1,"actor":{"name":"x","via":"cli"},"action":"x","what":{"a":'
    + b"[" * 100_000,
)


async def trail_of(made, remembered=10):
    """Return a trail of three actions: one done, one that failed, one without an end."""
    log, producer = made()
    async with log.action(TIM, "retries.now", {"ids": ["order.created[1]@17"]}):
        pass
    with pytest.raises(BrokerError):
        async with log.action(TOKEN, "dlq.redrive", {"filter": {"topics": ["auth.registered"]}}):
            raise BrokerError("away")
    async with log.action(TOKEN, "dlq.discard", {}):
        pass
    del producer.sent[-1]
    trail = Trail(remembered)
    for record in [*producer.sent, *map(Record, NONSENSE)]:
        trail.take(record)
    return trail


async def test_the_trail_has_each_action_with_its_end(made):
    """Newest first; what is none of ours says nothing."""
    trail = await trail_of(made)
    found = trail.entries(AuditFilter(), 10)
    assert [(entry.begun.action, entry.state) for entry in found] == [
        ("dlq.discard", "begun"),
        ("dlq.redrive", "failed"),
        ("retries.now", "done"),
    ]
    assert len(trail.entries(AuditFilter(), 2)) == 2


@pytest.mark.parametrize(
    ("wanted", "actions"),
    [
        (AuditFilter(action="dlq"), ["dlq.discard", "dlq.redrive"]),
        (AuditFilter(who="OPS-1"), ["retries.now"]),
        (AuditFilter(who="10.0.0"), ["dlq.discard", "dlq.redrive"]),
        (AuditFilter(who="console"), ["dlq.discard", "dlq.redrive"]),
        (AuditFilter(state="failed"), ["dlq.redrive"]),
        (AuditFilter(text="Created[1]@17"), ["retries.now"]),
        (AuditFilter(text="auth.registered", state="done"), []),
    ],
)
async def test_filters(made, wanted, actions):
    """By action, actor, outcome, and what it was done to."""
    trail = await trail_of(made)
    assert [entry.begun.action for entry in trail.entries(wanted, 10)] == actions


async def test_the_trail_forgets_the_oldest(made):
    """Its memory is bounded; an end whose beginning was forgotten stands for itself."""
    trail = await trail_of(made, remembered=2)
    assert [e.begun.action for e in trail.entries(AuditFilter(), 10)] == [
        "dlq.discard",
        "dlq.redrive",
    ]
