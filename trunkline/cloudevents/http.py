"""The HTTP protocol binding: what a request's headers and body say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal
from urllib.parse import unquote

import msgspec

from trunkline.cloudevents.event import REQUIRED, CloudEvent
from trunkline.cloudevents.json_format import ANY, BATCH, STRUCTURED
from trunkline.errors import InvalidEventError

HttpMode = Literal["binary", "structured", "batch"]
HttpHeaders = Iterable[tuple[str, str]]

PREFIX = "ce-"
_MARKS = frozenset(PREFIX + name for name in REQUIRED)
_FORMS: dict[str, HttpMode] = {STRUCTURED: "structured", BATCH: "batch"}


class UnknownFormatError(InvalidEventError):
    """It is in a format of CloudEvents that is not JSON."""


def mode_of(headers: HttpHeaders, content_type: str) -> HttpMode | None:
    """Return in which mode a request carries CloudEvents, None when it carries none.

    Raises:
        UnknownFormatError: It does, in a format that is not taken.

    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith(ANY):
        if kind not in _FORMS:
            raise UnknownFormatError(
                f"is {kind[:60]!r}; CloudEvents are taken as {STRUCTURED}, {BATCH}, or in binary "
                "mode",
                "Content-Type",
            )
        return _FORMS[kind]
    return "binary" if any(name.lower() in _MARKS for name, _ in headers) else None


def read_headers(headers: HttpHeaders, content_type: str) -> CloudEvent:
    """Return the attributes of a request in binary mode.

    Raises:
        InvalidEventError: One is missing, wrong, or there twice.

    """
    attributes: dict[str, str] = {}
    for header, value in headers:
        lower = str(header).lower()  # a server's own kind of text may be no plain str
        if not lower.startswith(PREFIX):
            continue
        name = lower.removeprefix(PREFIX)
        if name in attributes:
            raise InvalidEventError("is there twice", lower)
        attributes[name] = _decoded(lower, value)
    if content_type:
        attributes["datacontenttype"] = content_type
    return CloudEvent.of(attributes)


def split_batch(body: bytes) -> list[bytes]:
    """Return the CloudEvents of a batch, each as JSON.

    Raises:
        InvalidEventError: It is no JSON array.

    """
    try:
        return [bytes(raw) for raw in _batch.decode(body)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEventError(f"the body is no batch of CloudEvents: {error}") from None


_batch = msgspec.json.Decoder(list[msgspec.Raw])


def _decoded(header: str, value: str) -> str:
    """Take off quotes and percent-encoding, which the binding asks for."""
    quoted = value.strip()
    if len(quoted) > 1 and quoted[0] == quoted[-1] == '"':
        quoted = quoted[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    try:
        text = unquote(quoted, errors="strict")
        text.encode()
    except UnicodeError:
        raise InvalidEventError("is no UTF-8 when percent-decoded", header) from None
    return text
