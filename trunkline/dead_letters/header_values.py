"""Headers of records that anybody may have written: what they say, and never an exception."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from trunkline.delivery.handler import Headers

_MAX_DIGITS = 19  # of a 64-bit number
_INT32, _INT64 = struct.Struct(">i"), struct.Struct(">q")


class HeaderValues:
    """Headers by name; each getter returns None for what is absent, or is not what it should be.

    A name that comes more than once counts with its last value, as Java's ``lastHeader`` has it,
    unless the first one is asked for.
    """

    def __init__(self, headers: Iterable[tuple[str, bytes | None]]) -> None:
        self._all: dict[str, list[bytes]] = {}
        for name, value in headers:
            if value is not None:
                self._all.setdefault(name, []).append(value)

    def raw(self, name: str, *, first: bool = False) -> bytes | None:
        """Return the value's bytes."""
        values = self._all.get(name)
        return values[0 if first else -1] if values else None

    def text(self, name: str, *, first: bool = False) -> str | None:
        """Return the value as text; what is not UTF-8 is replaced by question marks."""
        value = self.raw(name, first=first)
        return None if value is None else value.decode(errors="replace")

    def number(self, name: str) -> int | None:
        """Return a number that is written in decimal digits; negative ones mean nothing here."""
        value = self.raw(name)
        if value is None or not value.isdigit() or len(value) > _MAX_DIGITS:
            return None
        return int(value)

    def int32(self, name: str, *, first: bool = False) -> int | None:
        """Return a big-endian 32-bit number, as Java's ``ByteBuffer.putInt`` writes it."""
        return _unpack(_INT32, self.raw(name, first=first))

    def int64(self, name: str, *, first: bool = False) -> int | None:
        """Return a big-endian 64-bit number."""
        return _unpack(_INT64, self.raw(name, first=first))


def without_prefix(headers: Headers, *prefixes: str) -> tuple[tuple[str, bytes | None], ...]:
    """Return the headers whose names start with none of these."""
    return tuple(header for header in headers if not header[0].startswith(prefixes))


def _unpack(form: struct.Struct, value: bytes | None) -> int | None:
    if value is None or len(value) != form.size:
        return None
    number: int = form.unpack(value)[0]
    return number if number >= 0 else None
