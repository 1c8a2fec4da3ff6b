"""``<group>.failures``: what this group could not handle waits in its retries table.

Keyed like the events themselves, so a key's events stay in order. The agent applies each record to
the partition's ledger; the engine (``trunkline/retries``) tries the event again when it is due,
and commits both in one transaction.
"""

from __future__ import annotations

from typing import Any

from models.failures import RetryState
from trunkline.delivery.failure import ASK, DISCARD, FAILED, NOW, PARKED, REDRIVEN
from trunkline.retries.ledger import Ledger
from trunkline.retries.records import FailureRecord, entry_of, read_failure


def apply_failure(ledger: Ledger, record: Any) -> None:
    """Apply one record of the failures topic.

    Args:
        ledger: What waits on the failures partition that the record is from.
        record: As it was fetched; key and value are those of the failed event.

    Raises:
        ValueError: The record is none that a worker or the command line writes.

    """
    failure = read_failure(record)
    match failure.kind:
        case kind if kind == FAILED:
            ledger.wait(entry_of(record, failure, _after_failure(ledger, failure)))
        case kind if kind == PARKED:
            ledger.wait(entry_of(record, failure, RetryState(0, 0)))
        case kind if kind == REDRIVEN:
            if ledger.wait(entry_of(record, failure, RetryState(0, 0))):
                ledger.note_redriven(failure.id)
        case kind if kind == NOW:
            ledger.hurry(failure.id)
        case kind if kind == DISCARD:
            ledger.discard(failure.id)
        case kind if kind == ASK and record.key is not None:
            topic, source, last, _ = failure.id
            ledger.ask((topic, source, record.key), last)
        case kind:
            raise ValueError(f"nothing is known of a record that is {kind!r}")


def _after_failure(ledger: Ledger, failure: FailureRecord) -> RetryState:
    """Return when a failed event is tried again, or that it never is."""
    error = failure.error
    assert error is not None
    policy = ledger.policy_of(failure.id.topic)
    failed_at_ms = ledger.trusted(error.at_ms)
    gives_up = error.kind != "transient" or policy.is_exhausted(
        failure.attempts, error.at_ms, error.at_ms
    )
    due_ms = 0 if gives_up else ledger.due_ms(policy, failure.attempts, failed_at_ms)
    return RetryState(failure.attempts, due_ms, error, error, gives_up)
