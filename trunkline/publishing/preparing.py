"""Make what came in ready for Kafka: as plain JSON, or as CloudEvents."""

from __future__ import annotations

from trunkline.cloudevents.kafka import Mode
from trunkline.cloudevents.making import describe
from trunkline.publishing.bodies import RawEvent
from trunkline.publishing.cloud_bodies import CloudRaw, inside
from trunkline.publishing.errors import RejectedEventError
from trunkline.publishing.events import EventReader, PreparedEvent

#: What ``TRUNKLINE_CLOUDEVENTS`` and ``?cloudevents=`` may be → how plain events are published.
CLOUD_MODES: dict[str, Mode | None] = {"off": None, "binary": "binary", "structured": "structured"}


class Preparer:
    """Makes the events of one topic ready.

    A CloudEvent stays one: in binary mode on Kafka, so that every reader finds plain JSON in the
    value, unless structured mode was asked for.

    Args:
        reader: Checks them.
        source: Name of who publishes them.
        topic: Plain name of the topic: the type of CloudEvents that are made here.
        mode: As what plain events are published; None: as they are.

    """

    def __init__(self, reader: EventReader, source: str, topic: str, mode: Mode | None) -> None:
        self.reader = reader
        self._source = source
        self._topic = topic
        self._mode = mode

    def __call__(self, posted: RawEvent | CloudRaw) -> PreparedEvent:
        """Return an event ready for publishing.

        Raises:
            RejectedEventError: It does not fit the model, or is too large.

        """
        if isinstance(posted, CloudRaw):
            try:
                return self.reader.read_as(posted.data, posted.event, self._mode or "binary")
            except RejectedEventError as error:
                raise inside(posted.where, error) from None
        if self._mode is None:
            return self.reader.read(posted)
        return self.reader.read_as(posted, describe(self._source, self._topic), self._mode)
