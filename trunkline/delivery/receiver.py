"""Give every event of a topic to this pod, whatever the other pods read (seed, section 3).

Two ways, both with all partitions assigned by hand, so that pods never cause each other a
rebalance:

- without a group (``fanout``): from now on, no commits;
- with a group of the pod's own (``direct``): what the callback returned for is committed, so that a
  pod of the same name continues where it left off.

An event that cannot be decoded is counted, logged and passed over: every pod sees it, so none can
hand it over as failed. In fanout mode the relay's group has done that before it got here; in direct
mode nobody does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from aiokafka.errors import KafkaError
from mode import Service

from models import Event
from trunkline.delivery.decode import explain, headed_decoder_for
from trunkline.delivery.origin import ORIGIN, RecentOrigins, origin_of
from trunkline.delivery.producer_link import explain as in_words
from trunkline.delivery.tail import TopicTail
from trunkline.errors import BrokerError
from trunkline.topics.connecting import why_no_answer

logger = logging.getLogger(__name__)

_RETRY_S = 0.5
_LOG_EVERY = 1000
_RECOMMIT_S = 3600.0
_LAST_COMMIT_TIMEOUT_S = 2.0

Callback = Callable[[Any, Any], None]


class ReceiverCounters:
    """What a receiver has seen since it was made."""

    __slots__ = ("callback_errors", "duplicates", "received", "reconnects", "undecodable")

    def __init__(self) -> None:
        #: Records read, of any kind.
        self.received = 0
        #: Second copies of an event, dropped.
        self.duplicates = 0
        self.undecodable = 0
        self.callback_errors = 0
        self.reconnects = 0


class BroadcastReceiver(Service):
    """Calls back with every event of a topic, in the order of each partition's offsets.

    It can be started before the broker or the topic is there: it waits, and says so once. A broker
    that restarts costs time but no event, and no event is given twice. A copy that the relay made a
    second time is dropped (by its origin, of which the last ``remembered`` are known).

    Args:
        tail: The topic, and where to start.
        model: What the values are decoded into.
        callback: Called with the record as aiokafka gives it, and the event; it must not block.
        commit_interval_s: How often a group's progress is committed.
        remembered: How many origins are kept to know a second copy by (about 200 bytes each).

    """

    def __init__(
        self,
        tail: TopicTail,
        model: type[Event],
        callback: Callback,
        *,
        commit_interval_s: float = 0.5,
        remembered: int = 20_000,
    ) -> None:
        super().__init__()
        self.counters = ReceiverCounters()
        self._tail = tail
        self._decode = headed_decoder_for(model)
        self._callback = callback
        self._commit_interval_s = commit_interval_s
        self._origins = RecentOrigins(remembered)
        self._said = ""
        self._commit_failed = False
        self._is_ready = False
        self._running: list[asyncio.Task[None]] = []

    @property
    def ready(self) -> bool:
        """Whether all that stood in the topic at the start was read; stays true from then on."""
        return self._is_ready

    def stats(self) -> dict[str, Any]:
        """Return the counters, and position and lag per partition, for ``/stats``."""
        counts = {name: getattr(self.counters, name) for name in self.counters.__slots__}
        lags = self._tail.lags()
        return {
            "topic": self._tail.topic,
            "group": self._tail.group,
            "connected": self._tail.connected,
            "ready": self._is_ready,
            **counts,
            "partitions": {
                str(p): {"position": position, "lag": lags[p]}
                for p, position in sorted(self._tail.positions.items())
            },
        }

    async def on_start(self) -> None:
        """Begin to read; does not wait for the broker."""
        self._running = [asyncio.create_task(self._read_forever())]
        if self._tail.group is not None:
            self._running.append(asyncio.create_task(self._commit_forever()))

    async def on_stop(self) -> None:
        """Stop reading, and commit what the callback was given, within about three seconds."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_COMMIT_TIMEOUT_S):
                await self._commit()
        await self._tail.close()

    async def _read_forever(self) -> None:
        while True:
            try:
                await self._read()
            except (KafkaError, BrokerError, TimeoutError, OSError) as error:
                await self._say_away(error)
            except Exception:
                # A bug of the client must not silence this pod for good.
                logger.exception("Reading %s failed; it is tried again", self._tail.topic)
            await self._tail.close()
            await asyncio.sleep(_RETRY_S)
            self.counters.reconnects += 1

    async def _read(self) -> None:
        while not await self._tail.open():
            self._say(
                f"Topic {self._tail.topic} does not exist; waiting for it (make it with: "
                "trunkline topics apply)"
            )
            await asyncio.sleep(_RETRY_S)
        if self._said:
            logger.info("Reading %s from %s", self._tail.topic, self._tail.positions)
            self._said = ""
        while True:
            for record in await self._tail.poll():
                self._take(record)
            self._is_ready = self._is_ready or self._tail.caught_up
            await asyncio.sleep(0)

    def _take(self, record: Any) -> None:
        self.counters.received += 1
        if not self._origins.is_new(_origin(record)):
            self.counters.duplicates += 1
        else:
            self._give(record)
        self._tail.positions[record.partition] = record.offset + 1

    def _give(self, record: Any) -> None:
        try:
            event = self._decode(record.headers, record.value)
        except Exception as error:
            self._count_undecodable(record, error)
            return
        try:
            self._callback(record, event)
        except Exception:
            self.counters.callback_errors += 1
            logger.exception("The callback failed for %s; reading goes on", _place(record))

    def _count_undecodable(self, record: Any, error: Exception) -> None:
        if self.counters.undecodable % _LOG_EVERY == 0:
            logger.warning(
                "%s is no event and reaches no client: %s (of %d such records, the first of each "
                "%d is logged)",
                _place(record),
                explain(error, record.value),
                self.counters.undecodable + 1,
                _LOG_EVERY,
            )
        self.counters.undecodable += 1

    async def _commit_forever(self) -> None:
        recommit_at = time.monotonic() + _RECOMMIT_S
        while True:
            await asyncio.sleep(self._commit_interval_s)
            is_due = time.monotonic() >= recommit_at
            if is_due:
                recommit_at = time.monotonic() + _RECOMMIT_S
            await self._commit(again=is_due)

    async def _commit(self, *, again: bool = False) -> None:
        try:
            await self._tail.commit(again=again)
        except (KafkaError, TimeoutError) as error:
            if not self._commit_failed:
                logger.warning(
                    "Group %s could not commit (%r); it goes on trying: until then a restart "
                    "repeats notifications",
                    self._tail.group,
                    error,
                )
            self._commit_failed = True
        else:
            self._commit_failed = False

    async def _say_away(self, error: BaseException) -> None:
        if not self._said:
            reason = await why_no_answer(self._tail.connection)
            self._say(f"Reading {self._tail.topic} waits for Kafka: {in_words(error)}. {reason}")

    def _say(self, what: str) -> None:
        """Log why nothing is read, once until it is read again."""
        if not self._said:
            logger.warning("%s", what)
        self._said = what


def _origin(record: Any) -> bytes:
    for name, value in record.headers:
        if name == ORIGIN and value:
            return bytes(value)
    return origin_of(record.topic, record.partition, record.offset, record.timestamp)


def _place(record: Any) -> str:
    return f"{record.topic}, partition {record.partition}, offset {record.offset}"
