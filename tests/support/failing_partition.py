"""A failures partition without Kafka: its records, its table, and what its handler saw."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from agents.dead_letters import forward_dead_letters
from agents.failures import apply_failure
from models import UserRegistered
from models.failures import HeldKey, decode_held_key, decode_offset
from tests.support.memory_store import MemoryStore
from tests.support.waiting import eventually
from trunkline.delivery.failing import make_target
from trunkline.delivery.failure import (
    HELD,
    RECORD,
    Failure,
    failure_headers,
    parked_headers,
    place_headers,
)
from trunkline.delivery.handler import Context, Subscription
from trunkline.delivery.offsets import OffsetTracker
from trunkline.delivery.producer_call import OutRecord
from trunkline.retries.attempt import Attempts
from trunkline.retries.backoff import parse_backoff
from trunkline.retries.failures import Failures
from trunkline.retries.partition import FailuresPartition
from trunkline.retries.policy import RetryPolicy
from trunkline.settings import Settings

VALUE = b'{"userId":"u","email":"a@b"}'
HEADERS = (("traceparent", b"x"), ("theirs", None), ("theirs", b"2"))


class Record(NamedTuple):
    """What aiokafka's records are to us."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Any
    timestamp: int = 1000
    topic: str = "g.failures"
    partition: int = 0


class Failing:
    """The engine of one failures partition, over a table that outlives it.

    Args:
        handler: Takes an event and its context.
        policy: By default three retries at once.
        settings: For breaker and flood guard.
        concurrency: Most attempts at once.

    """

    def __init__(
        self,
        handler: Callable[..., Any],
        policy: RetryPolicy | None = None,
        settings: Settings | None = None,
        concurrency: int = 8,
    ) -> None:
        self.store = MemoryStore()
        subscription = Subscription("t", UserRegistered, handler)
        policy = policy or RetryPolicy(backoff=parse_backoff("fixed:0"))
        self.target = make_target(subscription, policy, settings or Settings())
        self._concurrency = concurrency
        self.log: list[Record] = []
        self.start()

    def start(self) -> None:
        """Take the partition over, as a new process would, from what is applied and committed."""
        forward = forward_dead_letters("g", lambda topic: f"dlq.{topic}")
        self.failures = Failures(
            "g.failures",
            "g.held-keys",
            self.store,
            {"t": Attempts(self.target)},
            apply_failure,
            forward,
            self._concurrency,
        )
        self.tracker = OffsetTracker(0)
        self.partition: FailuresPartition = self.failures.opened(0, self.tracker)
        self._feed(self.log)

    def failed(self, offset: int, key: bytes | None = b"k", **options: Any) -> None:
        """Bring an event that failed at its source."""
        kind = options.get("kind", "transient")
        held = options.get("held", key is not None and kind == "transient")
        context = self.context(offset, key, options.get("value", VALUE))
        failure = Failure.of(RuntimeError("first"), kind)
        headers = [*failure_headers(context, failure, "g"), *([(HELD, b"1")] if held else [])]
        self.bring(context, headers)

    def parked(self, offset: int, key: bytes = b"k") -> None:
        """Bring an event that waits behind its key."""
        context = self.context(offset, key)
        self.bring(context, parked_headers(context, "g"))

    def tell(self, kind: str, offset: int, key: bytes | None = b"k") -> None:
        """Bring a command, a question or a redriven event."""
        context = self.context(offset, key)
        value = VALUE if kind == "redriven" else None
        headers = [*place_headers(context, "g"), (RECORD, kind.encode())]
        if kind == "redriven":
            headers = [*HEADERS, *headers]
        self.bring(context, headers, value)

    def context(self, offset: int, key: bytes | None, value: bytes | None = VALUE) -> Context:
        """Return where an event was published."""
        return Context("t", 0, offset, 1_700_000_000_000 + offset, key, value, HEADERS)

    def bring(self, context: Context, headers: Any, value: Any = ...) -> None:
        """Let the consumer bring a record."""
        given = context.value if value is ... else value
        record = Record(len(self.log), context.key, given, tuple(headers))
        self.log.append(record)
        self._feed([record])

    def _feed(self, records: list[Record]) -> None:
        if records:
            self.tracker.deliver([r.offset for r in records], records[-1].offset + 1)
            self.partition.feed(records)

    async def settled(self, timeout_s: float = 5) -> None:
        """Wait until nothing waits any more, and all of it is committed."""

        def is_settled() -> bool:
            return (
                not self.store.entries
                and self.partition.is_open
                and not self.partition.waiting
                and self.store.applied == len(self.log) - 1
                and not self.tracker.unfinished
            )

        await eventually(is_settled, timeout_s, "the failures partition to be empty")

    async def end(self) -> None:
        """Give the partition away."""
        assert await self.partition.drain(2)

    async def crash(self) -> None:
        """Lose all that is not committed."""
        task = self.partition._task
        task.cancel()
        await asyncio.wait({task})

    @property
    def dead(self) -> list[OutRecord]:
        """Committed dead letters."""
        return [record for record in self.store.records if record.topic == "dlq.t"]

    @property
    def releases(self) -> list[tuple[HeldKey, int]]:
        """Committed releases."""
        return [
            (decode_held_key(record.key or b""), decode_offset(record.value or b""))
            for record in self.store.records
            if record.topic == "g.held-keys"
        ]
