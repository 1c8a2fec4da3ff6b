"""What happens to ``user.activity``: several services publish it, one group counts it (fan-in)."""

from __future__ import annotations

from models import ActivityRecorded
from tables.activity import ActivityCounts
from trunkline.delivery.handler import Context, Handler


def count_activity(counts: ActivityCounts) -> Handler:
    """Make the activity-processor's handler: windowed counts by event and source.

    Returns:
        A batch handler; a redelivered event is counted once.

    """

    async def count_activity(events: list[ActivityRecorded], contexts: list[Context]) -> None:
        counts.count(events, contexts)

    return count_activity
