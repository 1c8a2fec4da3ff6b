"""Where a chain's failed events go in unit tests: a source partition without Kafka."""

from __future__ import annotations

from collections.abc import Callable

from trunkline.delivery.failure import Failure
from trunkline.delivery.handler import Context
from trunkline.delivery.holds import PartitionHolds


class FakeSource:
    """Keeps what was handed over; acknowledges at once unless told to wait.

    Attributes:
        holds: What is held, as in the real one.
        failed: Offset and failure of each event that was handed over.
        parked: Offsets of the events that wait behind their key.
        waiting: What to call to acknowledge, in the order of the hand-overs.

    """

    def __init__(self, *, acknowledge: bool = True, ordered: bool = False) -> None:
        self.holds = PartitionHolds("t", 0, ordered=ordered)
        self.failed: list[tuple[int, Failure]] = []
        self.parked: list[int] = []
        self.waiting: list[Callable[[], None]] = []
        self.taken_over = 0
        self._acknowledge = acknowledge

    async def take_over(self) -> None:
        """Note that the runner asked before its first event."""
        self.taken_over += 1

    def hand_over(self, context: Context, failure: Failure, done: Callable[[], None]) -> None:
        """Keep a failed event."""
        self.failed.append((context.offset, failure))
        self.holds.hand_over(_seen(context), waits=failure.kind == "transient")
        self._take(done)

    def park(self, context: Context, done: Callable[[], None]) -> None:
        """Keep an event that waits."""
        self.parked.append(context.offset)
        self.holds.hand_over(_seen(context), waits=True)
        self._take(done)

    def _take(self, done: Callable[[], None]) -> None:
        if self._acknowledge:
            done()
        else:
            self.waiting.append(done)


class Seen:
    """A context as the holds see a record."""

    def __init__(self, key: bytes | None, offset: int, timestamp: int) -> None:
        self.key = key
        self.offset = offset
        self.timestamp = timestamp


def _seen(context: Context) -> Seen:
    return Seen(context.key, context.offset, context.timestamp_ms)
