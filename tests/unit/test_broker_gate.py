"""What a worker that starts waits for, and what ends it: the gate before everything else."""

from __future__ import annotations

import time

import pytest
from aiokafka.errors import KafkaConnectionError

from trunkline.delivery import gate as gates
from trunkline.delivery.gate import BrokerGate
from trunkline.errors import (
    BrokerError,
    ConfigurationError,
    RefusedError,
    TopologyError,
    TrunklineError,
)
from trunkline.settings import Settings

RETRY_S = 0.01


class _EndedError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
def make(monkeypatch):
    """Return a maker of gates before a broker that answers; the end of the process is an error."""

    async def answers(_):
        return

    def end(error: TrunklineError):
        raise _EndedError(str(error))

    monkeypatch.setattr(gates, "answers", answers)
    monkeypatch.setattr(gates, "abort", end)
    monkeypatch.setattr(gates, "_LOOK_AGAIN_S", 0.001)
    monkeypatch.setattr(gates, "_RETRY_S", RETRY_S)
    return lambda wait_s, *outcomes: _gate(wait_s, outcomes)


def _gate(wait_s, outcomes):
    gate = BrokerGate(Settings().model_copy(update={"start_wait_s": wait_s}))
    left = list(outcomes)

    async def check():
        if left:
            raise left.pop(0)

    gate.checks.append(check)
    return gate


@pytest.mark.parametrize("kind", [TopologyError, RefusedError])
async def test_topics_and_rights_may_come_later(make, kind, caplog):
    """Each thing that is missing is said once."""
    gate = make(60, kind("one"), kind("one"), kind("two\n  lines"))

    await gate.on_start()

    assert gate.open
    assert gate.waits_for == "waiting: two lines"
    assert [r.getMessage().rpartition("most: ")[2] for r in caplog.records] == [
        "one",
        "two\n  lines",
    ]


@pytest.mark.parametrize("kind", [TopologyError, RefusedError])
async def test_without_patience_they_end_it(make, kind):
    """The default: who started it by hand wants to read it now."""
    gate = make(0, kind("missing"))

    with pytest.raises(_EndedError, match="missing"):
        await gate.on_start()

    assert not gate.open


async def test_a_wrong_setting_ends_it_at_once(make):
    """Waiting would not help."""
    gate = make(60, ConfigurationError("wrong"))

    with pytest.raises(_EndedError, match="wrong"):
        await gate.on_start()


async def test_a_broker_that_goes_away_meanwhile_is_waited_for(make, caplog):
    """It ends nothing, with patience or without, and is neither asked nor told without a break."""
    gate = make(0, *[BrokerError("gone")] * 5)
    began = time.monotonic()

    await gate.on_start()

    assert gate.open
    assert time.monotonic() - began >= 5 * RETRY_S
    assert [r.getMessage() for r in caplog.records] == ["Kafka went away again: gone"]


@pytest.mark.parametrize(("wait_s", "opens"), [(60, True), (0, False)])
async def test_a_user_may_come_later_too(make, monkeypatch, wait_s, opens):
    """Who is refused again and again: what was waited for is told, and not told any more after."""
    refusals = [KafkaConnectionError()] * 6

    async def answers(_):
        if refusals:
            raise refusals.pop()

    async def no_answer(_):
        return RefusedError("it refuses user 'engine'")

    monkeypatch.setattr(gates, "answers", answers)
    monkeypatch.setattr(gates, "no_answer", no_answer)
    gate = make(wait_s)

    if opens:
        await gate.on_start()
    else:
        with pytest.raises(_EndedError, match="refuses user"):
            await gate.on_start()

    assert gate.open is opens


async def test_an_outage_does_not_use_the_patience_up(make, monkeypatch):
    """Topics are missing, Kafka is away for longer than that may take, and then they are there."""
    away = [None, *[KafkaConnectionError()] * 30]

    async def answers(_):
        if away and (error := away.pop(0)):
            raise error

    async def no_answer(_):
        return BrokerError("no connection")

    monkeypatch.setattr(gates, "answers", answers)
    monkeypatch.setattr(gates, "no_answer", no_answer)
    gate = make(0.2, TopologyError("missing"), TopologyError("still missing"))

    await gate.on_start()

    assert gate.open


async def test_it_says_what_it_waits_for_now(make, monkeypatch):
    """A user was missing, and then Kafka went away altogether."""
    reasons = [*[RefusedError("it refuses user 'engine'")] * 3, *[BrokerError("no connection")] * 2]
    said = []

    async def answers(_):
        said.append(gate.waits_for)
        if reasons:
            raise KafkaConnectionError

    async def no_answer(_):
        return reasons.pop(0)

    monkeypatch.setattr(gates, "answers", answers)
    monkeypatch.setattr(gates, "no_answer", no_answer)
    gate = make(60)

    await gate.on_start()

    assert said[3] == "waiting: it refuses user 'engine'"
    assert said[4].startswith("waiting for Kafka at ")
