"""Which records are meant: by key, and by what stands in them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Matching:
    """What a record must be to be meant; an empty one means all.

    Attributes:
        keys: Its key is one of these, byte for byte.
        pattern: It is found in the key, the value, or a header (``name: value``), as text.

    """

    keys: frozenset[bytes] = frozenset()
    pattern: re.Pattern[str] | None = None

    def takes(self, record: Any) -> bool:
        """Tell whether a record is meant."""
        if self.keys and record.key not in self.keys:
            return False
        return self.pattern is None or any(map(self.pattern.search, _texts(record)))


def parse_keys(words: Iterable[str]) -> frozenset[bytes]:
    """Return keys that were given as text, or as ``0x…`` in hexadecimal digits (or both)."""
    keys = set()
    for word in words:
        keys.add(word.encode(errors="surrogateescape"))
        if word.startswith("0x"):
            with contextlib.suppress(ValueError):  # a key may only begin like that
                keys.add(bytes.fromhex(word[2:]))
    return frozenset(keys)


def _texts(record: Any) -> Iterator[str]:
    for part in (record.key, record.value):
        if part is not None:
            yield part.decode(errors="replace")
    for name, value in record.headers:
        yield f"{name}: {(value or b'').decode(errors='replace')}"
