"""Dead letters as rows: texts and numbers made to fit, and fingerprints added up.

Anybody may have written a dead letter, and each is to be indexed. So nothing is refused here, as
``tables/identities.py`` refuses it: what no database can store is replaced, what is long is cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from trunkline.dead_letters.dialects import UNKNOWN_TIMESTAMP_MS
from trunkline.dead_letters.filters import failed_at_ms
from trunkline.dead_letters.fingerprint import Fingerprint
from trunkline.dead_letters.index import STATUSES, Letter

MAX_MESSAGE_CHARS = 1_000
MAX_NAME_CHARS = 500
_MAX_NUMBER = 2**63 - 1

Row = dict[str, Any]


def letter_values(item: Letter) -> Row:
    """Return a dead letter's row, without its status."""
    letter, fingerprint = item
    origin = letter.origin
    known = origin is not None and origin.timestamp_ms != UNKNOWN_TIMESTAMP_MS
    return {
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp_ms": letter.timestamp_ms,
        "fingerprint": fingerprint.digest,
        "origin": None if origin is None else fitting(str(origin)),
        "origin_timestamp_ms": _number(origin.timestamp_ms) if origin and known else None,
        "group": fitting(letter.group or ""),
        "exception": fitting(letter.exception),
        "place": fitting(fingerprint.place),
        "kind": fitting(letter.kind),
        "message": fitting(letter.message, MAX_MESSAGE_CHARS),
        "key": None if letter.key is None else fitting(letter.key.decode(errors="replace")),
        "attempts": None if letter.attempts is None else _number(letter.attempts),
        "redrives": _number(letter.redrives),
        "source": letter.source,
        "at_ms": _number(failed_at_ms(letter)),
        "first_failed_at_ms": _number(letter.first_failed_at_ms or 0) or None,
    }


def merged(
    known: Mapping[str, Row], new: Iterable[Row], fingerprints: Mapping[str, Fingerprint]
) -> list[Row]:
    """Add letters' rows to the rows of their fingerprints; the result is that of any order.

    Args:
        known: Rows that are there, by fingerprint.
        new: Rows of letters that were not counted yet, with their statuses.
        fingerprints: Of these letters, by digits.

    Returns:
        The rows that changed, in the order of their fingerprints.

    """
    changed: dict[str, Row] = {}
    for letter in new:
        digest = letter["fingerprint"]
        row = changed.get(digest)
        if row is None:
            row = changed[digest] = known.get(digest) or _empty(fingerprints[digest], letter)
        row["count"] += 1
        row[letter["status"]] += 1
        last = max(
            (row["last_seen_ms"], row["message"]), (letter["at_ms"], letter["message"])
        )  # by the message too: which of two of one moment counts must not depend on the order
        row["last_seen_ms"], row["message"] = last
        row["first_seen_ms"] = min(row["first_seen_ms"], letter["at_ms"])
    return [changed[digest] for digest in sorted(changed)]


def fitting(text: str, limit_chars: int = MAX_NAME_CHARS) -> str:
    """Return a text that every database can store, cut when it is long."""
    clean = text.replace("\0", "\ufffd").encode(errors="replace").decode()
    return clean if len(clean) <= limit_chars else clean[: limit_chars - 1] + "…"


def _empty(fingerprint: Fingerprint, first: Row) -> Row:
    return {
        "fingerprint": fingerprint.digest,
        **{name: fitting(value) for name, value in fingerprint._asdict().items()},
        "message": first["message"],
        "count": 0,
        **dict.fromkeys(STATUSES, 0),
        "first_seen_ms": first["at_ms"],
        "last_seen_ms": first["at_ms"],
    }


def _number(value: int) -> int:
    return min(value, _MAX_NUMBER)
