"""Read ``TRUNKLINE_RETRY``: fields of retry policies, by topic, as JSON."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable
from typing import Any

from trunkline.errors import ConfigurationError
from trunkline.retries.backoff import parse_backoff
from trunkline.retries.error_classes import ErrorClasses, import_error_class

_VARIABLE = "TRUNKLINE_RETRY"


def read_fields(topic: str, overrides: Any) -> tuple[dict[str, Any], list[str]]:
    """Return a topic's fields as a policy takes them, and a line for each that is wrong."""
    if not isinstance(overrides, dict):
        return {}, [f'{_place(topic, overrides)}: write an object, such as {{"max_retries": 5}}']
    fields: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in overrides.items():
        try:
            fields[name] = _reader(name)(value)
        except ConfigurationError as error:
            problems.append(f"{_place(f'{topic}.{name}', value)}: {error}")
    return fields, problems


def unknown_topic(topic: str, known: Iterable[str]) -> str:
    """Return the line for a topic that does not exist."""
    return f"{_VARIABLE}, {topic}: unknown topic. {_hint(topic, known)}"


def _place(path: str, value: Any) -> str:
    return f"{_VARIABLE}, {path}={json.dumps(value, ensure_ascii=False)}"


def _reader(name: str) -> Callable[[Any], Any]:
    if name not in _READERS:
        raise ConfigurationError(f"unknown field. {_hint(name, _READERS)}")
    return _READERS[name]


def _hint(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."


def _max_retries(value: Any) -> int | None:
    if value is None or (_is_number(value) and isinstance(value, int) and value >= 0):
        return value
    raise ConfigurationError("write a whole number, 0 or more, or null for no limit")


def _deadline_s(value: Any) -> float | None:
    if value is None or (_is_number(value) and value >= 0):
        return value or None
    raise ConfigurationError("write seconds, above 0, or null for no limit")


def _is_number(value: Any) -> bool:
    # True and False are ints in Python.
    return isinstance(value, int | float) and not isinstance(value, bool)


def _backoff(value: Any) -> Any:
    return parse_backoff(value if isinstance(value, str) else "")


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ConfigurationError("write true or false")


def _when_dead(value: Any) -> str:
    if value in ("continue", "follow"):
        return str(value)
    raise ConfigurationError(
        "write 'continue' (the key's later events are handled) or 'follow' (they become dead "
        "letters too)"
    )


def _classes(value: Any) -> ErrorClasses:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ConfigurationError(
            'write a list of exception classes, such as ["myapp.errors.CardRefused"]'
        )
    return tuple(dict.fromkeys(_class(name) for name in value))


def _class(name: str) -> type[BaseException]:
    try:
        return import_error_class(name)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name!r} {error}") from error.__cause__


_READERS: dict[str, Callable[[Any], Any]] = {
    "max_retries": _max_retries,
    "backoff": _backoff,
    "deadline_s": _deadline_s,
    "permanent": _classes,
    "transient": _classes,
    "ordered": _flag,
    "when_dead": _when_dead,
    "retryable": _flag,
}
