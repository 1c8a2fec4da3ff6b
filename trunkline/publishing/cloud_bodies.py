"""Take a request apart that carries CloudEvents: attributes and data of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from trunkline.cloudevents.event import CloudEvent
from trunkline.cloudevents.http import HttpMode, read_headers, split_batch
from trunkline.cloudevents.json_format import read_structured
from trunkline.errors import InvalidEventError
from trunkline.publishing.bodies import RawEvent
from trunkline.publishing.errors import RejectedEventError

_BOM = b"\xef\xbb\xbf"


class CloudRaw(NamedTuple):
    """A CloudEvent as it came in.

    Attributes:
        event: Its attributes.
        data: Its data, which is not looked at yet.
        where: JSON path of the data in the body.

    """

    event: CloudEvent
    data: RawEvent
    where: str = "$"


def parse_cloud_body(
    body: bytes, mode: HttpMode, headers: Iterable[tuple[str, str]], content_type: str
) -> Iterable[CloudRaw]:
    """Return the CloudEvents of a request; those of a batch are read as they are asked for.

    Raises:
        RejectedEventError: The body is empty or no JSON, or an attribute is missing or wrong.

    """
    body = body.removeprefix(_BOM).strip()
    if not body:
        raise RejectedEventError("the body is empty; send the event's data, or a CloudEvent")
    try:
        if mode == "binary":
            return [CloudRaw(read_headers(headers, content_type), RawEvent(body))]
        texts = [body] if mode == "structured" else split_batch(body)
    except InvalidEventError as error:
        raise RejectedEventError(error.reason, error.field) from None
    if not texts:
        raise RejectedEventError("the batch is empty; send at least one CloudEvent")
    return (
        _read(text, None if mode == "structured" else position)
        for position, text in enumerate(texts)
    )


def _read(text: bytes, index: int | None) -> CloudRaw:
    try:
        event, data = read_structured(text)
    except InvalidEventError as error:
        field = error.field if error.field.startswith("$") else f"$.{error.field}"
        raise RejectedEventError(error.reason, field, index=index) from None
    return CloudRaw(event, RawEvent(data, index), "$.data")


def inside(where: str, error: RejectedEventError) -> RejectedEventError:
    """Return an error about data with the place that the data has in the body."""
    return RejectedEventError(
        error.reason,
        where + error.field.removeprefix("$"),
        index=error.index,
        line=error.line,
        too_large=error.too_large,
    )
