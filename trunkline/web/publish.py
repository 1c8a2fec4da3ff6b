"""``POST /events/{topic}``: publish events over HTTP, 202 only when Kafka has acknowledged them.

202 ``{"accepted": N, "records": [{"partition", "offset"}, …]}`` (``records`` up to 100 events)
400 an event is wrong, 404 no such topic, 413 too large, 415 no JSON: nothing was published
    An event is plain JSON, or a CloudEvent (binary, structured, batch); ``?cloudevents=`` makes
    CloudEvents of plain ones.
503 Kafka is away, or did not acknowledge in time: send it again. With ``"outcome": "unknown"``
    it may be there all the same, a list as a whole; else nothing of it is visible

Every error is ``{"error": {"message", …}}``; for a wrong event with ``field``, and ``index`` or
``line``.
"""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from trunkline.cloudevents import http as cloudevents
from trunkline.delivery.producer import RecordTooLargeError
from trunkline.delivery.transactions import OutcomeUnknownError
from trunkline.errors import ConfigurationError, PublishError
from trunkline.publishing import (
    PreparedEvent,
    PublisherService,
    RawEvent,
    RejectedEventError,
    UnavailableError,
    body_format,
    parse_body,
)
from trunkline.publishing.cloud_bodies import CloudRaw, parse_cloud_body
from trunkline.publishing.preparing import CLOUD_MODES, Preparer
from trunkline.publishing.service import Hold

_PLACES_SHOWN = 100
_BODY_TIMEOUT_S = 30
#: Events that are checked before other requests get their turn.
_SLICE = 500
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")


class _RefusedError(Exception):
    """A request that ends with an error status."""

    def __init__(self, status: int, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.details = details


def publish_routes(publisher: PublisherService) -> list[web.RouteDef]:
    """Return the routes through which a service takes events."""

    async def post(request: web.Request) -> web.Response:
        topic = request.match_info.get("topic") or _only_topic(publisher)
        try:
            return await _publish(publisher, topic, request)
        except _RefusedError as refusal:
            return _refuse(publisher, topic, refusal)

    async def other(request: web.Request) -> web.Response:
        message = f"{request.method} is not possible here: POST events as JSON."
        return _error(405, message, headers={"Allow": "POST"})

    return [
        route
        for path in ("/events", "/events/{topic}")
        for route in (web.post(path, post), web.route("*", path, other))
    ]


async def _publish(publisher: PublisherService, topic: str, request: web.Request) -> web.Response:
    _check_topic(publisher, topic)
    _check_origin(request)
    with publisher.holding() as hold:
        try:
            events = await _read_events(publisher, topic, request, hold)
            places = await publisher.publish(topic, events, _traceparent(request))
        except RejectedEventError as error:
            details: dict[str, Any] = {"field": error.field, "reason": error.reason}
            details |= {} if error.index is None else {"index": error.index}
            details |= {} if error.line is None else {"line": error.line}
            status = 413 if error.too_large else 400
            raise _RefusedError(status, f"{error}. Nothing was published.", **details) from None
        except UnavailableError as error:
            raise _RefusedError(503, str(error), retry_after_s=error.retry_after_s) from None
        except PublishError as error:
            raise _not_acknowledged(error, len(events)) from None
    shown = places if len(places) <= _PLACES_SHOWN else []
    records = [{"partition": place.partition, "offset": place.offset} for place in shown]
    return _json(202, {"accepted": len(places)} | ({"records": records} if records else {}))


def _only_topic(publisher: PublisherService) -> str:
    """Return the topic of ``POST /events``: the service's own, when it has exactly one."""
    return next(iter(publisher.readers)) if len(publisher.readers) == 1 else ""


def _check_topic(publisher: PublisherService, topic: str) -> None:
    if topic in publisher.readers:
        return
    known = ", ".join(f"/events/{name}" for name in publisher.readers)
    if not topic:
        raise _RefusedError(404, f"Say which topic: {publisher.service} takes {known}.")
    close = difflib.get_close_matches(topic, publisher.readers, n=1)
    hint = f"Did you mean /events/{close[0]}?" if close else f"It takes {known}."
    hint = _who_takes(publisher, topic) or hint
    raise _RefusedError(404, f"{publisher.service} takes no events for {topic[:100]!r}. {hint}")


def _who_takes(publisher: PublisherService, topic: str) -> str:
    try:
        publisher.topology.topic(topic)
    except ConfigurationError:
        return ""
    takers = [s.name for s in publisher.topology.services if topic in s.publishes]
    return f"Post them to {' or '.join(takers)}." if takers else ""


def _check_origin(request: web.Request) -> None:
    """Refuse posts that a foreign web page makes a browser send."""
    origin = request.headers.get("Origin")
    if request.headers.get("Sec-Fetch-Site") == "cross-site" or (
        origin is not None and urlsplit(origin).netloc != request.host
    ):
        raise _RefusedError(403, "Posts from other web sites are refused.")


async def _read_events(
    publisher: PublisherService, topic: str, request: web.Request, hold: Hold
) -> list[PreparedEvent]:
    prepare = _preparer(publisher, topic, request)
    content_type = request.headers.get("Content-Type", "")
    try:
        mode = cloudevents.mode_of(request.headers.items(), content_type)
    except cloudevents.UnknownFormatError as error:
        raise _RefusedError(415, f"{error}. Nothing was published.") from None
    form = body_format(content_type)
    if form is None and mode != "binary":
        raise _RefusedError(
            415,
            f"Content-Type {content_type!r} is not taken. Send UTF-8 as application/json (an "
            "object or an array) or application/x-ndjson (an object on each line).",
        )
    body = await _read_body(publisher, request, hold)
    headers = request.headers.items()
    posted: Iterable[RawEvent | CloudRaw]
    if mode is None:
        posted = parse_body(body, form or "json")
    else:
        posted = parse_cloud_body(body, mode, headers, content_type)
    events: list[PreparedEvent] = []
    for one in posted:
        events.append(prepare(one))
        if len(events) % _SLICE == 0:
            await asyncio.sleep(0)
    return events


def _preparer(publisher: PublisherService, topic: str, request: web.Request) -> Preparer:
    asked = request.query.get("cloudevents", publisher.settings.cloudevents)
    if asked not in CLOUD_MODES:
        known = ", ".join(CLOUD_MODES)
        raise _RefusedError(400, f"?cloudevents={asked[:40]!r} is none of {known}.")
    return Preparer(publisher.readers[topic], publisher.service, topic, CLOUD_MODES[asked])


async def _read_body(publisher: PublisherService, request: web.Request, hold: Hold) -> bytes:
    """Read the body, never more than is allowed: also when its length is not given or wrong."""
    limit = publisher.settings.max_body_bytes
    too_large = _RefusedError(
        413,
        f"The body is larger than {limit} bytes (TRUNKLINE_MAX_BODY_BYTES). Send fewer events at "
        "once. Nothing was published.",
    )
    if (request.content_length or 0) > limit:
        raise too_large
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            async for part in request.content.iter_any():
                hold.add(len(part))
                if hold.size_bytes > limit:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        message = f"The body did not arrive within {_BODY_TIMEOUT_S} s. Nothing was published."
        raise _RefusedError(408, message) from None
    except (HttpProcessingError, web.RequestPayloadError) as error:
        message = f"The body cannot be read: {error}. Nothing was published."
        raise _RefusedError(400, message) from None
    return b"".join(parts)


def _traceparent(request: web.Request) -> str | None:
    """Return the trace context to pass on: only when there is exactly one, and well-formed."""
    given = request.headers.getall("traceparent", [])
    return given[0] if len(given) == 1 and _TRACEPARENT.match(given[0]) else None


def _not_acknowledged(error: PublishError, count: int) -> _RefusedError:
    sizes = (MessageSizeTooLargeError, RecordListTooLargeError)
    if isinstance(error, RecordTooLargeError) or isinstance(error.__cause__, sizes):
        return _RefusedError(413, f"{error} (the topic's max.message.bytes)")
    # One event may stand in its topic when only the acknowledgement was lost; so may a list whose
    # commit was never answered, as a whole. Any other list is not visible.
    is_unknown = count == 1 or isinstance(error, OutcomeUnknownError)
    outcome = "unknown" if is_unknown else "not published"
    return _RefusedError(503, str(error), retry_after_s=2, outcome=outcome)


def _refuse(publisher: PublisherService, topic: str, refusal: _RefusedError) -> web.Response:
    if refusal.status < 500:
        known = topic if topic in publisher.readers else "?"
        publisher.refused[known] += 1
    details = dict(refusal.details)
    wait_s = details.pop("retry_after_s", None)
    headers = {} if wait_s is None else {"Retry-After": str(wait_s)}
    return _error(refusal.status, str(refusal), headers=headers, **details)


def _error(
    status: int, message: str, headers: dict[str, str] | None = None, **details: Any
) -> web.Response:
    return _json(status, {"error": {"message": message, **details}}, headers)


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
