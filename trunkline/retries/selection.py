"""Which waiting events are meant: by topic, key, exception, id, or whether they are parked."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from trunkline.errors import ConfigurationError
from trunkline.retries.inspection import WaitingEvent
from trunkline.topology import Topology

_ID = re.compile(r"(?P<topic>.+)\[(?P<partition>\d{1,10})\]@(?P<offset>\d{1,19})")
_HEX_PREFIX = "0x"


@dataclass(frozen=True)
class Selection:
    """What a waiting event must be to be meant; an empty one means all.

    Of one field's values any may fit; of different fields all must.

    Attributes:
        topics: Real names of the events' topics.
        keys: Keys, byte for byte.
        exceptions: Patterns (``*``, ``?``) of class names, qualified or short, of the last error.
        ids: Topic (real name), partition and offset.
        parked: Whether it waits behind an earlier event of its key; None: either.

    """

    topics: frozenset[str] = frozenset()
    keys: frozenset[bytes] = frozenset()
    exceptions: tuple[str, ...] = ()
    ids: tuple[tuple[str, int, int], ...] = ()
    parked: bool | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it means all."""
        return self == Selection()

    def matches(self, event: WaitingEvent) -> bool:
        """Tell whether a waiting event is meant."""
        return (
            (not self.ids or event.id[:3] in self.ids)
            and (not self.topics or event.id.topic in self.topics)
            and (not self.keys or event.entry.key in self.keys)
            and (not self.exceptions or self._fits(event))
            and self.parked in (None, event.parked)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what was said of the events, for the audit trail and for programs."""
        ids = [f"{topic}[{partition}]@{offset}" for topic, partition, offset in self.ids]
        said: dict[str, Any] = {
            "topics": sorted(self.topics),
            "keys": sorted(key.decode(errors="replace") for key in self.keys),
            "exceptions": list(self.exceptions),
            "ids": ids,
        }
        parked = {} if self.parked is None else {"parked": self.parked}
        return {name: words for name, words in said.items() if words} | parked

    def not_found(self, events: Iterable[WaitingEvent]) -> list[str]:
        """Return the ids that none of these events has, as people write them."""
        there = {event.id[:3] for event in events}
        return [f"{t}[{p}]@{o}" for t, p, o in self.ids if (t, p, o) not in there]

    def _fits(self, event: WaitingEvent) -> bool:
        error = event.entry.state.last_error
        if error is None:
            return False
        names = (error.exception, error.exception.rpartition(".")[2])
        return any(fnmatchcase(name, pattern) for pattern in self.exceptions for name in names)


def parse_selection(
    topology: Topology,
    *,
    topics: Iterable[str] = (),
    keys: Iterable[str] = (),
    exceptions: Iterable[str] = (),
    ids: Iterable[str] = (),
    parked: bool | None = None,
) -> Selection:
    """Return what a user's words mean.

    Args:
        topology: Names are its plain or real ones.
        topics: Names of declared topics.
        keys: Keys as text, or as ``0x…`` in hexadecimal digits.
        exceptions: See :attr:`Selection.exceptions`.
        ids: As ``trunkline retries ls`` shows them, with or without the namespace.
        parked: See :attr:`Selection.parked`.

    Raises:
        ConfigurationError: A word means nothing; the message says which, and what would do.

    """
    return Selection(
        topics=frozenset(topology.topic(name).name for name in topics),
        keys=frozenset(form for key in keys for form in _keys(key)),
        exceptions=tuple(exceptions),
        ids=tuple(dict.fromkeys(_id(text, topology) for text in ids)),
        parked=parked,
    )


def groups_named(topology: Topology, names: Sequence[str]) -> list[str]:
    """Return the real names of groups, all of the topology's when none is named.

    Raises:
        ConfigurationError: There is no such group.

    """
    known = [service.group for service in topology.services if service.group]
    wanted = list(dict.fromkeys(topology.plain_name(name) for name in names)) or known
    for name in wanted:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
            raise ConfigurationError(f"Unknown group {name!r}. {hint}")
    return [topology.real_name(name) for name in wanted]


def _id(text: str, topology: Topology) -> tuple[str, int, int]:
    match = _ID.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError(
            f"{text!r} is no event's id: those look like order.created[1]@17; "
            "'trunkline retries ls' shows them."
        )
    topic = topology.real_name(topology.plain_name(match["topic"]))
    return topic, int(match["partition"]), int(match["offset"])


def _keys(text: str) -> list[bytes]:
    keys = [text.encode(errors="surrogateescape")]
    if text.startswith(_HEX_PREFIX):
        with contextlib.suppress(ValueError):  # a key may only begin like that
            keys.append(bytes.fromhex(text.removeprefix(_HEX_PREFIX)))
    return keys
