"""The hand-over goes on until the broker has every event, and no event stops the others."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import PolicyViolationError

from trunkline.delivery import failure, handover
from trunkline.delivery.failure import OFFSET, Failure
from trunkline.delivery.handler import Context
from trunkline.delivery.handover import Handover
from trunkline.delivery.producer import NotAcknowledgedError, RecordMetadata, RecordTooLargeError
from trunkline.errors import InvalidEventError

FAILURE = Failure.of(InvalidEventError("bad"), "invalid")


class Producer:
    """Fails as it was told, call by call, and keeps what it took."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.calls = []

    async def send_many(self, records):
        self.calls.append(list(records))
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(handover, "_FIRST_PAUSE_S", 0)


async def hand_over(producer, *contexts):
    """Hand events over; return the offsets in the order in which they were done."""
    done = []
    sender = Handover(producer, "g.failures", "g")
    for context in contexts:
        sender.hand_over(context, FAILURE, lambda offset=context.offset: done.append(offset))
    await sender.start()
    async with asyncio.timeout(5):
        while len(done) < len(contexts):
            await asyncio.sleep(0)
    await sender.stop()
    return done


def context(offset, value=b"v"):
    return Context("t", 0, offset, 1, b"k", value, (("theirs", b"1"),))


async def test_sends_again_only_what_was_not_acknowledged():
    """The ones that the broker has are done at once, and not sent twice."""
    there = RecordMetadata("g.failures", 0, 7)
    producer = Producer(NotAcknowledgedError("g.failures", 0, "away", [there, None, there]))
    assert await hand_over(producer, context(0), context(1), context(2)) == [0, 2, 1]
    [first, second] = producer.calls
    assert len(first) == 3
    assert second == [first[1]]


async def test_sends_all_again_when_nothing_is_known():
    """The broker was away before anything was sent."""
    producer = Producer(NotAcknowledgedError("g.failures", None, "away"))
    assert await hand_over(producer, context(0), context(1)) == [0, 1]
    assert producer.calls[0] == producer.calls[1]


class Refusing(Producer):
    """A broker that refuses one event's record: as it is, or whatever is done with it."""

    def __init__(self, offset, *, always):
        super().__init__()
        self.offset = str(offset).encode()
        self.always = always

    async def send_many(self, records):
        self.calls.append(list(records))
        for record in records:
            is_the_one = dict(record.headers)[OFFSET] == self.offset
            if is_the_one and (self.always or record.value is not None):
                raise NotAcknowledgedError("g.failures", 0, "refused") from PolicyViolationError()


async def test_a_record_that_the_broker_refuses_holds_up_no_other():
    """It goes without its payload, after the others were sent by themselves."""
    producer = Refusing(1, always=False)
    assert await hand_over(producer, context(0), context(1), context(2)) == [0, 1, 2]
    [stripped] = [r for call in producer.calls for r in call if r.value is None]
    assert dict(stripped.headers)[OFFSET] == b"1"


async def test_an_event_that_is_refused_even_so_stays_unfinished():
    """The ones behind it are handed over all the same."""
    producer = Refusing(0, always=True)
    done = []
    sender = Handover(producer, "g.failures", "g")
    for offset in range(3):
        sender.hand_over(context(offset), FAILURE, lambda offset=offset: done.append(offset))
    await sender.start()
    async with asyncio.timeout(5):
        while done != [1, 2]:
            await asyncio.sleep(0)
    await sender.stop()
    assert done == [1, 2]


async def test_an_event_that_is_too_large_goes_without_its_payload():
    """Origin, error and the size of what was left out; the others go as they are."""
    producer = Producer(RecordTooLargeError("g.failures", 1, 9_000_000, 2_000_000))
    await hand_over(producer, context(0), context(1, b"x" * 100), context(2))
    before, large, after = producer.calls[-1]
    assert [before.value, after.value] == [b"v", b"v"]
    assert (large.key, large.value) == (b"k", None)
    headers = dict(large.headers)
    assert headers[failure.LEFT_OUT_BYTES] == b"100"
    assert headers[failure.OFFSET] == b"1"
    assert "theirs" not in headers


async def test_an_unexpected_error_loses_nothing():
    """Even a mistake of ours keeps the events waiting, in place of a sender that died."""
    producer = Producer(RuntimeError("a bug"))
    assert await hand_over(producer, context(0)) == [0]
    assert len(producer.calls) == 2
