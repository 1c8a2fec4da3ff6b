"""Make CloudEvents of plain events."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from trunkline.cloudevents.event import JSON, CloudEvent


def describe(source: str, topic: str) -> CloudEvent:
    """Return the attributes of a new event: an id of its own, and now as its time.

    Args:
        source: Name of who publishes it; becomes ``/name``.
        topic: Plain name of its topic: the type of its events.

    """
    return CloudEvent(
        id=str(uuid.uuid4()),
        source=f"/{source}",
        type=topic,
        time=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
        datacontenttype=JSON,
    )
