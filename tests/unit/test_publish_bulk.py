"""A stream of events: chunks, mistakes, failures, and how far it came. Kafka is a fake here."""

from __future__ import annotations

import asyncio
import io
import os
import threading

import pytest

from tests.support.waiting import eventually
from trunkline.delivery.producer import NotAcknowledgedError, RecordMetadata
from trunkline.publishing import EventReader, RejectedEventError
from trunkline.publishing.bulk import BulkPublisher
from trunkline.publishing.feed import feed_events, feed_stream
from trunkline.topology import AUTH_REGISTERED, Topology


def event(number):
    return b'{"userId":"%d","email":"a@b"}' % number


class FakeSender:
    """Keeps the keys that it is to send; fails from a key on."""

    def __init__(self, fail_from=None):
        self.keys = []
        self.fail_from = fail_from

    async def send_many(self, records):
        await asyncio.sleep(0)
        results = []
        for record in records:
            ok = self.fail_from is None or int(record.key) < self.fail_from
            if ok:
                self.keys.append(int(record.key))
            results.append(RecordMetadata(record.topic, 0, 0) if ok else None)
        if None in results:
            raise NotAcknowledgedError("t", 0, "Kafka is away", results)
        return results


def bulk(sender, **options):
    reader = EventReader(Topology().topic(AUTH_REGISTERED), None, 10_000)
    return BulkPublisher(sender, reader, **options)


async def chunks_of(data, limit=1_000_000):
    return [chunk async for chunk in feed_stream(io.BytesIO(data), limit)]


async def test_publishes_all_in_order():
    """Every event, once, in the order of the lines."""
    sender = FakeSender()
    outcome = await bulk(sender).run(feed_events(map(event, range(10_000))))
    assert sender.keys == list(range(10_000))
    assert (outcome.acknowledged, outcome.resume_from, outcome.error) == (10_000, None, None)


async def test_ends_before_the_first_wrong_event():
    """Nothing from the wrong line on is sent."""
    sender = FakeSender()
    events = [*map(event, range(4500)), b"{}", *map(event, range(4500, 9000))]
    outcome = await bulk(sender).run(feed_events(events))
    assert sender.keys == list(range(4500))
    assert (outcome.acknowledged, outcome.resume_from) == (4500, 4501)
    assert outcome.invalid[0].line == 4501


async def test_skips_wrong_events_when_asked():
    """They are counted and the first hundred remembered."""
    sender = FakeSender()
    events = [event(n) if n % 2 else b"{}" for n in range(1000)]
    outcome = await bulk(sender, skip_invalid=True).run(feed_events(events))
    assert (outcome.acknowledged, outcome.skipped, len(outcome.invalid)) == (500, 500, 100)
    assert outcome.resume_from is None


async def test_says_where_to_go_on_after_a_failure():
    """The first line that Kafka does not have, and nothing new after it."""
    sender = FakeSender(fail_from=2500)
    outcome = await bulk(sender).run(feed_events(map(event, range(50_000))))
    assert (outcome.acknowledged, outcome.resume_from) == (2500, 2501)
    assert "Kafka is away" in str(outcome.error)


async def test_goes_on_from_a_line():
    """Earlier lines are not even checked."""
    sender = FakeSender()
    events = [b"{}", b"nope", *map(event, range(2, 5))]
    outcome = await bulk(sender, from_line=3).run(feed_events(events))
    assert sender.keys == [2, 3, 4]
    assert outcome.resume_from is None


async def test_stops_while_the_input_is_silent():
    """A pipe that stays open does not keep it from ending."""
    reading, writing = os.pipe()
    os.write(writing, event(1) + b"\n" + event(2) + b"\n" + event(3))
    sender = FakeSender()
    with io.FileIO(reading) as stream:
        publisher = bulk(sender)
        running = asyncio.create_task(publisher.run(feed_stream(stream, 1000)))
        await eventually(lambda: publisher.outcome.acknowledged == 2)
        publisher.stop()
        outcome = await asyncio.wait_for(running, 5)
        os.close(writing)
        await eventually(lambda: not any(t.name == "feed" for t in threading.enumerate()))
    assert sender.keys == [1, 2], "the third line has no end yet"
    assert outcome.resume_from == 3


@pytest.mark.parametrize(
    "data",
    [
        b"%s\n%s",
        b"%s\n%s\n",
        b"\xef\xbb\xbf%s\r\n%s\r\n",
        b"[%s,\n%s]",
        b" \n[%s,%s]\n",
    ],
)
async def test_reads_lines_and_arrays(data):
    """NDJSON with any line end, and arrays, with or without white space around."""
    chunks = await chunks_of(data % (event(1), event(2)))
    assert [raw.json for chunk in chunks for raw in chunk] == [event(1), event(2)]


async def test_numbers_lines_across_blocks():
    """Lines are counted through blank ones and block borders; none is cut."""
    lines = [event(n) if n % 3 else b"" for n in range(1, 50_001)]
    numbered = [raw for chunk in await chunks_of(b"\n".join(lines)) for raw in chunk]
    assert [(raw.line, raw.json) for raw in numbered] == [
        (n, line) for n, line in enumerate(lines, 1) if line
    ]


@pytest.mark.parametrize("data", [b"", b"\n\n", b" " * 600_000])
async def test_reads_nothing_from_nothing(data):
    """An empty input has no events."""
    assert await chunks_of(data) == []


async def test_refuses_a_line_without_end():
    """A file without line breaks is not read into memory."""
    with pytest.raises(RejectedEventError, match=r"line 2: .* longer than 1000 bytes"):
        await chunks_of(event(1) + b"\n" + b"x" * 2_000_000, 1000)
