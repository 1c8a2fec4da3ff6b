"""Read dead letters, and what was done with them, straight from Kafka.

Everything is read from the beginning: a dead letter keeps its event's timestamp, which says nothing
about when it failed, so that no offset can be looked up for ``--since``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from trunkline.connection import KafkaConnection
from trunkline.dead_letters.actions import Action, Actions, read_action
from trunkline.dead_letters.filters import LetterFilter
from trunkline.dead_letters.fingerprint import Fingerprint, fingerprint_of
from trunkline.dead_letters.reading import DeadLetter, read_dead_letter
from trunkline.dead_letters.snapshot import Ends, Snapshot
from trunkline.errors import TopologyError
from trunkline.topology import Topology

#: So many named dead letters are fetched one by one; for more, their topics are read.
_SINGLY = 50


class Found(NamedTuple):
    """A dead letter that is meant.

    Attributes:
        letter: The dead letter.
        fingerprint: Its fingerprint.
        action: What was done with it; None while it is open.

    """

    letter: DeadLetter
    fingerprint: Fingerprint
    action: Action | None


class Progress(NamedTuple):
    """What one step of a scan found, and how many dead letters it went through."""

    found: list[Found]
    read: int


class Scan:
    """The dead letters of all topics that a filter means, as they are at its opening.

    Args:
        connection: How to reach Kafka.
        topology: Which topics there are.
        wanted: Which dead letters are meant.
        acted_on: Whether those that were redriven or discarded are meant, too.
        ends: Where to end instead, as an earlier scan did.

    """

    def __init__(
        self,
        connection: KafkaConnection,
        topology: Topology,
        wanted: LetterFilter,
        *,
        acted_on: bool = False,
        ends: Ends | None = None,
    ) -> None:
        self._connection = connection
        self._topology = topology
        self._wanted = wanted
        self._acted_on = acted_on
        self._snapshot = Snapshot(connection, wanted.topics_to_read(topology), ends=ends)
        self.actions = Actions()

    async def __aenter__(self) -> Scan:
        # Before the dead letters: what is done with one later must not hide it half-way.
        self.actions = await read_actions(self._connection, self._topology)
        await self._snapshot.__aenter__()
        if not self._snapshot.found and self._wanted.topics_to_read(self._topology):
            await self._snapshot.__aexit__()
            raise TopologyError(
                "There are no dead letter topics in this cluster: create them with "
                "'trunkline topics apply', and check TRUNKLINE_NAMESPACE."
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._snapshot.__aexit__()

    @property
    def ends(self) -> Ends:
        """Return where it ends."""
        return self._snapshot.ends

    @property
    def size(self) -> int:
        """Return how many dead letters there are at most, meant or not."""
        return self._snapshot.size

    async def steps(self) -> AsyncIterator[Progress]:
        """Yield what is meant, from the beginning, each partition's in order.

        May be called again: the same dead letters come again, and none that arrived since.

        Raises:
            BrokerError: Kafka is away.

        """
        if 0 < len(self._wanted.ids) <= _SINGLY:
            yield await self._named()
            return
        async for records in self._snapshot.batches():
            letters = map(read_dead_letter, records)
            found = [each for letter in letters if (each := self._find(letter)) is not None]
            yield Progress(found, len(records))

    async def letter(self, place: tuple[str, int, int]) -> Found | None:
        """Return one dead letter, whatever was done with it; None when it is not there."""
        record = await self._snapshot.record(*place)
        if record is None:
            return None
        letter = read_dead_letter(record)
        fingerprint = fingerprint_of(letter, self._topology)
        return Found(letter, fingerprint, self.actions.on_letter(letter))

    async def _named(self) -> Progress:
        """Return those that the filter names: few of them are not looked for in everything."""
        found = []
        for place in sorted(self._wanted.ids):
            record = await self._snapshot.record(*place)
            if record is not None and (each := self._find(read_dead_letter(record))) is not None:
                found.append(each)
        return Progress(found, len(self._wanted.ids))

    def _find(self, letter: DeadLetter) -> Found | None:
        action = self.actions.on_letter(letter)
        if action is not None and not self._acted_on:
            return None
        fingerprint = fingerprint_of(letter, self._topology)
        if not self._wanted.matches(letter, fingerprint, self._topology):
            return None
        return Found(letter, fingerprint, action)


async def read_actions(connection: KafkaConnection, topology: Topology) -> Actions:
    """Return what was done with all dead letters up to now.

    Raises:
        BrokerError: Kafka is away.

    """
    actions = Actions()
    topic = topology.dead_letter_actions_topic().name
    async with Snapshot(connection, [topic]) as snapshot:
        async for records in snapshot.batches():
            for record in records:
                noted = read_action(record.key, record.value)
                if noted is not None:
                    actions.note(*noted)
    return actions
