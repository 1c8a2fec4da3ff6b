"""Hide fields of payloads (``TRUNKLINE_MASK_FIELDS=email,password``) wherever they are shown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

MASK = "•••"


class Masking:
    """Replaces the values of fields by their names, at any depth, whatever their case.

    A payload that is no JSON cannot be read by fields: from the first place where a field's name
    stands in it, it is left out.

    Args:
        fields: Their names.

    """

    def __init__(self, fields: Iterable[str]) -> None:
        self._fields = frozenset(field.lower() for field in fields)

    @property
    def is_on(self) -> bool:
        """Whether anything is masked."""
        return bool(self._fields)

    def payload(self, raw: bytes | None) -> bytes | None:
        """Return a payload as it may be shown; the very same when nothing of it is masked."""
        if raw is None or not self._fields:
            return raw
        lowered = raw.lower()
        names = [name.encode() for name in self._fields]
        # Names may be written with escapes; only what has none can be left as it is unread.
        if b"\\" not in raw and not any(name in lowered for name in names):
            return raw
        try:
            decoded = json.loads(raw)
        except (ValueError, RecursionError):
            return self._cut(raw, lowered, names)
        masked, changed = self._masked(decoded)
        return _dump(masked) if changed else raw

    def headers(
        self, headers: Sequence[tuple[str, bytes | None]]
    ) -> list[tuple[str, bytes | None]]:
        """Return headers with the values of those with such a name replaced."""
        return [
            (name, MASK.encode() if name.lower() in self._fields else value)
            for name, value in headers
        ]

    def _masked(self, value: Any) -> tuple[Any, bool]:
        """Return a decoded value with masks, and whether there are any."""
        if isinstance(value, dict):
            return self._masked_fields(value)
        if isinstance(value, list):
            pairs = [self._masked(item) for item in value]
            return [item for item, _ in pairs], any(changed for _, changed in pairs)
        return value, False

    def _masked_fields(self, fields: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        result, changed = {}, False
        for name, value in fields.items():
            if name.lower() in self._fields:
                result[name], changed = MASK, True
            else:
                result[name], inner = self._masked(value)
                changed |= inner
        return result, changed

    @staticmethod
    def _cut(raw: bytes, lowered: bytes, names: Sequence[bytes]) -> bytes:
        places = [at + len(name) for name in names if (at := lowered.find(name)) >= 0]
        if not places:
            return raw
        return raw[: min(places)] + f"{MASK} (masked from here on: it is no JSON)".encode()


def _dump(value: Any) -> bytes:
    # Half a surrogate pair, which JSON can say with escapes, is no UTF-8: it stays an escape.
    return json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace")
