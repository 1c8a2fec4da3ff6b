"""The journal pod, which kills itself with SIGKILL at a point that the environment names.

    POD_CRASH=table.written:2 … faust -A tests.support.pods.crashing worker

The number says at which time it comes there. A point is between two steps:

``handover.begin``, ``.written``, ``.committed``
    Of the transaction of a failed event and its hold: before it; all records are written, and it
    is not committed; Kafka acknowledged the commit, and the event is not finished yet.
``source.commit``
    Offsets of events that are handled or handed over are about to be committed.
``table.begin``, ``.written``, ``.committed``, ``.filed``
    Of a transaction of the retries table; the last: its files are written, and the offset in the
    failures topic is not finished yet.
``release.begin``, …, ``dead.begin``, …
    The same, of one in which there is a release, or a dead letter.
``release.read``
    The source's worker has read a release, and the key is not free yet.
``attempt.handled``
    A retry succeeded, and nothing knows it yet.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import Any

from tables.retry_partition import RetriesPartition
from trunkline.delivery.consumer_thread import ConsumerThread
from trunkline.delivery.fenced import FencedTransactions
from trunkline.delivery.keeper import HoldKeeper
from trunkline.delivery.producer_call import OutRecord
from trunkline.retries.attempt import Attempts
from trunkline.topology import AUTH_REGISTERED

POINT, _, _TIMES = os.environ.get("POD_CRASH", "").partition(":")
_left = [int(_TIMES or 1)]


def at(*points: str) -> None:
    """Die here, if this is where."""
    if POINT in points:
        _left[0] -= 1
        if not _left[0]:
            os.kill(os.getpid(), signal.SIGKILL)


def _steps(transactions: FencedTransactions, records: Sequence[OutRecord]) -> list[str]:
    name = transactions._options.transactional_id or ""
    if ".handover-" in name:
        is_event = any(record.topic.endswith(".failures") for record in records)
        return ["handover"] if is_event else []
    topics = [record.topic for record in records]
    found = ["table"]
    found += ["release"] if any(topic.endswith(".held-keys") for topic in topics) else []
    found += ["dead"] if any("dlq." in topic for topic in topics) else []
    return found


_transact, _commit = FencedTransactions.transact, FencedTransactions._commit


async def transact(self: FencedTransactions, records: Sequence[OutRecord], *options: Any) -> Any:
    """Write a list, dying before or after it."""
    steps = _steps(self, records)
    self._steps = steps  # type: ignore[attr-defined]
    at(*(f"{step}.begin" for step in steps))
    places = await _transact(self, records, *options)
    at(*(f"{step}.committed" for step in steps))
    return places


async def commit(self: FencedTransactions, link: Any) -> None:
    """Commit, dying before it."""
    at(*(f"{step}.written" for step in self._steps))  # type: ignore[attr-defined]
    await _commit(self, link)


_commit_table = RetriesPartition.commit
_release, _attempt = HoldKeeper._release, Attempts.attempt
_commit_offsets = ConsumerThread._commit


async def commit_table(self: RetriesPartition, changes: Any) -> None:
    """Commit changes of the table, dying after the files are written."""
    steps = ["table"]
    steps += ["release"] if any(r.topic.endswith(".held-keys") for r in changes.records) else []
    steps += ["dead"] if any("dlq." in r.topic for r in changes.records) else []
    await _commit_table(self, changes)
    at(*(f"{step}.filed" for step in steps))


def release(self: HoldKeeper, topic: str, partition: int, key: bytes, offset: int) -> None:
    """Take a release, dying before it."""
    if (topic, partition) in self._kept:
        at("release.read")
    _release(self, topic, partition, key, offset)


async def attempt(self: Attempts, entry: Any) -> BaseException | None:
    """Make an attempt, dying when it succeeded."""
    error = await _attempt(self, entry)
    if error is None:
        at("attempt.handled")
    return error


async def commit_offsets(self: ConsumerThread, offsets: Any) -> bool:
    """Commit offsets, dying before it."""
    if any(tp.topic.endswith(AUTH_REGISTERED) and offset for tp, offset in offsets.items()):
        at("source.commit")
    return await _commit_offsets(self, offsets)


FencedTransactions.transact = transact  # type: ignore[method-assign]
FencedTransactions._commit = commit  # type: ignore[method-assign]
RetriesPartition.commit = commit_table  # type: ignore[method-assign]
HoldKeeper._release = release  # type: ignore[method-assign]
Attempts.attempt = attempt  # type: ignore[method-assign]
ConsumerThread._commit = commit_offsets  # type: ignore[method-assign]

from tests.support.pods.journal import app  # noqa: E402, F401  # built of the wrapped parts
