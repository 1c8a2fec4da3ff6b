"""Events that have no attempts left, on their way through the dead letters agent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from models.failures import RetryEntry
from trunkline.delivery.producer_call import OutRecord
from trunkline.delivery.steady_time import now_ms
from trunkline.retries.attempt import Attempts
from trunkline.retries.failures import DeadBatch, Failures
from trunkline.retries.ledger import Ledger
from trunkline.retries.schedule import Waiting

#: How long a dead event waits that the flood guard stopped, before the guard is asked again.
_FLOOD_MS = 1_000


class Burials:
    """Gives dead events to the dead letters agent, in batches, and takes their dead letters back.

    Args:
        failures: What all of this worker's failures partitions share.
        ledger: Where the events wait.

    """

    def __init__(self, failures: Failures, ledger: Ledger) -> None:
        self._failures = failures
        self._ledger = ledger
        self._dying: list[tuple[Waiting, RetryEntry]] = []

    def bury(self, waiting: Waiting, entry: RetryEntry, attempts: Attempts) -> None:
        """Give an event to the dead letters agent, unless too many of them would go there."""
        schedule = self._ledger.schedule
        guard = attempts.target.guard
        if _tells_the_guard(entry) and not guard.allows():
            schedule.again(waiting, now_ms() + _FLOOD_MS, exhausted=True)
            return
        if attempts.target.policy.when_dead == "follow":
            for other in schedule.behind(waiting):
                other.exhausted = True
                behind = self._ledger.entry(other.id)
                self._ledger.note(behind, msgspec.structs.replace(behind.state, exhausted=True))
        if not self._dying:
            asyncio.get_running_loop().call_soon(self._send)
        self._dying.append((waiting, entry))

    def buried(self, dying: Sequence[tuple[Waiting, RetryEntry]], letters: list[OutRecord]) -> None:
        """Let events go whose dead letters go out in the same transaction."""
        if self._ledger.is_closed:
            return  # recovered anew meanwhile: they are exhausted, and come again
        self._ledger.send(letters)
        for waiting, _ in dying:
            if attempts := self._failures.attempts.get(waiting.id.topic):
                attempts.target.counters.dead += 1
            self._ledger.let_go(self._ledger.schedule.finish(waiting))

    def _send(self) -> None:
        dying, self._dying = self._dying, []
        if dying and not self._ledger.is_closed:
            entries = [entry for _, entry in dying]
            self._failures.send_dead(
                DeadBatch(entries, lambda letters: self.buried(dying, list(letters)))
            )


def _tells_the_guard(entry: RetryEntry) -> bool:
    """Whether the guard hears of it here: who failed at once was told at the source."""
    error = entry.state.last_error
    return error is None or error.kind == "transient"
