"""Dead letters: events that have no attempts left go to ``dlq.<topic>``.

Key, value, headers and timestamp are those that were published; the error stands in more headers.
An event leaves the retries table in the same transaction in which its dead letter is written.
"""

from __future__ import annotations

from collections.abc import Callable

from trunkline.retries.failures import DeadBatch
from trunkline.retries.records import dead_letter


def forward_dead_letters(group: str, topic_of: Callable[[str], str]) -> Callable[[DeadBatch], None]:
    """Return what the dead letters agent does with each batch that it is given.

    Args:
        group: The group that could not handle the events.
        topic_of: Returns the dead letters topic of a source topic, both by their real names.

    """

    def forward(batch: DeadBatch) -> None:
        batch.bury([dead_letter(entry, group, topic_of(entry.id.topic)) for entry in batch.entries])

    return forward
