"""The account at the end: where every event of every topic ended, in each group that reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from trunkline.dead_letters.reading import read_dead_letter
from trunkline.soak.fates import read_value
from trunkline.topology import AUTH_REGISTERED, ORDER_CREATED
from trunkline.verifying.stage import Stage

#: What is known of an event, as bits.
_THERE, _MUST_DIE, _HANDLED, _DEAD = 1, 2, 4, 8
_EXAMPLES = 5
#: Service to its topics and the table that has the place of each event that it has handled.
GROUPS = {
    "db-server": ((AUTH_REGISTERED,), "registered_users"),
    "engine": ((AUTH_REGISTERED, ORDER_CREATED), "applied_events"),
}


@dataclass
class Account:
    """How all events ended.

    Attributes:
        acknowledged: Events that publishers had answered 202 to.
        events: Events that stand in the topics.
        handled: Service to the events that it has handled.
        dead: Service to its dead letters.
        missing: Events that were acknowledged and stand in no topic.
        wrong: What was broken, to how often; empty when every promise was kept.
        examples: Of what is wrong.

    """

    acknowledged: int = 0
    events: int = 0
    handled: dict[str, int] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    wrong: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every event ended as it had to, exactly once."""
        return not self.wrong

    def note(self, kind: str, example: str) -> None:
        """Note something that is wrong."""
        self.wrong[kind] = self.wrong.get(kind, 0) + 1
        if self.wrong[kind] <= _EXAMPLES:
            self.examples.append(f"{kind}: {example}")


class _Marks:
    """A byte for each offset of some topics."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, int], bytearray] = {}

    def get(self, topic: str, partition: int, offset: int) -> int:
        found = self._of.get((topic, partition), b"")
        return found[offset] if offset < len(found) else 0

    def add(self, topic: str, partition: int, offset: int, bits: int) -> None:
        marks = self._of.setdefault((topic, partition), bytearray())
        if offset >= len(marks):
            marks.extend(bytes(offset + 1 - len(marks) + 1024))
        marks[offset] |= bits

    def copy(self, topics: tuple[str, ...]) -> _Marks:
        made = _Marks()
        made._of = {at: bytearray(marks) for at, marks in self._of.items() if at[0] in topics}
        return made

    def __iter__(self) -> Iterator[tuple[str, int]]:
        for (topic, partition), marks in self._of.items():
            for offset, bits in enumerate(marks):
                if bits:
                    yield f"{topic}[{partition}]@{offset}", bits


async def draw_up(
    stage: Stage,
    acknowledged: Mapping[str, bytearray],
    services: tuple[str, ...] = ("db-server", "engine"),
) -> Account:
    """Read topics, dead letters and databases, and compare.

    Args:
        stage: Where all came to rest.
        acknowledged: Topic to a byte for each number, see :class:`~.load.Load`.
        services: Whose events are looked at.

    """
    account = Account(acknowledged=sum(map(sum, acknowledged.values())))
    marks = _Marks()
    for topic, numbers in acknowledged.items():
        await _read_topic(stage, topic, numbers, marks, account)
    of_services = {name: marks.copy(GROUPS[name][0]) for name in services}
    for name, own in of_services.items():
        account.handled[name] = _read_rows(stage, name, own, account)
        account.dead[name] = 0
    for topic in acknowledged:
        await _read_letters(stage, topic, of_services, account)
    for name, own in of_services.items():
        for place, bits in own:
            if kind := _what_is_wrong(bits):
                account.note(kind, f"{place} in {name}")
    return account


def _what_is_wrong(bits: int) -> str:
    if not bits & _THERE:
        return ""  # told already
    if not bits & (_HANDLED | _DEAD):
        return "lost"
    if bits & _HANDLED and bits & _DEAD:
        return "handled and dead"
    if bool(bits & _DEAD) != bool(bits & _MUST_DIE):
        return "dead, but not to be" if bits & _DEAD else "handled, but refused"
    return ""


async def _read_topic(
    stage: Stage, topic: str, numbers: bytearray, marks: _Marks, account: Account
) -> None:
    left = bytearray(numbers)
    async for batch in stage.observer.read(stage.topology.topic(topic).name):
        for record in batch:
            number, must_die = read_value(record.value)
            bits = _THERE | (_MUST_DIE if must_die else 0)
            marks.add(topic, record.partition, record.offset, bits)
            account.events += 1
            if 0 <= number < len(left):
                left[number] = 0
    for number, is_left in enumerate(left):
        if is_left:
            account.missing += 1
            account.note("acknowledged and gone", f"event {number} of {topic}")


def _read_rows(stage: Stage, service: str, marks: _Marks, account: Account) -> int:
    count = 0
    plain = stage.topology.plain_name
    for real, partition, offset in stage.database(service).places(GROUPS[service][1]):
        count += 1
        topic = plain(real)
        if not marks.get(topic, partition, offset):
            account.note("a row of no event", f"{topic}[{partition}]@{offset} in {service}")
        else:
            marks.add(topic, partition, offset, _HANDLED)
    return count


async def _read_letters(
    stage: Stage, topic: str, marks: Mapping[str, _Marks], account: Account
) -> None:
    groups = {stage.topology.service(name).group: name for name in marks}
    async for batch in stage.observer.read(stage.topology.dead_letters_topic(topic).name):
        for record in batch:
            letter = read_dead_letter(record)
            service = groups.get(letter.group)
            at = letter.origin
            if service is None or at is None or not marks[service].get(topic, *at[1:3]):
                account.note("a dead letter of no event", letter.id)
                continue
            account.dead[service] += 1
            if marks[service].get(topic, *at[1:3]) & _DEAD:
                account.note("dead twice", f"{at} in {service}")
            marks[service].add(topic, *at[1:3], _DEAD)
