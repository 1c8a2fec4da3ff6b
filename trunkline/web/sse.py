"""Server-sent events as bytes (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import msgspec

#: A comment: keeps proxies from closing a quiet stream, and notices clients that are gone.
HEARTBEAT = b": \n\n"

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back until its buffer is full
}


def event_frame(kind: str, data: bytes, event_id: str = "") -> bytes:
    """Return one event.

    Args:
        kind: Its type, which a client listens to.
        data: JSON; it comes out on one line.
        event_id: What the client sends back as ``Last-Event-ID`` when it reconnects.

    """
    head = f"id: {event_id}\nevent: {kind}\n" if event_id else f"event: {kind}\n"
    return b"%sdata: %s\n\n" % (head.encode(), _one_line(data))


def marker_frame(event_id: str) -> bytes:
    """Return a frame that only moves the client's ``Last-Event-ID``; it sees no event."""
    return f"id: {event_id}\n\n".encode()


def retry_frame(delay_ms: int) -> bytes:
    """Return a frame that says how long the client waits before it reconnects."""
    return f"retry: {delay_ms}\n\n".encode()


def _one_line(json: bytes) -> bytes:
    r"""Take line breaks out of JSON; no other character ends a line in an event stream.

    Valid JSON has them only between tokens: within a string they are written ``\n`` and ``\r``.
    """
    if b"\n" in json or b"\r" in json:
        json = msgspec.json.format(json, indent=-1)
        json = json.replace(b"\r", b" ").replace(b"\n", b" ")  # if it was no valid JSON
    return _utf8(json)


def _utf8(raw: bytes) -> bytes:
    """Mend bytes that are no UTF-8: the decoder does not look into fields that it skips."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw.decode(errors="replace").encode()
    return raw
