"""Retry now, and discard what waits: the commands that ``trunkline retries`` sends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trunkline.audit.records import listed
from trunkline.console.acting import actor_of, counted, needed
from trunkline.console.context import ConsoleContext
from trunkline.console.pages.retries.asking import Meant, RetriesFilter, said, select
from trunkline.console.refusals import Refusal
from trunkline.console.registry import Action, Outcome, Preview, Progress
from trunkline.retries.commands import Command, hurriable, send_commands
from trunkline.retries.inspection import WaitingEvent
from trunkline.web.safety.caller import Caller

#: How many commands are sent before it is told how far it is.
_STEP = 1_000
_LISTED = 8


class RetriesOrder(RetriesFilter, forbid_unknown_fields=True):
    """Which waiting events an action is for: a filter, ids, or ``all``.

    Attributes:
        ids: As the list shows them.
        all: Everything that waits, of all groups.

    """

    ids: Sequence[str] = ()
    all: bool = False


def retries_actions(context: ConsoleContext) -> list[Action[RetriesOrder]]:
    """Return the actions."""
    acting = _Acting(context)
    return [
        Action(
            "retries/now",
            "Retry now",
            RetriesOrder,
            acting.preview_now,
            acting.now,
            summary="Make waiting events due at once; one without attempts gets one more.",
        ),
        Action(
            "retries/discard",
            "Discard waiting events",
            RetriesOrder,
            acting.preview_discard,
            acting.discard,
            summary="Drop waiting events: neither handled nor dead letters.",
        ),
    ]


class _Acting:
    """Previews and performs."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context

    async def preview_now(self, order: RetriesOrder, caller: Caller) -> Preview:
        """Say what would become due."""
        meant = self._meant(order).events
        events = hurriable(meant)
        details = _listing(events)
        if len(meant) > len(events):
            left = counted(len(meant) - len(events), "event")
            details.append(
                f"{left} parked behind their key, or discarded: they follow by themselves."
            )
        one = len(events) == 1
        return Preview(
            f"{counted(len(events), 'event')} will be tried at once by "
            f"{'its group' if one else 'their groups'}; without attempts left "
            f"{'it gets' if one else 'each gets'} one more."
            if events
            else "No event that waits is meant.",
            details,
            count=len(events),
            confirm=f"Retry {counted(len(events), 'event')} now",
            possible=bool(events),
        )

    async def preview_discard(self, order: RetriesOrder, caller: Caller) -> Preview:
        """Say what would be dropped."""
        events = self._meant(order).events
        return Preview(
            f"{counted(len(events), 'event')} will be dropped for good: not handled, and no dead "
            "letters. A parked event goes when its turn comes."
            if events
            else "No event that waits is meant.",
            _listing(events),
            count=len(events),
            confirm=f"Discard {counted(len(events), 'event')}",
            possible=bool(events),
            danger=True,
        )

    async def now(self, order: RetriesOrder, caller: Caller, tell: Progress) -> Outcome:
        """Make events due."""
        return await self._send(order, "now", hurriable(self._meant(order).events), caller, tell)

    async def discard(self, order: RetriesOrder, caller: Caller, tell: Progress) -> Outcome:
        """Drop events."""
        return await self._send(order, "discard", self._meant(order).events, caller, tell)

    def _meant(self, order: RetriesOrder) -> Meant:
        live = needed(self._context.retries, "view of what waits")
        if not (said(order) or order.ids or order.all):
            raise Refusal(400, "Nothing was said about which events.", "Give a filter, ids or all.")
        if not live.ready:
            raise Refusal(
                503, "What waits is still being read from Kafka.", "Try again in a moment."
            )
        return select(live, self._context.topology, order, order.ids)

    async def _send(
        self,
        order: RetriesOrder,
        command: Command,
        events: Sequence[WaitingEvent],
        caller: Caller,
        tell: Progress,
    ) -> Outcome:
        settings, topology = self._context.settings, self._context.topology
        if not events:
            return Outcome("Nothing was sent: no event that waits is meant.", count=0)
        audit = needed(self._context.audit, "audit trail")
        what = {"filter": said(order), **listed([str(event.id) for event in events])}
        sent = 0
        async with audit.action(actor_of(caller), f"retries.{command}", what, len(events)) as note:
            for first in range(0, len(events), _STEP):
                tell(sent, len(events), "Sending commands")
                part = events[first : first + _STEP]
                sent += await send_commands(
                    settings.connection, topology, part, command, settings.publish_timeout_s
                )
                note.result = {"sent": sent}
        groups = ", ".join(sorted({event.group for event in events}))
        return Outcome(
            f"{counted(sent, 'command')} sent to {groups}: "
            + ("the events are tried now." if command == "now" else "the events are dropped."),
            count=sent,
        )


def _listing(events: Sequence[WaitingEvent]) -> list[str]:
    """Return what an action is for: few events by their ids, many by group and topic."""
    if len(events) <= _LISTED:
        return [f"{event.id} of {event.group}" for event in events]
    counts = Counter((event.group, event.id.topic) for event in events)
    return [f"{group}: {count:,} of {topic}" for (group, topic), count in counts.most_common(20)]
