"""Write the audit trail: what is not noted is not done."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from trunkline.audit.records import Actor, AuditRecord, Outcome
from trunkline.delivery.producer import OutRecord, RecordProducer
from trunkline.errors import BrokerError, PublishError, TrunklineError
from trunkline.settings import Settings
from trunkline.topology import Topology

logger = logging.getLogger(__name__)

_STOP_S = 2.0


class AuditError(TrunklineError):
    """Kafka does not take an audit record."""


@dataclass
class Note:
    """What is to be said of an action when it has ended.

    Attributes:
        id: The action's id.
        outcome: What became of it.
        result: Counts.
        error: Why it was interrupted.

    """

    id: str
    outcome: Outcome = "done"
    result: dict[str, Any] = field(default_factory=dict)
    error: str = ""


class AuditLog:
    """Notes actions in the audit topic; it connects when it is first needed, and mends itself.

    Args:
        settings: How Kafka is reached.
        topology: Where the topic is.

    """

    def __init__(self, settings: Settings, topology: Topology) -> None:
        self._topic = topology.audit_topic().name
        self._producer = RecordProducer(
            settings.connection,
            "trunkline-audit",
            request_timeout_s=settings.publish_timeout_s,
        )
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Nothing yet: a console must start without its broker."""

    async def stop(self) -> None:
        """Let go of Kafka."""
        await self._producer.stop(_STOP_S)

    @asynccontextmanager
    async def action(
        self, actor: Actor, action: str, what: dict[str, Any], count: int | None = None
    ) -> AsyncIterator[Note]:
        """Note an action around what does it: its beginning is acknowledged before that runs.

        What the action raises is noted as its failure, and raised.

        Args:
            actor: Who does it.
            action: What is done, such as ``dlq.redrive``.
            what: To what: filters, ids.
            count: To how many.

        Raises:
            AuditError: Kafka did not take the first record, so nothing was done; or it did not
                take the last one, and the message says what was done.

        """
        note = Note(uuid.uuid4().hex[:16])
        begun = AuditRecord(
            id=note.id,
            phase="begun",
            at_ms=_now_ms(),
            actor=actor,
            action=action,
            what=what,
            count=count,
        )
        try:
            await self._write(begun)
        except (PublishError, BrokerError) as error:
            raise AuditError(
                f"Nothing was done: the audit trail cannot be written, and what is not noted is "
                f"not done. {error}"
            ) from error
        try:
            yield note
        except BaseException as error:
            await self._write_failure(begun, note, error)
            raise
        await self._write_end(begun, note)

    async def _write_end(self, begun: AuditRecord, note: Note) -> None:
        try:
            await self._write(_ended(begun, note))
        except (PublishError, BrokerError) as error:
            raise AuditError(
                f"{begun.action} was done ({_counts(note.result)}), but its end cannot be written "
                f"to the audit trail, which has its beginning (id {note.id}). {error}"
            ) from error

    async def _write_failure(self, begun: AuditRecord, note: Note, error: BaseException) -> None:
        stopped = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
        note.outcome = "interrupted" if stopped else "failed"
        note.error = str(error) or type(error).__name__
        try:
            await self._write(_ended(begun, note))
        except (PublishError, BrokerError) as unwritten:
            logger.warning("The audit trail lacks the end of %s: %s", note.id, unwritten)

    async def _write(self, record: AuditRecord) -> None:
        async with self._starting:
            await self._producer.start()
        value = msgspec.json.encode(record)
        await self._producer.send(OutRecord(self._topic, value, key=record.id.encode()))


@asynccontextmanager
async def audited(
    settings: Settings,
    topology: Topology,
    actor: Actor,
    action: str,
    *,
    what: dict[str, Any],
    count: int | None = None,
) -> AsyncIterator[Note]:
    """Note one action, on a connection of its own: :meth:`AuditLog.action` for a command line.

    Raises what that raises.
    """
    log = AuditLog(settings, topology)
    try:
        async with log.action(actor, action, what, count) as note:
            yield note
    finally:
        await log.stop()


def _ended(begun: AuditRecord, note: Note) -> AuditRecord:
    return msgspec.structs.replace(
        begun,
        phase="ended",
        at_ms=_now_ms(),
        outcome=note.outcome,
        result=note.result,
        error=note.error,
    )


def _counts(result: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in result.items()) or "no counts"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
