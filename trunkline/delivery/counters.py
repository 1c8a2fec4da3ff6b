"""What happened to a topic's events on this pod since it started."""

from __future__ import annotations


class Counters:
    """Counts of one topic; every name is one of ``/stats``.

    Attributes:
        delivered: Records that the source partitions brought.
        handled: First attempts that succeeded.
        failed: First attempts that failed.
        permanent: Those of them that no retry could help.
        invalid: Records that could not be decoded or were not valid.
        handed_over: Failed and parked events that the failures topic has.
        parked: Events that waited behind a failed one of their key.
        passed_over: Redelivered events that had been handed over before.
        retried: Attempts at waiting events, parked ones' first attempts included.
        recovered: Waiting events that were handled.
        dead: Events that became dead letters.
        redriven: Events that came back from dead letters.
        discarded: Waiting events that an operator discarded.

    """

    __slots__ = (
        "dead",
        "delivered",
        "discarded",
        "failed",
        "handed_over",
        "handled",
        "invalid",
        "parked",
        "passed_over",
        "permanent",
        "recovered",
        "redriven",
        "retried",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    delivered: int
    handled: int
    failed: int
    permanent: int
    invalid: int
    handed_over: int
    parked: int
    passed_over: int
    retried: int
    recovered: int
    dead: int
    redriven: int
    discarded: int

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return {name: getattr(self, name) for name in self.__slots__}
