"""Recently used entries of the retries table, so that most attempts need no disk."""

from __future__ import annotations

from collections import OrderedDict

from msgspec.structs import replace

from models.failures import EventId, RetryEntry, RetryState

#: What an entry takes beside its key, its value and its headers: objects, errors, stack traces.
_OVERHEAD_BYTES = 2_000

#: The partition of the table, and the event.
Place = tuple[int, EventId]


class EntryCache:
    """Entries by partition and event; those that were not used for the longest time go first.

    Args:
        limit_bytes: About what all of them may take.

    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._entries: OrderedDict[Place, tuple[RetryEntry, int]] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, place: Place) -> RetryEntry | None:
        """Return an entry, which counts as its use."""
        found = self._entries.get(place)
        if found is None:
            return None
        self._entries.move_to_end(place)
        return found[0]

    def put(self, place: Place, entry: RetryEntry) -> None:
        """Keep an entry instead of an earlier one; one larger than the limit is not kept."""
        self.drop(place)
        size = size_of(entry)
        if size > self._limit_bytes:
            return
        self._entries[place] = (entry, size)
        self.size_bytes += size
        while self.size_bytes > self._limit_bytes:
            self.size_bytes -= self._entries.popitem(last=False)[1][1]

    def note_state(self, place: Place, state: RetryState) -> None:
        """Give an entry a new state, if it is there; its size does not count states."""
        found = self._entries.get(place)
        if found is not None:
            self._entries[place] = replace(found[0], state=state), found[1]
            self._entries.move_to_end(place)

    def drop(self, place: Place) -> None:
        """Forget an entry, if it is there."""
        found = self._entries.pop(place, None)
        if found is not None:
            self.size_bytes -= found[1]

    def drop_partition(self, partition: int) -> None:
        """Forget all entries of a partition."""
        for place in [place for place in self._entries if place[0] == partition]:
            self.drop(place)


def size_of(entry: RetryEntry) -> int:
    """Return about how many bytes of memory an entry takes."""
    size = _OVERHEAD_BYTES + len(entry.key or b"") + len(entry.value or b"")
    for name, value in entry.headers:
        size += len(name) + len(value or b"") + 150
    return size
