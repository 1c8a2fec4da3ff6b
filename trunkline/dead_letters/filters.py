"""Which dead letters are meant: by topic, group, exception, key, time, header, fingerprint, id."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from trunkline.dead_letters.fingerprint import Fingerprint, topic_of
from trunkline.dead_letters.reading import DeadLetter, parse_id
from trunkline.errors import ConfigurationError
from trunkline.topology import DEAD_LETTERS_PREFIX, Topology

_AGO = re.compile(r"(?P<count>\d{1,9}(?:\.\d+)?) ?(?P<unit>[smhdw])(?: ago)?")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DIGEST_PREFIX = re.compile(r"[0-9a-f]{4,12}")


@dataclass(frozen=True)
class LetterFilter:
    """What a dead letter must be to be meant; an empty filter means all.

    Of one field's values any may fit; of different fields all must.

    Attributes:
        topics: Plain names of events' topics.
        groups: Plain names of groups.
        exceptions: Patterns (``*``, ``?``) of class names, qualified or short.
        keys: Keys, byte for byte.
        since_ms: Failed then or later (Unix time).
        until_ms: Failed before then.
        headers: Names of the event's own headers, each with the value it must have, or None.
        fingerprints: Fingerprints, or at least four digits of their beginning.
        ids: Topic, partition and offset of dead letters.

    """

    topics: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    exceptions: tuple[str, ...] = ()
    keys: frozenset[bytes] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    fingerprints: tuple[str, ...] = ()
    ids: frozenset[tuple[str, int, int]] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether it means all dead letters."""
        return all(getattr(self, field.name) in (None, (), frozenset()) for field in fields(self))

    def to_dict(self) -> dict[str, Any]:
        """Return what was said of the dead letters, for the audit trail and for programs."""
        said: dict[str, Any] = {
            "topics": sorted(self.topics),
            "groups": sorted(self.groups),
            "exceptions": list(self.exceptions),
            "keys": sorted(key.decode(errors="replace") for key in self.keys),
            "since_ms": self.since_ms,
            "until_ms": self.until_ms,
            "headers": [
                name if value is None else f"{name}={value.decode(errors='replace')}"
                for name, value in self.headers
            ],
            "fingerprints": list(self.fingerprints),
            "ids": [f"{t}[{p}]@{o}" for t, p, o in sorted(self.ids)],
        }
        return {name: words for name, words in said.items() if words}

    def topics_to_read(self, topology: Topology) -> list[str]:
        """Return the real names of the dead letter topics in which what is meant can stand."""
        named = {topology.real_name(DEAD_LETTERS_PREFIX + topic) for topic in self.topics}
        listed = {topic for topic, _, _ in self.ids}
        return [
            topic.name
            for topic in topology.dead_letters_topics()
            if (not named or topic.name in named) and (not listed or topic.name in listed)
        ]

    def matches(self, letter: DeadLetter, fingerprint: Fingerprint, topology: Topology) -> bool:
        """Return whether a dead letter is meant."""
        checks: tuple[tuple[object, Callable[[], bool]], ...] = (
            (self.ids, lambda: (letter.topic, letter.partition, letter.offset) in self.ids),
            (self.topics, lambda: bool(self.topics & _topics(letter, topology))),
            (self.groups, lambda: fingerprint.group in self.groups),
            (self.exceptions, lambda: _fits(letter.exception, self.exceptions)),
            (self.keys, lambda: letter.key in self.keys),
            (self.headers, lambda: _has_any(letter, self.headers)),
            (self.fingerprints, lambda: _is_one_of(fingerprint, self.fingerprints)),
        )
        return self._in_time(letter) and all(check() for wanted, check in checks if wanted)

    def _in_time(self, letter: DeadLetter) -> bool:
        at_ms = failed_at_ms(letter)
        return (self.since_ms is None or at_ms >= self.since_ms) and (
            self.until_ms is None or at_ms < self.until_ms
        )


def failed_at_ms(letter: DeadLetter) -> int:
    """Return when the event first failed; else its timestamp, when that is not told."""
    return letter.first_failed_at_ms or letter.timestamp_ms


def parse_filter(
    topology: Topology,
    now_ms: int,
    *,
    topics: Iterable[str] = (),
    groups: Iterable[str] = (),
    exceptions: Iterable[str] = (),
    keys: Iterable[str] = (),
    since: str | None = None,
    until: str | None = None,
    headers: Iterable[str] = (),
    fingerprints: Iterable[str] = (),
    ids: Iterable[str] = (),
) -> LetterFilter:
    """Return the filter that a user's words mean.

    Args:
        topology: Names are its plain or real ones; a topic's dead letter topic stands for it.
        now_ms: What ``2h`` counts from.
        topics: Names of topics that have dead letters.
        groups: Names of groups, ours or not.
        exceptions: See :attr:`LetterFilter.exceptions`.
        keys: Keys as text.
        since: ISO 8601 (local time unless it says otherwise), or ``90s``, ``30m``, ``2h``, ``3d``.
        until: The same.
        headers: ``name`` or ``name=value``.
        fingerprints: As ``ls`` shows them.
        ids: As ``ls --letters`` shows them, with or without the namespace.

    Raises:
        ConfigurationError: A word means nothing; the message says which, and what would do.

    """
    return LetterFilter(
        topics=frozenset(_plain_topic(name, topology) for name in topics),
        groups=frozenset(topology.plain_name(name) for name in groups),
        exceptions=tuple(exceptions),
        keys=frozenset(key.encode(errors="surrogateescape") for key in keys),
        since_ms=None if since is None else parse_time(since, now_ms),
        until_ms=None if until is None else parse_time(until, now_ms),
        headers=tuple(_header(text) for text in headers),
        fingerprints=tuple(_digest(text) for text in fingerprints),
        ids=frozenset(_id(text, topology) for text in ids),
    )


def parse_time(text: str, now_ms: int) -> int:
    """Return a moment in Unix milliseconds.

    Raises:
        ConfigurationError: It is neither ISO 8601 nor a time ago.

    """
    ago = _AGO.fullmatch(text.strip())
    if ago:
        return now_ms - round(float(ago["count"]) * _UNIT_MS[ago["unit"]])
    try:
        moment = datetime.fromisoformat(text.strip())
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise ConfigurationError(
            f"{text!r} is no time: give ISO 8601, such as 2026-03-01T14:30 or 2026-03-01T14:30Z, "
            "or how long ago, such as 90s, 30m, 2h or 3d."
        ) from None


def _plain_topic(name: str, topology: Topology) -> str:
    plain = topology.plain_name(name).removeprefix(DEAD_LETTERS_PREFIX)
    topic = topology.dead_letters_topic(topology.topic(plain).name)
    if topic.name not in {known.name for known in topology.dead_letters_topics()}:
        raise ConfigurationError(f"Topic {plain} has no dead letters: no group reads it.")
    return plain


def _header(text: str) -> tuple[str, bytes | None]:
    name, equals, value = text.partition("=")
    if not name:
        raise ConfigurationError(f"{text!r} names no header: give NAME or NAME=VALUE.")
    return name, value.encode(errors="surrogateescape") if equals else None


def _digest(text: str) -> str:
    digest = text.strip().lower()
    if not _DIGEST_PREFIX.fullmatch(digest):
        raise ConfigurationError(
            f"{text!r} is no fingerprint: those have 12 hexadecimal digits, of which the first "
            "four or more will do; 'trunkline dlq ls' shows them."
        )
    return digest


def _id(text: str, topology: Topology) -> tuple[str, int, int]:
    known = {topic.name for topic in topology.dead_letters_topics()}
    found = parse_id(text)
    if found is not None:
        topic, partition, offset = found
        for name in (topic, topology.real_name(topic)):
            if name in known:
                return name, partition, offset
    raise ConfigurationError(
        f"{text!r} is no dead letter's id: those look like dlq.order.created[1]@17; "
        "'trunkline dlq ls --letters' shows them."
    )


def _topics(letter: DeadLetter, topology: Topology) -> set[str]:
    own = topology.plain_name(letter.topic).removeprefix(DEAD_LETTERS_PREFIX)
    return {own, topic_of(letter, topology)}


def _fits(exception: str, patterns: tuple[str, ...]) -> bool:
    short = re.split(r"[.$]", exception)[-1]
    return any(fnmatchcase(name, p) for p in patterns for name in (exception, short))


def _is_one_of(fingerprint: Fingerprint, wanted: tuple[str, ...]) -> bool:
    return any(each.digest.startswith(wanted) for each in (fingerprint, fingerprint.former))


def _has_any(letter: DeadLetter, wanted: tuple[tuple[str, bytes | None], ...]) -> bool:
    return any(
        name == header and value in (None, found)
        for header, found in letter.headers
        for name, value in wanted
    )
