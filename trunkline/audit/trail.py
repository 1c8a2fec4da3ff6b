"""Read the audit trail: the newest actions, kept by following the topic."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from trunkline.audit.records import AuditRecord, Outcome, read_audit
from trunkline.delivery.follower import TopicFollower
from trunkline.delivery.tail import TopicTail
from trunkline.settings import Settings
from trunkline.topology import Topology

#: So many actions are remembered; older ones are in the topic.
REMEMBERED = 5_000

State = Outcome | Literal["begun"]


class AuditEntry(msgspec.Struct, frozen=True):
    """An action, with its end when it has one.

    Attributes:
        begun: Its beginning.
        ended: Its end; None while it runs, and for ever when its process died.

    """

    begun: AuditRecord
    ended: AuditRecord | None = None

    @property
    def state(self) -> State:
        """What became of it, as far as is known."""
        return "begun" if self.ended is None else self.ended.outcome or "begun"


@dataclass(frozen=True)
class AuditFilter:
    """Which actions are meant; of several fields all must fit.

    Attributes:
        action: Its name, or the part before the dot.
        who: Part of the actor, its host or its address.
        state: What became of it.
        text: Part of what it was done to, such as an id or a topic.

    """

    action: str = ""
    who: str = ""
    state: str = ""
    text: str = ""

    def matches(self, entry: AuditEntry) -> bool:
        """Tell whether an action is meant."""
        begun, actor = entry.begun, entry.begun.actor
        known = (actor.name, actor.host, actor.address, actor.via, str(actor))
        return (
            (not self.action or begun.action.startswith(self.action))
            and (not self.who or any(self.who.lower() in part.lower() for part in known))
            and (not self.state or entry.state == self.state)
            and (not self.text or self.text.lower() in _text(entry))
        )


class Trail:
    """The newest actions, each with its end."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._entries: OrderedDict[str, AuditEntry] = OrderedDict()

    def take(self, record: Any) -> None:
        """Take a record of the topic in; what is none of ours says nothing."""
        read = read_audit(record.value)
        if read is None:
            return
        known = self._entries.get(read.id)
        if read.phase == "ended":
            # Its beginning has been forgotten, or was deleted by retention.
            self._entries[read.id] = AuditEntry(known.begun if known else read, read)
        elif known is None:
            self._entries[read.id] = AuditEntry(read)
        while len(self._entries) > self._remembered:
            self._entries.popitem(last=False)

    def forget(self) -> None:
        """Forget all of them."""
        self._entries.clear()

    def entries(self, wanted: AuditFilter, limit: int) -> Sequence[AuditEntry]:
        """Return so many actions that are meant, the newest first."""
        found = []
        for entry in reversed(self._entries.values()):
            if wanted.matches(entry):
                found.append(entry)
                if len(found) == limit:
                    break
        return found

    def about(self, text: str, limit: int = 20) -> Sequence[AuditEntry]:
        """Return actions that name something, such as a dead letter's id."""
        return self.entries(AuditFilter(text=text), limit)


class AuditTrail:
    """The trail as of a moment ago, read from Kafka."""

    def __init__(self, settings: Settings, topology: Topology) -> None:
        self.trail = Trail()
        topic = topology.audit_topic().name

        def tail() -> TopicTail:
            return TopicTail(
                topic,
                settings.connection,
                replay=3 * REMEMBERED,
                client_id=f"{settings.pod_name}.audit",
                metadata_max_age_s=settings.metadata_max_age_s,
            )

        self._follower = TopicFollower(tail, self.trail.take, self.trail.forget)

    async def start(self) -> None:
        """Begin to read; does not wait for Kafka."""
        await self._follower.start()

    async def stop(self) -> None:
        """Stop reading."""
        await self._follower.stop()

    @property
    def ready(self) -> bool:
        """Whether all that stood in the topic at the start is known."""
        return self._follower.ready

    @property
    def connected(self) -> bool:
        """Whether it is being read."""
        return self._follower.connected


def _text(entry: AuditEntry) -> str:
    return msgspec.json.encode(entry.begun.what).decode().lower()
