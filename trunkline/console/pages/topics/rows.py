"""Records as rows and in full: harmless, masked, cut."""

from __future__ import annotations

from typing import Any

import msgspec

from trunkline.cli.escaping import short
from trunkline.console.context import ConsoleContext
from trunkline.console.pages.records import record_view
from trunkline.console.pages.topics.headers import header_rows
from trunkline.console.pages.topics.shapes import RecordRow, WholeRecord

_KEY_WIDTH = 80
_VALUE_WIDTH = 240
_READ_BYTES = 16 * 1024
_TIMESTAMP_TYPES = {0: "set by whoever published it", 1: "set by the broker when it was appended"}


def record_row(context: ConsoleContext, record: Any) -> RecordRow:
    """Return a record as a row."""
    kind, value = "null", None
    if record.value is not None:
        shown = context.masking.payload(record.value) or b""
        kind, value = _preview(shown)
    return RecordRow(
        record.partition,
        record.offset,
        record.timestamp,
        None if record.key is None else _preview(record.key, _KEY_WIDTH)[1],
        value,
        kind,
        0 if record.value is None else len(record.value),
        len(record.headers),
    )


def whole_record(context: ConsoleContext, record: Any) -> WholeRecord:
    """Return all of a record."""
    return WholeRecord(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        _TIMESTAMP_TYPES.get(record.timestamp_type, "none"),
        record_view(context, record.key, record.value, record.headers),
        header_rows(context.masking.headers(record.headers)),
    )


def _preview(raw: bytes, width: int = _VALUE_WIDTH) -> tuple[str, str]:
    """Return what kind of bytes it is, and their beginning on one line."""
    cut = raw[: 8 * width]
    try:
        text = cut.decode(errors="strict" if len(cut) == len(raw) else "ignore")
        raw.decode()
    except UnicodeDecodeError:
        dots = "…" if len(raw) > width // 4 else ""
        return "binary", f"0x{raw[: width // 4].hex()}{dots}"
    return "json" if _is_json(raw) else "text", short(text, width)


def _is_json(raw: bytes) -> bool:
    """Return whether it looks like a JSON object or array; a large one is not read for it."""
    if raw.lstrip()[:1] not in {b"{", b"["}:
        return False
    if len(raw) > _READ_BYTES:
        return True
    try:
        msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
