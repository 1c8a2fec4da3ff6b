"""Check events against their topic's model, and make records of them."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from trunkline.cloudevents.event import CloudEvent
from trunkline.cloudevents.kafka import Headers, Mode, write
from trunkline.errors import ConfigurationError, InvalidEventError
from trunkline.publishing.bodies import RawEvent
from trunkline.publishing.errors import RejectedEventError
from trunkline.topology import Topic

_AT = re.compile(r" - at `(.+)`$")
_MISSING = re.compile(r"^Object missing required field `(.+)`$")


class PreparedEvent(NamedTuple):
    """An event that may be published: key, value and headers as they go to Kafka."""

    key: bytes
    value: bytes
    headers: Headers = ()


class _HasSource(msgspec.Struct):
    source: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class EventReader:
    """Reads events of one topic.

    What is published is the publisher's own JSON, fields that the model does not know included:
    only line breaks are taken out, so that a record is one line for line-minded tools, and
    ``source`` is added where the model has it and the event does not say.

    Args:
        topic: Where the events go.
        source: Name of the publishing service; None adds none.
        max_bytes: Largest event, key and value together.

    Raises:
        ConfigurationError: The topic has no model.

    """

    def __init__(self, topic: Topic, source: str | None, max_bytes: int) -> None:
        if topic.model is None:
            raise ConfigurationError(f"Topic {topic.name} has no model: it takes no events.")
        self.topic = topic
        self._decoder = msgspec.json.Decoder(topic.model)
        self._max_bytes = max_bytes
        has_source = "source" in topic.model.__struct_fields__
        self._source = msgspec.json.encode(source) if source and has_source else None
        self._sources = msgspec.json.Decoder(_HasSource)

    def read(self, raw: RawEvent) -> PreparedEvent:
        """Return an event ready for publishing.

        Raises:
            RejectedEventError: It does not fit the model, or is too large.

        """
        try:
            raw.json.decode()  # msgspec does not look into fields that the model does not know
            event = self._decoder.decode(raw.json)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            found = explain_decode_error(error)
            raise RejectedEventError(
                found.reason, found.field, index=raw.position, line=raw.line
            ) from None
        value = self._with_source(_on_one_line(raw.json))
        return self._small(PreparedEvent(event.key, value), raw)

    def read_as(self, raw: RawEvent, event: CloudEvent, mode: Mode) -> PreparedEvent:
        """Return an event ready for publishing as a CloudEvent.

        Args:
            raw: Its data.
            event: Its attributes.
            mode: How it is to stand on Kafka.

        Raises:
            RejectedEventError: The data does not fit the model, or it is too large.

        """
        plain = self.read(raw)
        value, headers = write(event, plain.value, mode)
        return self._small(PreparedEvent(plain.key, value, headers), raw)

    def _small(self, event: PreparedEvent, raw: RawEvent) -> PreparedEvent:
        size = len(event.key) + len(event.value)
        size += sum(len(name) + len(value or b"") for name, value in event.headers)
        if size > self._max_bytes:
            raise RejectedEventError(
                f"the event takes {size} bytes, and {self._max_bytes} are allowed "
                "(TRUNKLINE_MAX_EVENT_BYTES)",
                index=raw.position,
                line=raw.line,
                too_large=True,
            )
        return event

    def _with_source(self, value: bytes) -> bytes:
        if self._source is None or self._sources.decode(value).source is not msgspec.UNSET:
            return value
        return value[:-1].rstrip() + b',"source":' + self._source + b"}"


def explain_decode_error(error: Exception) -> InvalidEventError:
    """Return what msgspec says, taken apart into the field and what is wrong with it."""
    if isinstance(error, UnicodeDecodeError):
        return InvalidEventError(f"no UTF-8: {error.reason} (byte {error.start})")
    if isinstance(error, RecursionError):
        return InvalidEventError("nested too deeply")
    text = str(error)
    field = "$"
    if at := _AT.search(text):
        field, text = at[1], text[: at.start()]
    if missing := _MISSING.match(text):
        return InvalidEventError("is missing", f"{field}.{missing[1]}")
    return InvalidEventError(text[:1].lower() + text[1:] if text[:4] != "JSON" else text, field)


def _on_one_line(value: bytes) -> bytes:
    if b"\n" in value or b"\r" in value:
        return msgspec.json.format(value, indent=-1)
    return value
