"""A replica of ``<group>.held-keys``: what every worker of the group has handed over and holds.

Every pod reads the whole topic, so that one that is given a partition knows what its predecessor
held as soon as it has read to the end. A key costs about 300 bytes on each pod while it waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec
from aiokafka.errors import KafkaError
from mode import Service

from models.failures import (
    HeldKey,
    HeldRange,
    NewerFormatError,
    decode_held_key,
    decode_held_range,
    decode_offset,
)
from trunkline.delivery.holds import Hold
from trunkline.delivery.producer_link import explain
from trunkline.delivery.tail import TopicTail, read_to_end
from trunkline.errors import BrokerError

logger = logging.getLogger(__name__)

_RETRY_S = 0.5
#: How often it is said that this worker is too old for what stands in the topic.
_NEWER_S = 10.0

#: Source topic, partition, key, and the offset up to which its lane is empty.
OnRelease = Callable[[str, int, bytes, int], None]


class HeldKeys(Service):
    """Follow the topic from its beginning to its growing end.

    Args:
        tail: The topic, read from its beginning.

    """

    mundane_level = "debug"

    def __init__(self, tail: TopicTail, **options: Any) -> None:
        super().__init__(**options)
        self.on_release: OnRelease = lambda *_: None
        self._tail = tail
        self._holds: defaultdict[tuple[str, int], dict[HeldKey, HeldRange]] = defaultdict(dict)
        self._releases: defaultdict[tuple[str, int], dict[bytes, int]] = defaultdict(dict)
        self._reading: asyncio.Task[None] | None = None
        self._said = False

    def __len__(self) -> int:
        """How many holds there are in the whole group."""
        return sum(len(holds) for holds in self._holds.values())

    @property
    def connected(self) -> bool:
        """Whether Kafka answers: the topic is read all the time."""
        return self._tail.connected

    def get(self, key: HeldKey) -> HeldRange | None:
        """Return a hold as it stands on the topic, as far as it was read."""
        return self._holds[key.topic, key.partition].get(key)

    def of(self, topic: str, partition: int) -> list[tuple[HeldKey, Hold]]:
        """Return the holds of a source partition, and whether each still blocks its key."""
        releases = self._releases[topic, partition]
        return [
            (
                key,
                Hold.of(
                    held,
                    blocks=held.blocks
                    and (key.key is None or releases.get(key.key, -1) != held.last),
                ),
            )
            for key, held in self._holds[topic, partition].items()
        ]

    def released(self, topic: str, partition: int, key: bytes) -> bool:
        """Tell whether the topic has a release for a key."""
        return key in self._releases[topic, partition]

    async def read_to_end(self) -> None:
        """Return when all that is committed on the topic as of now has been read.

        A transaction that a killed pod left open hides what others committed behind it, so its end
        is waited for: until a pod of the same name is back, or Kafka rolls it back (10 to 20 s).
        """
        await read_to_end(lambda: self._tail)

    async def on_start(self) -> None:
        """Begin to read; does not wait for the broker."""
        self._reading = asyncio.create_task(self._read_forever())

    async def on_stop(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._tail.close()

    async def _read_forever(self) -> None:
        while True:
            try:
                await self._read()
            except (KafkaError, BrokerError, TimeoutError, OSError) as error:
                if not self._said:
                    logger.warning(
                        "Reading %s waits for Kafka: %s", self._tail.topic, explain(error)
                    )
                self._said = True
            except NewerFormatError as newer:
                # Without this hold its key's order would be lost: no partition is begun before.
                logger.error("Reading %s waits: %s", self._tail.topic, newer)  # noqa: TRY400
                await asyncio.sleep(_NEWER_S)
            except Exception:
                logger.exception("Reading %s failed; it is tried again", self._tail.topic)
            await self._tail.close()
            await asyncio.sleep(_RETRY_S)

    async def _read(self) -> None:
        while not await self._tail.open():
            await asyncio.sleep(_RETRY_S)
        if self._said:
            logger.info("Reading %s again", self._tail.topic)
            self._said = False
        while True:
            for record in await self._tail.poll():
                self.take(record)
                self._tail.positions[record.partition] = record.offset + 1
            await asyncio.sleep(0)

    def take(self, record: Any) -> None:
        """Apply one record of the topic; what is none of ours is logged and passed over."""
        try:
            key = decode_held_key(record.key)
            if key.kind == "hold":
                self._take_hold(key, record.value)
            else:
                self._take_release(key, record.value)
        except (msgspec.MsgspecError, TypeError):
            logger.exception(
                "%s[%s]@%s is no record of ours and is passed over",
                record.topic,
                record.partition,
                record.offset,
            )

    def _take_hold(self, key: HeldKey, value: bytes | None) -> None:
        holds = self._holds[key.topic, key.partition]
        if value is None:
            holds.pop(key, None)
        else:
            holds[key] = decode_held_range(value)

    def _take_release(self, key: HeldKey, value: bytes | None) -> None:
        releases = self._releases[key.topic, key.partition]
        assert key.key is not None
        if value is None:
            releases.pop(key.key, None)
            return
        offset = releases[key.key] = decode_offset(value)
        self.on_release(key.topic, key.partition, key.key, offset)
