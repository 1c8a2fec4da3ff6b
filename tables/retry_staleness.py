"""Whether files of the retries table can be brought up to date, or must be made anew.

A compacted topic forgets: the tombstone of an entry goes some time after it was written. Files that
missed it would keep the entry for ever, and its event would be tried again.
"""

from __future__ import annotations

import time

import msgspec

VERSION = 1
#: A clock that is this far behind the files' is not to be believed.
_CLOCK_SLACK_MS = 60_000


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """What the files say of themselves.

    Attributes:
        version: Of what stands in them.
        topic_id: Kafka's id of the changelog that they follow.
        in_step_at_ms: When they were last known to hold all that the changelog says (Unix time).

    """

    version: int
    topic_id: str
    in_step_at_ms: int

    @classmethod
    def now(cls, topic_id: str) -> Mark:
        """Return the mark of files that are in step at this moment."""
        return cls(VERSION, topic_id, int(time.time() * 1000))


class LogRange(msgspec.Struct, frozen=True):
    """What Kafka says of the changelog's partition.

    Attributes:
        topic_id: Kafka's id of the topic; empty when unknown.
        begin: Its first offset.
        end: Offset behind its last committed record.

    """

    topic_id: str
    begin: int
    end: int


def why_stale(
    mark: Mark | None, offset: int, log: LogRange, now_ms: int, max_age_s: float
) -> str | None:
    """Return why files cannot be brought up to date from their offset on; None if they can.

    Args:
        mark: What they say of themselves.
        offset: Last offset of the changelog that was applied to them; -1 for none.
        log: The changelog.
        now_ms: Unix time.
        max_age_s: Kafka forgets tombstones some time after they were written
            (``delete.retention.ms``, 24 hours): files that were not in step for nearly as long may
            still hold what has been deleted since.

    """
    if mark is None:
        return "they were never complete"
    age_ms = now_ms - mark.in_step_at_ms
    reasons = {
        f"their format is version {mark.version}, not {VERSION}": mark.version != VERSION,
        "their changelog was deleted and made anew": _differ(mark.topic_id, log.topic_id),
        f"they end at offset {offset}, and the changelog goes from {log.begin} to {log.end}": (
            not log.begin - 1 <= offset < max(log.end, log.begin)
        ),
        f"they were last in step {age_ms / 3_600_000:.1f} hours ago": age_ms > max_age_s * 1000,
        "they were written in the future": age_ms < -_CLOCK_SLACK_MS,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _differ(known: str, found: str) -> bool:
    """Return whether two ids of topics are known, and not the same."""
    return bool(known and found) and known != found
