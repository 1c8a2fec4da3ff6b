"""Items are done once, whatever becomes of the transactions (fakes; Kafka is in integration)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from aiokafka.errors import MessageSizeTooLargeError, ProducerFenced

from trunkline.dead_letters.actions import Actions, read_action
from trunkline.dead_letters.once import OnceWriter, TakenOverError
from trunkline.dead_letters.redrive import Item
from trunkline.delivery.fenced import TransactionLostError
from trunkline.delivery.producer_call import OutRecord
from trunkline.errors import BrokerError


@dataclass
class FakeKafka:
    """Takes transactions as a log of records; what goes wrong is planned ahead."""

    plan: list[str] = field(default_factory=list)
    log: list[OutRecord] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    opened: int = 0
    is_open: bool = False
    away: int = 0

    async def open(self):
        if self.away:
            self.away -= 1
            raise BrokerError("away")
        self.opened += 1
        self.is_open = True

    async def close(self):
        self.is_open = False

    async def transact(self, records):
        assert self.is_open
        step = self.plan.pop(0) if self.plan else "commit"
        if any(record.value == b"too large" for record in records):
            step = "refuse"
        if step in {"commit", "unknown-committed"}:
            self.log += records
            self.sizes.append(len(records))
        if step == "commit":
            return
        self.is_open = False
        cause = {"refuse": MessageSizeTooLargeError(), "fenced": ProducerFenced()}.get(step)
        raise TransactionLostError(step, cause, unknown=step.startswith("unknown"))

    async def actions(self) -> Actions:
        actions = Actions()
        for record in self.log:
            noted = read_action(record.key, record.value) if record.topic == "actions" else None
            if noted:
                actions.note(*noted)
        return actions

    def done(self) -> list[bytes | None]:
        return [record.value for record in self.log if record.topic == "failures"]


def item(number: int, value: bytes | None = None) -> Item:
    record = OutRecord("failures", value or str(number).encode())
    return Item(f"dlq.t[0]@{number}", number, "redriven", "failures", record)


async def stream(items):
    for each in items:
        yield each


def writer(kafka: FakeKafka, **options) -> OnceWriter:
    return OnceWriter(kafka, kafka.actions, "actions", run=options.pop("run", "r1"), **options)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("trunkline.dead_letters.once._PAUSE_S", 0)


ITEMS = [item(number) for number in range(1200)]
ALL = [str(number).encode() for number in range(1200)]


async def test_does_all_in_order_and_in_few_transactions():
    """500 items each, every one with its note in the same transaction."""
    kafka = FakeKafka()

    outcome = await writer(kafka).write(stream(ITEMS))

    assert kafka.done() == ALL
    assert kafka.sizes == [1000, 1000, 400]
    assert (outcome.done, outcome.already, outcome.interrupted) == (1200, 0, False)
    assert not kafka.is_open


@pytest.mark.parametrize("loss", ["unknown-committed", "unknown-lost", "lost"])
async def test_a_lost_transaction_is_neither_repeated_nor_forgotten(loss):
    """It opens anew and reads what is done before it goes on."""
    kafka = FakeKafka(plan=["commit", loss, "commit"])

    outcome = await writer(kafka).write(stream(ITEMS))

    assert kafka.done() == ALL
    assert (outcome.done, outcome.already) == (1200, 0)
    assert kafka.opened == 2


async def test_what_others_have_done_is_left_out():
    """Found in the actions, which are read after the producer was opened."""
    kafka = FakeKafka()
    await writer(kafka, run="r0").write(stream(ITEMS[:700]))

    outcome = await writer(kafka).write(stream(ITEMS))

    assert kafka.done() == ALL
    assert (outcome.done, outcome.already) == (500, 700)


async def test_the_same_item_twice_is_done_once():
    """In one transaction, or in two."""
    kafka = FakeKafka()

    outcome = await writer(kafka).write(stream([item(1), item(1), *ITEMS, item(1)]))

    assert sorted(kafka.done()) == sorted(ALL)
    assert outcome.done == 1200


async def test_a_run_that_was_taken_over_ends():
    """It does not fence the other one in turn."""
    kafka = FakeKafka(plan=["commit", "fenced"])
    once = writer(kafka)

    with pytest.raises(TakenOverError):
        await once.write(stream(ITEMS))

    assert once.outcome.done == 500
    assert kafka.opened == 1


async def test_a_refused_item_holds_up_no_other():
    """It is named, with the reason."""
    kafka = FakeKafka()

    outcome = await writer(kafka).write(stream([*ITEMS[:3], item(7777, b"too large"), *ITEMS[3:6]]))

    assert kafka.done() == ALL[:6]
    assert outcome.refused == [("dlq.t[0]@7777", "refuse")]


async def test_gives_up_when_nothing_works():
    """After five losses in a row, with the reason."""
    kafka = FakeKafka(plan=["lost"] * 5)

    with pytest.raises(BrokerError, match="5 times in a row: lost"):
        await writer(kafka).write(stream(ITEMS))

    assert kafka.done() == []


async def test_waits_for_a_broker_that_comes_back():
    """Once it has begun; at the start it says at once that Kafka is away."""
    kafka = FakeKafka(plan=["commit", "lost"])
    once = writer(kafka, on_progress=lambda _: setattr(kafka, "away", 2))

    outcome = await once.write(stream(ITEMS[:700]))

    assert outcome.done == 700
    with pytest.raises(BrokerError):
        await writer(FakeKafka(away=1)).write(stream(ITEMS))


async def test_ends_after_the_transaction_on_its_way_when_stopped():
    """What was done is done, and the rest is left."""
    kafka = FakeKafka()
    once = writer(kafka, on_progress=lambda _: once.stop())

    outcome = await once.write(stream(ITEMS))

    assert outcome.interrupted
    assert kafka.done() == ALL[:500]


async def test_is_not_interrupted_when_nothing_was_left():
    """A stop behind the last item changes nothing."""
    once = writer(FakeKafka(), on_progress=lambda _: once.stop())

    assert not (await once.write(stream(ITEMS[:500]))).interrupted


async def test_keeps_the_rate_and_can_be_stopped_while_it_waits():
    """A slow rate means small transactions, and a wait does not hold up the end."""
    kafka = FakeKafka()
    once = writer(kafka, rate=2, on_progress=lambda _: loop.call_soon(once.stop))
    loop = asyncio.get_running_loop()

    outcome = await once.write(stream(ITEMS))

    assert outcome.interrupted
    assert kafka.done() == ALL[:2]
