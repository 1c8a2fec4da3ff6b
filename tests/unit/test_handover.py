"""The hand-over goes on until the broker has every event, and no event stops the others."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import PolicyViolationError

from models.failures import (
    WIRE_VERSION,
    HeldKey,
    HeldRange,
    decode_held_key,
    decode_held_range,
    encode,
)
from trunkline.delivery import failure, handover
from trunkline.delivery.failure import OFFSET, Failure, failure_headers
from trunkline.delivery.fenced import TransactionLostError
from trunkline.delivery.handler import Context
from trunkline.delivery.handover import Handed, Handover
from trunkline.delivery.offsets import OffsetTracker
from trunkline.delivery.producer_call import OutRecord
from trunkline.errors import BrokerError, InvalidEventError

FAILURE = Failure.of(InvalidEventError("bad"), "invalid")
HELD = "g.held-keys"


class Transactions:
    """Fails as it was told, call by call, and keeps what it was given and what took place.

    An answer is an exception, or a pair of whether it takes place all the same and an exception.
    """

    def __init__(self, *answers):
        self.answers = list(answers)
        self.calls = []
        self.committed = []
        self.opened = 0
        self.open_errors = []

    async def open(self):
        if self.open_errors:
            raise self.open_errors.pop(0)
        self.opened += 1

    async def transact(self, records, may_commit):
        self.calls.append(list(records))
        answer = self.answers.pop(0) if self.answers else None
        took_place, error = answer if isinstance(answer, tuple) else (answer is None, answer)
        if took_place:
            self.committed.append(list(records))
        if error is not None:
            raise error

    async def close(self):
        pass

    def events(self):
        """Offsets of the committed events, in their order."""
        return [
            int(dict(record.headers)[OFFSET])
            for records in self.committed
            for record in records
            if record.topic == "g.failures"
        ]


class Replica:
    """Has read what took place."""

    def __init__(self, transactions):
        self.transactions = transactions
        self.read = 0
        self.holds = {}

    def get(self, key):
        return self.holds.get(encode(key))

    async def read_to_end(self):
        self.read += 1
        for records in self.transactions.committed:
            for record in records:
                if record.topic == HELD and record.value is not None:
                    self.holds[record.key] = decode_held_range(record.value)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(handover, "_FIRST_PAUSE_S", 0)


def is_member():
    """Say that the group knows this worker."""
    return True


async def _no_commit():
    raise AssertionError("each partition has a commit")


def sender_of(
    transactions, replica=None, *, limit=2_000_000, commit=_no_commit, is_member=is_member
):
    """Return what is tested, with a replica that reads what took place."""
    replica = replica or Replica(transactions)
    return Handover(transactions, replica, HELD, limit, commit, is_member=is_member)


def handed(offset, done, *, value=b"v", key=b"k", tracker=None):
    """Return an event of a key as its source partition gives it."""
    context = Context("t", 0, offset, 1, key, value, (("theirs", b"1"),))
    record = OutRecord("g.failures", value, key=key, headers=failure_headers(context, FAILURE, "g"))
    held = HeldRange(WIRE_VERSION, 0, offset, 1, 1, blocks=True)
    at = HeldKey("hold", "t", 0, key)
    return Handed(record, at, held, lambda: done.append(offset), tracker or OffsetTracker(0))


async def hand_over(transactions, *offsets, until=None, limit=2_000_000, **options):
    """Hand events over; return the offsets in the order in which they were done."""
    done = []
    sender = sender_of(transactions, limit=limit)
    for offset in offsets:
        sender.hand_over(handed(offset, done, **options))
    await sender.start()
    async with asyncio.timeout(5):
        while len(done) < (len(offsets) if until is None else until):
            await asyncio.sleep(0)
    await sender.stop()
    return done


async def test_events_and_the_newest_hold_of_their_key_go_in_one_transaction():
    """What is known of a key is never older than what was handed over of it."""
    transactions = Transactions()
    assert await hand_over(transactions, 0, 1, 2) == [0, 1, 2]
    [records] = transactions.committed
    assert [record.topic for record in records] == ["g.failures"] * 3 + [HELD]
    assert decode_held_key(records[-1].key) == HeldKey("hold", "t", 0, b"k")
    assert records[-1].value == encode(HeldRange(WIRE_VERSION, 0, 2, 1, 1, blocks=True))


@pytest.mark.parametrize("error", [BrokerError("away"), TransactionLostError("away")])
async def test_sends_all_again_when_nothing_took_place(error):
    """Nothing is done before it is committed, and it is opened anew."""
    transactions = Transactions(error)
    assert await hand_over(transactions, 0, 1) == [0, 1]
    assert transactions.calls[0] == transactions.calls[1]
    assert transactions.opened == 2
    assert transactions.events() == [0, 1]


@pytest.mark.parametrize("took_place", [True, False])
async def test_finds_out_whether_an_unknown_transaction_took_place(took_place):
    """A lost answer to a commit neither loses the events nor writes them twice."""
    lost = TransactionLostError("no answer", unknown=True)
    transactions = Transactions((took_place, lost))
    assert await hand_over(transactions, 0, 1) == [0, 1]
    assert transactions.events() == [0, 1]


async def test_an_unknown_outcome_is_asked_for_only_once_it_is_settled():
    """The transactional id is opened first: until then the commit may still come."""
    transactions = Transactions((True, TransactionLostError("no answer", unknown=True)))
    order = []
    opened, replica = transactions.open, Replica(transactions)
    read = replica.read_to_end

    async def note_open():
        order.append("open")
        await opened()

    async def note_read():
        order.append("read")
        await read()

    transactions.open, replica.read_to_end = note_open, note_read
    done = []
    sender = sender_of(transactions, replica)
    sender.hand_over(handed(0, done))
    await sender.start()
    async with asyncio.timeout(5):
        while not done:
            await asyncio.sleep(0)
    await sender.stop()
    assert order == ["open", "open", "read"]


async def test_an_event_of_a_partition_that_moved_away_is_not_handed_over():
    """Its new owner is given it; the others go, and its end is not told."""
    done = []
    transactions = Transactions()
    sender = sender_of(transactions)
    gone = OffsetTracker(0)
    gone.close()
    sender.hand_over(handed(0, done, tracker=gone))
    sender.hand_over(handed(1, done))
    await sender.start()
    async with asyncio.timeout(5):
        while not done:
            await asyncio.sleep(0)
    await sender.stop()
    assert done == [1]
    assert transactions.events() == [1]


class Refusing(Transactions):
    """A broker that refuses one event's record: as it is, or whatever is done with it."""

    def __init__(self, offset, *, always):
        super().__init__()
        self.offset = str(offset).encode()
        self.always = always

    async def transact(self, records, may_commit):
        self.calls.append(list(records))
        for record in records:
            is_the_one = dict(record.headers).get(OFFSET) == self.offset
            if is_the_one and (self.always or record.value is not None):
                raise TransactionLostError("refused", PolicyViolationError())
        self.committed.append(list(records))


async def test_a_record_that_the_broker_refuses_holds_up_no_other():
    """It goes without its payload, and the order stays."""
    transactions = Refusing(1, always=False)
    assert await hand_over(transactions, 0, 1, 2) == [0, 1, 2]
    assert transactions.events() == [0, 1, 2]
    [stripped] = [r for call in transactions.committed for r in call if r.value is None]
    assert dict(stripped.headers)[OFFSET] == b"1"


async def test_an_event_that_is_refused_even_so_stays_unfinished():
    """The ones behind it are handed over all the same."""
    assert await hand_over(Refusing(0, always=True), 0, 1, 2, until=2) == [1, 2]


async def test_an_event_that_is_too_large_goes_without_its_payload():
    """Origin, error and the size of what was left out; the others go as they are."""
    done = []
    transactions = Transactions()
    sender = sender_of(transactions, limit=3_000)
    sender.hand_over(handed(0, done))
    sender.hand_over(handed(1, done, value=b"x" * 5_000))
    sender.hand_over(handed(2, done))
    await sender.start()
    async with asyncio.timeout(5):
        while len(done) < 3:
            await asyncio.sleep(0)
    await sender.stop()
    before, large, after, _ = transactions.calls[-1]
    assert [before.value, after.value] == [b"v", b"v"]
    assert (large.key, large.value) == (b"k", None)
    headers = dict(large.headers)
    assert headers[failure.LEFT_OUT_BYTES] == b"5000"
    assert headers[failure.OFFSET] == b"1"
    assert "theirs" not in headers


async def test_an_unexpected_error_loses_nothing():
    """Even a mistake of ours keeps the events waiting, in place of a sender that died."""
    transactions = Transactions(RuntimeError("a bug"))
    assert await hand_over(transactions, 0) == [0]
    assert len(transactions.calls) == 2


async def test_a_tombstone_behind_a_hold_wins():
    """Of each key only what was written last goes out."""
    done = []
    transactions = Transactions()
    sender = sender_of(transactions)
    sender.hand_over(handed(0, done))
    key = encode(HeldKey("hold", "t", 0, b"k"))
    sender.write([OutRecord(HELD, None, key=key)], OffsetTracker(0))
    await sender.start()
    async with asyncio.timeout(5):
        while not done:
            await asyncio.sleep(0)
    await sender.stop()
    assert [(r.topic, r.value) for r in transactions.committed[0][1:]] == [(HELD, None)]


async def test_a_partition_has_a_commit_before_it_has_a_hold():
    """Else its next owner could not tell the hold from one of a topic that was made anew."""
    tracker = OffsetTracker(0)
    tracker.committed = -1
    transactions, order, done = Transactions(), [], []
    transact = transactions.transact

    async def commit():
        order.append("commit")
        if order.count("commit") == 2:
            tracker.commit_done(0)

    async def note(records, may_commit):
        order.append("hold")
        await transact(records, may_commit)

    transactions.transact = note
    sender = sender_of(transactions, commit=commit)
    sender.hand_over(handed(0, done, tracker=tracker))
    await sender.start()
    async with asyncio.timeout(5):
        while not done:
            await asyncio.sleep(0)
    await sender.stop()
    assert order == ["commit", "commit", "hold"]


class Asking(Transactions):
    """Asks before it commits, as it is told to."""

    async def transact(self, records, may_commit):
        if not may_commit():
            self.calls.append(list(records))
            raise TransactionLostError("may be another's")
        await super().transact(records, may_commit)


async def test_nothing_is_handed_over_while_the_group_may_have_others_at_it(monkeypatch):
    """It waits until the group has answered; so do tombstones and questions."""
    monkeypatch.setattr(handover, "_MEMBER_PAUSE_S", 0)
    done, transactions, known = [], Asking(), []
    sender = sender_of(transactions, is_member=lambda: bool(known))
    sender.write([OutRecord(HELD, None, key=b"old")], OffsetTracker(0))
    sender.hand_over(handed(0, done))
    await sender.start()
    async with asyncio.timeout(5):
        for _ in range(100):
            await asyncio.sleep(0)
        assert transactions.committed == [] == done
        known.append("answered")
        while not done:
            await asyncio.sleep(0)
    await sender.stop()
    assert transactions.events() == done == [0]


async def test_what_was_written_before_a_long_freeze_is_not_committed_after_it():
    """Frozen between the first look and the commit: nothing of it is visible."""
    answers = [True, False]
    done, transactions = [], Asking()
    sender = sender_of(transactions, is_member=lambda: answers.pop(0) if answers else True)
    sender.hand_over(handed(0, done))
    await sender.start()
    async with asyncio.timeout(5):
        while not done:
            await asyncio.sleep(0)
    await sender.stop()
    assert len(transactions.calls) == 2
    assert transactions.events() == [0]


async def test_a_partition_that_was_taken_meanwhile_is_not_waited_for(monkeypatch):
    """Its new owner is given the events; ours are dropped, and the next ones go."""
    monkeypatch.setattr(handover, "_MEMBER_PAUSE_S", 0)
    done, transactions, known = [], Asking(), []
    sender = sender_of(transactions, is_member=lambda: bool(known))
    taken = OffsetTracker(0)
    sender.hand_over(handed(0, done, tracker=taken))
    await sender.start()
    for _ in range(10):
        await asyncio.sleep(0)
    taken.close()
    known.append("joined again")
    sender.hand_over(handed(1, done))
    async with asyncio.timeout(5):
        while not done:
            await asyncio.sleep(0)
    await sender.stop()
    assert transactions.events() == [1]


async def test_what_is_said_of_a_partition_goes_with_it(monkeypatch):
    """A question about an event that was not handed over would be answered: nothing is before it.

    The new owner hands the event over once more, and would let its key go on because of the answer;
    a tombstone would take the new owner's hold.
    """
    monkeypatch.setattr(handover, "_MEMBER_PAUSE_S", 0)
    done, transactions, known = [], Asking(), []
    sender = sender_of(transactions, is_member=lambda: bool(known))
    taken, kept = OffsetTracker(0), OffsetTracker(0)
    sender.hand_over(handed(0, done, tracker=taken))
    sender.write([OutRecord("g.failures", None, key=b"question")], taken)
    sender.write([OutRecord(HELD, None, key=b"tombstone")], taken)
    sender.write([OutRecord("g.failures", None, key=b"kept")], kept)
    await sender.start()
    for _ in range(10):
        await asyncio.sleep(0)
    taken.close()
    known.append("joined again")
    async with asyncio.timeout(5):
        while not transactions.committed:
            await asyncio.sleep(0)
    await sender.stop()
    assert [record.key for call in transactions.committed for record in call] == [b"kept"]
