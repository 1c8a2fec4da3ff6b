"""JSON values as YAML: every text is quoted, so that none is taken for something else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

#: Keys that mean themselves in YAML without quotes: no number, no boolean, no null.
_PLAIN_KEY = re.compile(
    r"(?!(?:true|false|null|yes|no|on|off|y|n)$)[A-Za-z_$][A-Za-z0-9_.$-]*", re.IGNORECASE
)


def as_yaml(value: Any) -> str:
    """Return YAML that reads back as the same JSON value.

    Args:
        value: Made of dicts with text keys, lists, texts, numbers, booleans and None.

    """
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            name = key if _PLAIN_KEY.fullmatch(key) else json.dumps(key)
            yield from _entry(f"{name}:", item)
    elif isinstance(value, list) and value:
        for item in value:
            yield from _entry("-", item)
    else:
        yield json.dumps(value)


def _entry(head: str, item: Any) -> Iterator[str]:
    if isinstance(item, dict | list) and item:
        yield head
        yield from (f"  {line}" for line in _lines(item))
    else:
        yield f"{head} {json.dumps(item)}"
