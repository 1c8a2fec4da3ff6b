"""The notifications of the recent past, for clients that come back (``Last-Event-ID``)."""

from __future__ import annotations

import re
from collections import deque
from typing import NamedTuple

#: What a client has for an id that was connected before there was any notification.
START = "start"

_ID = re.compile(r"^(\d{1,9})-(\d{1,19})$", re.ASCII)
#: What an entry takes beside its frame, about.
_ENTRY_BYTES = 400


class Entry(NamedTuple):
    """One notification: its number in the order of arrival, its place, and its frame."""

    number: int
    partition: int
    offset: int
    user_id: str
    frame: bytes


class Replay(NamedTuple):
    """What a client missed; ``complete`` is False when there may have been more."""

    frames: list[bytes]
    complete: bool


class ReplayBuffer:
    """The last notifications of all users, oldest out first.

    A client resumes behind the one that it names. Notifications of other partitions follow in the
    order in which they came to this pod; keyed by ``userId``, a user's are all in one partition, so
    a client may resume at any pod.

    Args:
        max_entries: Most notifications that are kept.
        max_bytes: Most memory that they take, about.

    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: dict[tuple[int, int], Entry] = {}
        self._by_user: dict[str, deque[Entry]] = {}
        self._arrived = 0
        self._forgot_some = False
        self.size_bytes = 0
        #: Id of what arrived last.
        self.last_id = START

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, partition: int, offset: int, user_id: str, frame: bytes) -> None:
        """Keep a notification, and forget the oldest ones beyond the limits."""
        entry = Entry(self._arrived, partition, offset, user_id, frame)
        self._arrived += 1
        self._forget((partition, offset))  # the topic was made anew: that was another notification
        self._entries[partition, offset] = entry
        self._by_user.setdefault(user_id, deque()).append(entry)
        self.size_bytes += len(frame) + _ENTRY_BYTES
        self.last_id = f"{partition}-{offset}"
        while len(self._entries) > self._max_entries or self.size_bytes > self._max_bytes:
            self._forgot_some = True
            self._forget(next(iter(self._entries)))

    def since(self, last_id: str, user_id: str) -> Replay:
        """Return a user's notifications behind the one with this id.

        When it is not here, nobody knows what came between: all that may be news is returned, and
        it is not complete.
        """
        mine = self._by_user.get(user_id, ())
        if last_id == START:
            full = self._forgot_some or len(self._entries) >= self._max_entries
            return Replay([entry.frame for entry in mine], complete=not full)
        match = _ID.match(last_id)
        if match is None:
            return Replay([entry.frame for entry in mine], complete=False)
        partition, offset = int(match[1]), int(match[2])
        seen = self._entries.get((partition, offset))
        if seen is not None:
            return Replay([e.frame for e in mine if e.number > seen.number], complete=True)
        news = [e.frame for e in mine if e.partition != partition or e.offset > offset]
        return Replay(news, complete=False)

    def _forget(self, place: tuple[int, int]) -> None:
        entry = self._entries.pop(place, None)
        if entry is None:
            return
        self.size_bytes -= len(entry.frame) + _ENTRY_BYTES
        mine = self._by_user[entry.user_id]
        mine.remove(entry)  # the oldest of all is the first of its user
        if not mine:
            del self._by_user[entry.user_id]
