"""What waits, followed in a real Kafka, and one event's payload fetched from it."""

from __future__ import annotations

import time

import pytest
from aiokafka import AIOKafkaProducer

from models.failures import (
    WIRE_VERSION,
    ErrorInfo,
    EventId,
    RetryEntry,
    RetryState,
    encode,
    entry_key,
    state_key,
)
from tests.support.kafka import create_topics
from tests.support.waiting import eventually
from trunkline.retries.live import LiveRetries
from trunkline.settings import load_settings
from trunkline.topology import Topology

pytestmark = pytest.mark.kafka

GROUP = "engine-group"
LATER_MS = int(time.time() * 1000) + 3_600_000
VALUE = b'{"orderId": "o-1", "filler": "' + b"x" * 500 + b'"}'


class Changelog:
    """The changelog of a group, written by hand."""

    def __init__(self, servers, namespace):
        self.servers = servers
        self.topology = Topology(namespace)
        self.topic = self.topology.retries_changelog(GROUP)
        self.order = self.topology.real_name("order.created")

    async def create(self):
        """Make the changelogs of all groups."""
        groups = [service.group for service in self.topology.services if service.group]
        made = [self.topology.retries_changelog(group) for group in groups]
        await create_topics(self.servers, {topic.name: topic.partitions for topic in made})

    def id(self, number):
        return EventId(self.order, 0, number, 1_700_000_000_000)

    def entry(self, number):
        """Return an event that failed once, with a stack trace as they are."""
        error = ErrorInfo("transient", "builtins.TimeoutError", "late", "Traceback " * 100, 5)
        state = RetryState(1, LATER_MS + number, error, error)
        return RetryEntry(
            WIRE_VERSION,
            self.id(number),
            b"%d" % number,
            VALUE,
            (("h", b"1"),),
            True,
            number,
            0,
            0,
            state,
        )

    async def write(self, records):
        """Write key-value pairs, each event's to one partition, in transactions."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.servers,
            transactional_id=self.topic.name,
            linger_ms=5,
            max_request_size=2_000_000,
        ) as producer:
            for first in range(0, len(records), 1000):
                async with producer.transaction():
                    for number, key, value in records[first : first + 1000]:
                        await producer.send(
                            self.topic.name, key=key, value=value, partition=number % 3
                        )


@pytest.fixture
async def changelog(kafka, namespace):
    changelog = Changelog(kafka, namespace)
    await changelog.create()
    return changelog


@pytest.fixture
async def live(kafka, namespace, changelog):
    """Give a function that follows it; ends that."""
    started = []

    async def start(**options):
        settings = load_settings(kafka_bootstrap_servers=kafka, namespace=namespace)
        made = LiveRetries(settings, changelog.topology, **options)
        started.append(made)
        await made.start()
        await eventually(lambda: made.ready, 60, "what waits to be read")
        return made

    yield start
    for each in started:
        await each.stop()


def waits(changelog, number):
    entry = changelog.entry(number)
    return number, entry_key(entry.id), encode(entry)


async def test_follows_what_begins_and_ceases_to_wait(changelog, live):
    """What stood there before, new events, new states, and those that are through."""
    await changelog.write([waits(changelog, n) for n in range(4)])
    following = await live()
    await eventually(
        lambda: [event.id.offset for event in following.events()] == [0, 1, 2, 3], 30, "all four"
    )

    newest = RetryState(2, LATER_MS - 1, None, None)
    await changelog.write(
        [
            (2, state_key(changelog.id(2)), encode(newest)),
            (0, entry_key(changelog.id(0)), None),
            waits(changelog, 7),
        ]
    )
    await eventually(
        lambda: [event.id.offset for event in following.events()] == [2, 1, 3, 7],
        30,
        "the changes to be seen",
    )
    found = following.find(f"{changelog.topology.namespace}.{GROUP}", (changelog.order, 0, 2))
    assert found.entry.value is None
    whole = await following.details(found)
    assert (whole.entry.value, whole.entry.headers) == (VALUE, (("h", b"1"),))
    assert whole.entry.state == newest
    other = await following.details(following.events()[1])
    assert other.entry.state.last_error.stacktrace.startswith("Traceback")


async def test_ten_thousand_waiting_events(changelog, live):
    """Each look takes a few milliseconds of the console's process, one event's payload little."""
    await changelog.write([waits(changelog, n) for n in range(10_000)])
    began = time.monotonic()
    following = await live()
    read_s = time.monotonic() - began
    began = time.process_time()
    events = following.events()
    first_s = time.process_time() - began
    assert len(events) == 10_000
    began = time.process_time()
    following.events()
    again_s = time.process_time() - began
    began = time.monotonic()
    assert (await following.details(events[5_000])).entry.value == VALUE
    details_s = time.monotonic() - began
    print(
        f"read {read_s:.2f} s, made {first_s:.3f} s, again {again_s:.6f} s, one {details_s:.2f} s"
    )
    assert first_s < 1
    assert again_s < 0.1


async def test_holds_what_fits_and_the_others_when_there_is_room(changelog, live):
    """Too many are counted, and read when enough of the others are through."""
    await changelog.write([waits(changelog, n) for n in range(8)])
    following = await live(limit=5)
    await eventually(lambda: (len(following.events()), following.left_out) == (5, 3), 30)
    held = [event.id for event in following.events()]
    await changelog.write([(event.offset, entry_key(event), None) for event in held])
    await eventually(
        lambda: len(following.events()) == 3 and not following.left_out, 60, "the others"
    )
