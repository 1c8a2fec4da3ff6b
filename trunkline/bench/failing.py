"""Events of which some fail, on topics of their own, and the dead letters that come of them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections.abc import Iterator, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from trunkline.bench.ground import EVENTS, Ground, ground_topology
from trunkline.connection import KafkaConnection
from trunkline.delivery.producer import OutRecord, RecordProducer

#: Domain of an event's address when its handler is to fail: it stands in the event, so that every
#: contestant, in every language, agrees on it, attempt after attempt.
FAILS = "fails.example.com"
_PARTITIONS = 3
_CHUNK = 5_000
_NUMBER = re.compile(rb'"email":"user(\d+)@')
_QUIET_S = 0.3


class FailingGround(Ground):
    """Topics for one run of one contestant, and events of which some fail.

    Attributes:
        group: Real name of the group; ``plain_group`` is without the namespace.
        dead_letters: Real name of the topic of its dead letters.

    """

    plain_group = group = dead_letters = ""

    def __init__(self, servers: str) -> None:
        super().__init__(servers, _PARTITIONS)

    async def __aenter__(self) -> FailingGround:
        await super().__aenter__()
        self.plain_group = await self.new_group()
        topology = ground_topology(self.namespace, self.partitions, self.plain_group)
        self.group = topology.real_name(self.plain_group)
        self.dead_letters = topology.dead_letters_topic(EVENTS).name
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._delete_what_the_peers_made()
        await super().__aexit__(*error)

    async def _delete_what_the_peers_made(self) -> None:
        """Delete the topics of this ground that are not ours: Faust makes some by itself."""
        ours = ground_topology(self.namespace, self.partitions, self.plain_group).topics()
        admin = AIOKafkaAdminClient(bootstrap_servers=self.servers)
        await admin.start()
        try:
            there = {t for t in await admin.list_topics() if t.startswith(f"{self.namespace}.")}
            await admin.delete_topics(sorted(there - {topic.name for topic in ours}))
        finally:
            await admin.close()

    async def preload_failing(self, count: int, failing: int, keys: int | None = None) -> None:
        """Publish events with the numbers 0 to ``count`` - 1; ``failing`` of them always fail.

        Args:
            count: How many.
            failing: How many of them fail, spread at random, the same ones in every run.
            keys: How many keys they have in turn; None is one for each event.

        """
        bad = set(random.Random(4).sample(range(count), failing))  # noqa: S311 - no secret
        producer = RecordProducer(KafkaConnection.plaintext(self.servers), "bench.preload")
        await producer.start()
        try:
            for chunk in _chunks(count):
                await producer.send_many(
                    [event(self.topic, n, n % keys if keys else n, n in bad) for n in chunk]
                )
        finally:
            await producer.stop()


def event(topic: str, number: int, user: int, fails: bool) -> OutRecord:
    """Return an event of the seed's size; its address tells its number, and whether it fails."""
    domain = FAILS if fails else "example.com"
    value = b'{"userId":"%d","email":"user%d@%s"}' % (user, number, domain.encode())
    return OutRecord(topic, value, key=b"%d" % user)


def number_of(email: str) -> int:
    """Return the number that stands in an event's address."""
    return int(email[4 : email.index("@")])


def _chunks(count: int) -> Iterator[range]:
    for start in range(0, count, _CHUNK):
        yield range(start, min(start + _CHUNK, count))


class DeadLetters:
    """Watches a dead letter topic from outside, as its readers see it (``read_committed``).

    Attributes:
        numbers: The events that are dead.
        repeated: Dead letters of events that were dead already.
        last_at: When the last new one was seen, in Unix seconds.

    """

    def __init__(self, ground: FailingGround) -> None:
        self.numbers: set[int] = set()
        self.repeated = 0
        self.last_at = 0.0
        self._topic = ground.dead_letters
        self._partitions = ground.partitions
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=ground.servers,
            isolation_level="read_committed",
            max_partition_fetch_bytes=8 * 1024 * 1024,
        )
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> DeadLetters:
        await self._consumer.start()
        partitions = [TopicPartition(self._topic, n) for n in range(self._partitions)]
        self._consumer.assign(partitions)
        await self._consumer.seek_to_beginning(*partitions)
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._consumer.stop()

    async def settle(self) -> None:
        """Return when nothing has come for a moment."""
        seen = -1
        while seen != len(self.numbers) + self.repeated:
            seen = len(self.numbers) + self.repeated
            await asyncio.sleep(_QUIET_S)

    async def _watch(self) -> None:
        while True:
            batches = await self._consumer.getmany(timeout_ms=100)
            for records in batches.values():
                self._count([record.value for record in records])

    def _count(self, values: Sequence[bytes]) -> None:
        found = [int(match[1]) for value in values if (match := _NUMBER.search(value))]
        before = len(self.numbers)
        self.numbers.update(found)
        new = len(self.numbers) - before
        self.repeated += len(values) - new
        if new:
            self.last_at = time.time()
