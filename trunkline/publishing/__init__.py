"""What comes in for publishing: bodies, lines and samples, checked against the topic's model."""

from __future__ import annotations

from trunkline.publishing.bodies import BodyFormat, RawEvent, body_format, parse_body
from trunkline.publishing.errors import RejectedEventError, UnavailableError
from trunkline.publishing.events import EventReader, PreparedEvent
from trunkline.publishing.service import PublisherService

__all__ = [
    "BodyFormat",
    "EventReader",
    "PreparedEvent",
    "PublisherService",
    "RawEvent",
    "RejectedEventError",
    "UnavailableError",
    "body_format",
    "parse_body",
]
