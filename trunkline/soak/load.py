"""Posts events to publishers at an even rate, through every outage."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import aiohttp
import msgspec

from trunkline.delivery.producer import OutRecord
from trunkline.errors import PublishError
from trunkline.soak.fates import Shares, invalid_value, make_event
from trunkline.topology import AUTH_REGISTERED
from trunkline.verifying.stage import Stage
from trunkline.verifying.workers import WorkerError, WorkerProcess

_TICK_S = 0.2
_MOST_AT_ONCE = 200
_PAUSE_S = 0.3
_TIMEOUT = aiohttp.ClientTimeout(total=20)
#: Answers after which the same events are posted again: the publisher is gone, ends, or says so.
_AGAIN = {0, 408, 500, 502, 503, 504}


class Pause:
    """The longest time without a success since it was last begun."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Measure anew from now on."""
        self._last = time.monotonic()
        self._longest = 0.0

    def note(self) -> None:
        """Note a success."""
        now = time.monotonic()
        self._longest = max(self._longest, now - self._last)
        self._last = now

    @property
    def longest_s(self) -> float:
        """The longest pause; one that still goes on counts."""
        return max(self._longest, time.monotonic() - self._last)


class Load:
    """Posts each event until it is acknowledged.

    What was not acknowledged may stand in its topic all the same, so an event may be there twice:
    two equal events are two events, and the topic says which ones there are.

    Attributes:
        acknowledged: Topic to a byte for each number: 1 when a publisher answered 202 to it.
        answers: How many posts got which HTTP status; 0 is none.
        posted_again: How many events were posted more than once.
        pause: Time without a 202.

    """

    def __init__(
        self,
        stage: Stage,
        publishers: Mapping[str, WorkerProcess],
        per_s: float,
        seed: int,
        shares: Shares | None = None,
    ) -> None:
        """Describe a load.

        Args:
            stage: Where.
            publishers: Topic to the pod that takes its events.
            per_s: Events a second, over all topics.
            seed: Decides which events fail.
            shares: How many of them.

        """
        self._stage = stage
        self._publishers = publishers
        self._per_s = per_s / len(publishers)
        self._seed = seed
        self._shares = shares or Shares()
        self._over = asyncio.Event()
        self.acknowledged = {topic: bytearray() for topic in publishers}
        self.answers: Counter[int] = Counter()
        self.posted_again = 0
        self.pause = Pause()
        self._count = 0

    @property
    def count(self) -> int:
        """How many events were acknowledged."""
        return self._count

    def end(self) -> None:
        """Post no new events; :meth:`run` returns when all are acknowledged."""
        self._over.set()

    async def run(self) -> None:
        """Publish until the end.

        Raises:
            WorkerError: A publisher gives an answer that no outage explains.

        """
        self.pause.begin()
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for topic in self._publishers:
                tasks.create_task(self._publish(session, topic))
            tasks.create_task(self._publish_invalid())

    async def _publish(self, session: aiohttp.ClientSession, topic: str) -> None:
        began, sent = time.monotonic(), 0
        while not self._over.is_set():
            due = int((time.monotonic() - began) * self._per_s)
            until = min(due, sent + _MOST_AT_ONCE)
            if until > sent:
                await self._post_until_taken(session, topic, range(sent, until))
                sent = until
            await self._sleep(_TICK_S if sent == due else 0)

    async def _post_until_taken(
        self, session: aiohttp.ClientSession, topic: str, numbers: Sequence[int]
    ) -> None:
        body = msgspec.json.encode(
            [make_event(topic, number, self._seed, self._shares) for number in numbers]
        )
        while True:
            status, answer = await self._post(session, topic, body)
            self.answers[status] += 1
            if status == 202:
                break
            if status not in _AGAIN:
                pod = self._publishers[topic].pod
                raise WorkerError(f"{pod} answers {status} to {topic}: {answer!r}")
            self.posted_again += len(numbers)
            await asyncio.sleep(_PAUSE_S)
        marks = self.acknowledged[topic]
        marks.extend(bytes(max(0, numbers[-1] + 1 - len(marks))))
        marks[numbers[0] : numbers[-1] + 1] = b"\1" * len(numbers)
        self._count += len(numbers)
        self.pause.note()

    async def _post(
        self, session: aiohttp.ClientSession, topic: str, body: bytes
    ) -> tuple[int, bytes]:
        url = f"{self._publishers[topic].url}/events/{topic}"
        headers = {"Content-Type": "application/json"}
        try:
            async with session.post(url, data=body, headers=headers) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0, b""

    async def _publish_invalid(self) -> None:
        """Publish what the publishers would refuse straight to Kafka, as any other client's."""
        every_s = 1 / max(1e-6, self._shares.invalid * self._per_s * len(self._publishers))
        topic, number = self._stage.topology.topic(AUTH_REGISTERED).name, 0
        while not await self._sleep(every_s):
            record = OutRecord(topic, invalid_value(number), key=b"%d" % (number % 50))
            try:
                await self._stage.send([record])
            except PublishError:
                continue  # it is there or it is not: the topic tells
            number += 1

    async def _sleep(self, seconds: float) -> bool:
        """Sleep, at most until the end; tells whether that has come."""
        try:
            async with asyncio.timeout(max(seconds, 0.001)):
                await self._over.wait()
        except TimeoutError:
            return False
        return True
