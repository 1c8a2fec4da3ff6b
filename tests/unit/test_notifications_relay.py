"""The fan-out relay, with a fake producer."""

from __future__ import annotations

import asyncio

import pytest

from agents import fan_out
from agents.fan_out import relay_notifications
from models import NotificationSent
from trunkline.delivery.handler import Context, Subscription
from trunkline.delivery.origin import ORIGIN, RecentOrigins
from trunkline.delivery.producer import (
    NotAcknowledgedError,
    OutRecord,
    RecordMetadata,
    RecordTooLargeError,
)

VALUE = b' {"userId":"u","message":"caf\xc3\xa9",\n "x":1}'


class FakeProducer:
    """Acknowledges what it is sent, after raising the errors it was given."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = []

    async def send_many(self, records):
        self.calls.append(list(records))
        if self.errors:
            raise self.errors.pop(0)
        return [RecordMetadata(record.topic, 0, 0) for record in records]


def context(offset=7, **changes):
    fields = {
        "topic": "user.notification.sent",
        "partition": 0,
        "offset": offset,
        "timestamp_ms": 1234,
        "key": b"\xffkey",
        "value": VALUE,
        "headers": (("a", b"1"), ("a", None)),
    }
    return Context(**{**fields, **changes})


async def relay(producer, *contexts):
    handler = relay_notifications(producer, "notification.fanout")
    await handler([NotificationSent(user_id="u", message="m")] * len(contexts), list(contexts))


async def test_republishes_byte_for_byte_with_headers_and_timestamp():
    """Key, value, headers and time stay; the origin is added behind them."""
    producer = FakeProducer()
    await relay(producer, context())
    origin = (ORIGIN, b"user.notification.sent/0/7/1234")
    assert producer.calls == [
        [
            OutRecord(
                "notification.fanout",
                VALUE,
                key=b"\xffkey",
                headers=[("a", b"1"), ("a", None), origin],
                timestamp_ms=1234,
            )
        ]
    ]


async def test_sends_a_batch_in_one_call_and_in_order():
    """A batch costs one call, and its events keep their order."""
    producer = FakeProducer()
    await relay(producer, *(context(offset) for offset in range(5)))
    (call,) = producer.calls
    assert [dict(record.headers)[ORIGIN].split(b"/")[2] for record in call] == [
        b"0", b"1", b"2", b"3", b"4",
    ]  # fmt: skip


async def test_passes_one_trace_and_drops_a_forged_origin():
    """A second traceparent would make the trace unreadable; a foreign origin hides an event."""
    producer = FakeProducer()
    headers = (("traceparent", b"one"), ("traceparent", b"two"), (ORIGIN, b"forged"))
    await relay(producer, context(headers=headers))
    assert list(producer.calls[0][0].headers) == [
        ("traceparent", b"one"),
        (ORIGIN, b"user.notification.sent/0/7/1234"),
    ]


async def test_sends_only_what_is_not_acknowledged_again(monkeypatch):
    """While Kafka is away the relay waits; what stands in the topic is not sent twice."""
    monkeypatch.setattr(fan_out, "_PAUSE_S", 0)
    done = RecordMetadata("notification.fanout", 0, 1)
    producer = FakeProducer(
        NotAcknowledgedError("notification.fanout", None, "Kafka was away"),
        NotAcknowledgedError("notification.fanout", 0, "timeout", [done, None]),
    )
    await relay(producer, context(1), context(2))
    assert [len(call) for call in producer.calls] == [2, 2, 1]
    assert dict(producer.calls[2][0].headers)[ORIGIN].endswith(b"/0/2/1234")


async def test_fails_when_an_event_can_never_be_sent():
    """A record that is too large is the chain's to hand over; waiting would not help."""
    producer = FakeProducer(RecordTooLargeError("notification.fanout", 0, 2_000_000, 1_000_000))
    with pytest.raises(RecordTooLargeError):
        await relay(producer, context())


async def test_returns_only_after_the_acknowledgement():
    """The source's offset may be committed when the handler returns, so not a moment before."""

    class Slow(FakeProducer):
        async def send_many(self, records):
            await acknowledged.wait()

    acknowledged = asyncio.Event()
    task = asyncio.create_task(relay(Slow(), context()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    acknowledged.set()
    await task


def test_fits_a_subscription():
    """The handler is a batch handler that takes contexts."""
    handler = relay_notifications(FakeProducer(), "notification.fanout")
    assert Subscription("t", NotificationSent, handler, shape="batch").wants_context


def test_recent_origins_are_bounded():
    """The oldest origin is forgotten first."""
    recent = RecentOrigins(2)
    assert [recent.is_new(o) for o in (b"a", b"b", b"a", b"c", b"a")] == [
        True, True, False, True, True,
    ]  # fmt: skip
