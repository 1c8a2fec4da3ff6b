"""The attributes of a CloudEvent, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from trunkline.errors import InvalidEventError

VERSION = "1.0"
REQUIRED = ("specversion", "id", "source", "type")
OPTIONAL = ("time", "subject", "datacontenttype", "dataschema")
JSON = "application/json"

_KNOWN = frozenset((*REQUIRED, *OPTIONAL))
_NAME = re.compile(r"[a-z0-9]+")
#: RFC 3339: a date, a time and an offset.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?P<fraction>\.\d+)?([Zz]|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """What a CloudEvent says about its data.

    Attributes:
        id: Unique among the events of its source.
        source: Who published it, a URI reference.
        type: What happened.
        time: When it happened (RFC 3339), as its publisher wrote it.
        subject: What it is about, within the source.
        datacontenttype: Media type of the data.
        dataschema: URI of the data's schema.
        extensions: All other attributes, as text.

    """

    id: str
    source: str
    type: str
    time: str | None = None
    subject: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    extensions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, attributes: Mapping[str, str]) -> CloudEvent:
        """Check attributes, and return the event that they describe.

        Args:
            attributes: By name, ``specversion`` included.

        Raises:
            InvalidEventError: One is missing or wrong; the field is the attribute's name.

        """
        for name in REQUIRED:
            if not attributes.get(name):
                raise InvalidEventError(f"CloudEvents need the attribute '{name}'", name)
        if attributes["specversion"] != VERSION:
            found = attributes["specversion"][:20]
            raise InvalidEventError(f"is {found!r}; CloudEvents {VERSION} are taken", "specversion")
        for name, value in attributes.items():
            _check(name, value)
        known = {
            name: attributes[name] for name in (*REQUIRED[1:], *OPTIONAL) if name in attributes
        }
        rest = {n: v for n, v in attributes.items() if n not in known and n != "specversion"}
        return cls(**known, extensions=rest)

    def attributes(self) -> dict[str, str]:
        """Return all attributes by name, ``specversion`` first."""
        names = (*REQUIRED[1:], *OPTIONAL)
        own = {name: value for name in names if (value := getattr(self, name)) is not None}
        return {"specversion": VERSION, **own, **self.extensions}


def is_json(media_type: str) -> bool:
    """Tell whether a media type is JSON, whatever its parameters."""
    kind = media_type.partition(";")[0].strip().lower()
    return kind in {JSON, "text/json"} or kind.endswith("+json")


def _check(name: str, value: str) -> None:
    if name not in _KNOWN and not _NAME.fullmatch(name):
        raise InvalidEventError(
            "no name of a CloudEvents attribute: those have lower-case letters and digits",
            repr(name[:40]),
        )
    if not value:
        raise InvalidEventError("is empty: leave it out", name)
    if name == "time" and not _is_time(value):
        raise InvalidEventError(f"{value[:40]!r} is no RFC 3339 time (2026-03-01T14:30:00Z)", name)
    if name == "datacontenttype" and not is_json(value):
        raise InvalidEventError(f"is {value[:60]!r}; events are JSON ({JSON})", name)


def _is_time(text: str) -> bool:
    match = _TIME.fullmatch(text)
    if match is None:
        return False
    try:  # any number of digits may follow the seconds; Python knows six
        datetime.fromisoformat(text.replace(match["fraction"] or "", "").upper())
    except ValueError:
        return False
    return True
