"""When each waiting event of a failures partition is tried next: pure logic, no Kafka, no disk.

Events of one key stand in a lane, in the order in which they were handed over: only the head is
tried, the others are parked behind it. Everything else waits for its due time alone. What the
schedule decides is durable only once the engine has committed it; after a crash it is rebuilt from
what was committed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

from models.failures import EventId

LaneId = tuple[str, int, bytes]
#: Told that a lane has no held event any more, and which offset was the last of them.
OnRelease = Callable[[LaneId, int], None]


class Waiting:
    """One waiting event, as small as it can be: the record itself is in the table.

    Attributes:
        id: The event.
        lane: Its key's lane, None when it waits for nobody.
        held: Whether its key is held back at the source.
        attempts: How many attempts have failed.
        due_ms: When it may be tried (Unix time); 0 is as soon as it is the head.
        order: Offset in the failures topic.
        exhausted: It has no attempts left, and waits to be buried.
        discarded: It is to go as soon as it is the head of its lane.
        running: An attempt runs, or it is being buried.

    """

    __slots__ = (
        "attempts",
        "discarded",
        "due_ms",
        "exhausted",
        "held",
        "id",
        "lane",
        "order",
        "running",
    )

    def __init__(
        self,
        event: EventId,
        lane: LaneId | None,
        order: int,
        *,
        held: bool = False,
        attempts: int = 0,
        due_ms: int = 0,
        exhausted: bool = False,
        discarded: bool = False,
    ) -> None:
        self.id = event
        self.lane = lane
        self.order = order
        self.held = held
        self.attempts = attempts
        self.due_ms = due_ms
        self.exhausted = exhausted
        self.discarded = discarded
        self.running = False


class _Lane:
    """A key's events: the head, and the others only once there are some (a deque is 760 bytes)."""

    __slots__ = ("head", "held", "last", "parked")

    def __init__(self, head: Waiting) -> None:
        self.head = head
        self.parked: deque[Waiting] | None = None
        self.held = 0
        self.last = -1

    def append(self, waiting: Waiting) -> None:
        if self.parked is None:
            self.parked = deque()
        self.parked.append(waiting)

    def remove(self, waiting: Waiting) -> bool:
        """Take an event out; whether any is left."""
        if waiting is not self.head:
            assert self.parked is not None
            self.parked.remove(waiting)
            return True
        if not self.parked:
            return False
        self.head = self.parked.popleft()
        return True


class Schedule:
    """The waiting events of one failures partition.

    Args:
        on_release: Called when the last held event of a lane is through.

    """

    def __init__(self, on_release: OnRelease) -> None:
        self._on_release = on_release
        self._waiting: dict[EventId, Waiting] = {}
        self._lanes: dict[LaneId, _Lane] = {}
        # (due, order, a number that breaks ties, event); stale ones are passed over.
        self._due: list[tuple[int, int, int, Waiting]] = []
        self._pushed = self._parked = 0
        self._now_ms = 0

    def __len__(self) -> int:
        """How many events wait, running and parked ones included."""
        return len(self._waiting)

    @property
    def parked(self) -> int:
        """How many of them stand behind another one of their key."""
        return self._parked

    @property
    def lanes(self) -> int:
        """How many keys have a lane."""
        return len(self._lanes)

    def oldest(self) -> Waiting | None:
        """Return the event that was handed over first."""
        return next(iter(self._waiting.values()), None)

    def get(self, event: EventId) -> Waiting | None:
        """Return a waiting event."""
        return self._waiting.get(event)

    def add(self, waiting: Waiting) -> bool:
        """Let an event wait, behind the others of its key.

        Events must come in the order of ``order``.

        Returns:
            Whether it is new; a second copy of one that waits already changes nothing.

        """
        if waiting.id in self._waiting:
            return False
        self._waiting[waiting.id] = waiting
        if waiting.lane is None:
            self._push(waiting)
            return True
        lane = self._lanes.get(waiting.lane)
        if lane is None:
            lane = self._lanes[waiting.lane] = _Lane(waiting)
        else:
            lane.append(waiting)
            self._parked += 1
        if waiting.held:
            lane.held += 1
            # Not the highest: a topic that was made anew counts from 0 again.
            lane.last = waiting.id.offset
        if lane.head is waiting:
            self._push(waiting)
        return True

    def take(self, now_ms: int) -> Waiting | None:
        """Return the event that has been due for the longest time, and note that it runs."""
        self._now_ms = now_ms
        waiting = self._peek()
        if waiting is None or waiting.due_ms > now_ms:
            return None
        heappop(self._due)
        waiting.running = True
        return waiting

    def next_due_ms(self) -> int | None:
        """Return when :meth:`take` has the next event, None when nothing waits for a time."""
        waiting = self._peek()
        return None if waiting is None else waiting.due_ms

    def again(
        self, waiting: Waiting, due_ms: int, *, attempts: int | None = None, exhausted: bool = False
    ) -> None:
        """Let an event that ran wait again; its lane goes on waiting behind it."""
        waiting.running = False
        waiting.due_ms = due_ms
        waiting.exhausted = exhausted
        if attempts is not None:
            waiting.attempts = attempts
        self._push(waiting)

    def finish(self, waiting: Waiting) -> list[Waiting]:
        """Let an event go that was handled, buried or discarded; the next of its key is the head.

        Returns:
            The events that are gone: it, and discarded ones that it had in front of it.

        """
        gone = [waiting]
        del self._waiting[waiting.id]
        waiting.running = True  # so that no stale place in the heap stands for it
        if waiting.lane is None:
            return gone
        lane = self._lanes[waiting.lane]
        was_head = lane.head is waiting
        is_left = self._remove(lane, waiting)
        self._leave(lane, waiting)
        while is_left and lane.head.discarded and not lane.head.running:
            ghost = lane.head
            del self._waiting[ghost.id]
            is_left = self._remove(lane, ghost)
            self._leave(lane, ghost)
            gone.append(ghost)
        if not is_left:
            del self._lanes[waiting.lane]
        elif was_head or len(gone) > 1:
            head = lane.head
            # It is due from now on: a long lane must not get in front of what is due already.
            head.due_ms = max(head.due_ms, self._now_ms)
            self._push(head)
        return gone

    def behind(self, waiting: Waiting) -> list[Waiting]:
        """Return what is parked behind an event, in order."""
        if waiting.lane is None:
            return []
        return list(self._lanes[waiting.lane].parked or ())

    def hurry(self, event: EventId) -> bool:
        """Make an event due at once, with one attempt more if it had none left.

        Returns:
            Whether it waits, and does not run already.

        """
        waiting = self._waiting.get(event)
        if waiting is None or waiting.running:
            return False
        waiting.due_ms = 0
        waiting.exhausted = False
        if self._is_head(waiting):
            self._push(waiting)
        return True

    def discard(self, event: EventId) -> list[Waiting] | None:
        """Let an event go untried; one that runs, or is parked, goes when its turn comes.

        A parked one keeps its place: its offset may be the last that the lane is to release.

        Returns:
            What is gone now; None when it does not wait.

        """
        waiting = self._waiting.get(event)
        if waiting is None:
            return None
        if waiting.running or not self._is_head(waiting):
            waiting.discarded = True
            return []
        return self.finish(waiting)

    def holds(self, lane: LaneId) -> bool:
        """Whether a lane has an event that is held back at the source."""
        found = self._lanes.get(lane)
        return found is not None and found.held > 0

    def _is_head(self, waiting: Waiting) -> bool:
        return waiting.lane is None or self._lanes[waiting.lane].head is waiting

    def _remove(self, lane: _Lane, waiting: Waiting) -> bool:
        is_left = lane.remove(waiting)
        if is_left:  # either it was parked itself, or a parked one is the head now
            self._parked -= 1
        return is_left

    def _leave(self, lane: _Lane, waiting: Waiting) -> None:
        if not waiting.held:
            return
        lane.held -= 1
        if not lane.held:
            assert waiting.lane is not None
            self._on_release(waiting.lane, lane.last)

    def _push(self, waiting: Waiting) -> None:
        self._pushed += 1
        heappush(self._due, (waiting.due_ms, waiting.order, self._pushed, waiting))

    def _peek(self) -> Waiting | None:
        due = self._due
        while due:
            at_ms, _, _, waiting = due[0]
            if not waiting.running and waiting.due_ms == at_ms and waiting.id in self._waiting:
                return waiting
            heappop(due)
        return None
