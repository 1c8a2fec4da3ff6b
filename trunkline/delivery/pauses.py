"""What an operator has paused: its events wait where they are, uncommitted, until it is resumed.

Not the breaker's business: that one judges a topic on one pod and forgets with it, an operator's
word holds for a partition or a topic on all pods of the group, over restarts and rebalances.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from trunkline.delivery.waiters import Waiters

logger = logging.getLogger(__name__)

#: Topic and partition; None stands for all partitions of the topic.
Pause = tuple[str, int | None]


class PartitionPause:
    """Whether one partition waits; what the hot path looks at before each event."""

    __slots__ = ("_waiters", "on")

    def __init__(self) -> None:
        self.on = False
        self._waiters = Waiters()

    async def wait(self) -> None:
        """Return when the partition is not paused."""
        while self.on:
            await self._waiters.wait()

    def set(self, on: bool) -> None:
        """Pause or resume."""
        self.on = on
        if not on:
            self._waiters.wake_all()


class Pauses:
    """The pauses of this worker's group."""

    def __init__(self) -> None:
        self._ordered: frozenset[Pause] = frozenset()
        self._partitions: dict[tuple[str, int], PartitionPause] = {}

    def of(self, topic: str, partition: int) -> PartitionPause:
        """Return the pause of a partition, the same one for every assignment."""
        place = topic, partition
        if place not in self._partitions:
            made = self._partitions[place] = PartitionPause()
            made.on = self.covers(topic, partition)
        return self._partitions[place]

    def covers(self, topic: str, partition: int) -> bool:
        """Tell whether a partition is paused, by itself or with its topic."""
        ordered = self._ordered
        return bool(ordered) and ((topic, None) in ordered or (topic, partition) in ordered)

    def order(self, pauses: Iterable[Pause]) -> None:
        """Pause these and nothing else."""
        ordered = frozenset(pauses)
        for pause in sorted(ordered - self._ordered, key=str):
            logger.warning("%s is paused by an operator: its events wait.", name_of(pause))
        for pause in sorted(self._ordered - ordered, key=str):
            logger.info("%s goes on: an operator resumed it.", name_of(pause))
        self._ordered = ordered
        for (topic, partition), held in self._partitions.items():
            held.set(self.covers(topic, partition))

    def names(self) -> list[str]:
        """Return what is paused, as ``topic`` or ``topic[partition]``."""
        return sorted(map(name_of, self._ordered))


def name_of(pause: Pause) -> str:
    """Return a pause as people write it: ``topic`` or ``topic[partition]``."""
    topic, partition = pause
    return topic if partition is None else f"{topic}[{partition}]"
