"""A run as it should be, without Kafka: what the oracle must find nothing wrong with."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import count

from tests.chaos.events import POISON, Events
from tests.chaos.evidence import Evidence, Record, Rows
from tests.chaos.fates import Fate, Place
from tests.chaos.groups import GROUPS, KEYS, ROWS, TOPICS, Group, chaos_topology
from tests.chaos.journals import END, FAILED, START, Line, shown
from trunkline.delivery import failure
from trunkline.delivery.partitioning import Partitioner
from trunkline.topology import AUTH_REGISTERED, ORDER_CREATED


class History:
    """Events, and how each group handled them one after the other."""

    def __init__(self, seed: int, events: int, keys: int) -> None:
        self._clock = count(1_000_000, 1_000)
        self.evidence = Evidence(
            seed,
            events={},
            acknowledged={},
            lines={group.name: [] for group in GROUPS},
            letters={group.name: [] for group in GROUPS},
        )
        self.evidence.events, self.evidence.acknowledged = _published(seed, events, keys)
        for group in GROUPS:
            for event in self.evidence.read_by(group).values():
                self._handle(group, event)
        self.evidence.rows = _rows(self.evidence)

    def _handle(self, group: Group, event: Record) -> None:
        fate = self.evidence.fate_of(group, event)
        lines = self.evidence.lines[group.name]
        for attempt in range(1, fate.attempts + 1):
            ends = END if fate.handled and attempt == fate.attempts else FAILED
            lines += [self._line(group, event, what, attempt) for what in (START, ends)]
        if not fate.handled:
            letters = self.evidence.letters[group.name]
            letters.append(_letter(group, event, fate, len(letters)))

    def _line(self, group: Group, event: Record, what: str, attempt: int) -> Line:
        at_ns, key = next(self._clock), shown(event.key)
        pod = f"{group.name}-1"
        return Line(pod, 1, what, at_ns, event.place, event.timestamp_ms, attempt, key)


def _published(seed: int, events: int, keys: int) -> tuple[dict[Place, Record], dict[int, Place]]:
    topology = chaos_topology("")
    partitions = {topic.name: range(topic.partitions) for topic in TOPICS}
    partitioner, ends = Partitioner(), Counter[tuple[str, int]]()
    made = Events(topology, seed, keys)
    found, acknowledged = {}, {}
    for number in range(events):
        record = made.make(number)
        partition = partitioner.choose(record.key, partitions[record.topic])
        place = Place(record.topic, partition, ends[record.topic, partition])
        ends[record.topic, partition] += 1
        found[place] = Record(place, number + 1, record.key, record.value, tuple(record.headers))
        acknowledged[number] = place
    return found, acknowledged


def _letter(group: Group, event: Record, fate: Fate, offset: int) -> Record:
    place = event.place
    ours = {
        failure.EXCEPTION: "Error",
        failure.TOPIC: place.topic,
        failure.PARTITION: place.partition,
        failure.OFFSET: place.offset,
        failure.GROUP: group.name,
        failure.KIND: fate.kind,
        failure.ATTEMPTS: max(1, fate.attempts),
        failure.TIMESTAMP_MS: event.timestamp_ms,
        failure.FIRST_FAILED_AT_MS: 1,
    }
    headers = [*event.headers, *((name, str(value).encode()) for name, value in ours.items())]
    place = Place(f"dlq.{place.topic}", place.partition, offset)
    return event._replace(place=place, headers=tuple(headers))


def _rows(evidence: Evidence) -> Rows:
    rows = Rows()
    totals: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for group, topic in ((ROWS, AUTH_REGISTERED), (KEYS, ORDER_CREATED)):
        for place, event in evidence.read_by(group).items():
            if place.topic != topic or event.header(POISON):
                continue
            if not evidence.fate_of(group, event).handled:
                continue
            value = json.loads(event.value or b"")
            if group is ROWS:
                rows.registered[place] = (value["userId"], value["email"])
            else:
                rows.ordered.add(place)
                totals[value["userId"]][0] += 1
                totals[value["userId"]][1] += value["amountCents"]
    rows.totals = {user: (orders, cents) for user, (orders, cents) in totals.items()}
    return rows
