"""What a soak says every minute, and its verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from trunkline.soak.account import Account
from trunkline.soak.memory import Growth


@dataclass(frozen=True)
class Minute:
    """How it stood at the end of a minute.

    Attributes:
        minute: Which one, from 1.
        published: Events that were acknowledged so far.
        per_s: Of them, a second, in this minute.
        lag: Events that the groups have not committed; None while Kafka does not answer.
        waiting: Events that wait to be tried again.
        dead: Dead letters so far, as the dlq service's index has them.
        faults: So far.
        memory_mb: Resident memory of each process.

    """

    minute: int
    published: int
    per_s: float
    lag: int | None
    waiting: int
    dead: int
    faults: int
    memory_mb: dict[str, float]

    def __str__(self) -> str:
        memory = ", ".join(f"{pod} {mb:.0f}" for pod, mb in self.memory_mb.items())
        lag = "unknown" if self.lag is None else f"{self.lag:,}"
        return (
            f"minute {self.minute}: {self.published:,} published ({self.per_s:.0f}/s), lag {lag}, "
            f"{self.waiting} wait for a retry, {self.dead} dead, {self.faults} faults; "
            f"MB: {memory}"
        )


@dataclass
class Report:
    """The verdict.

    Attributes:
        seed: Of the run.
        seconds: How long events were published.
        rest_s: How long after the last fault all was done; None when it never was.
        longest_pause_s: The longest time in which no event was acknowledged.
        answers: HTTP status to the number of posts; 0 is no answer.
        posted_again: Events that were posted more than once.
        faults: Kind to count.
        minutes: How it stood each minute.
        growth: Memory of the pods that lived through it all.
        deaths: Pods that ended by themselves.
        left: What was not done when patience ended.
        account: Where the events ended; None when it was not drawn up.

    """

    seed: int
    seconds: float = 0.0
    rest_s: float | None = None
    longest_pause_s: float = 0.0
    answers: dict[int, int] = field(default_factory=dict)
    posted_again: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    minutes: list[Minute] = field(default_factory=list)
    growth: list[Growth] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)
    left: str = ""
    account: Account | None = None

    def problems(self) -> list[str]:
        """Return what was not kept; nothing when all was."""
        found = list(self.deaths)
        found += [
            f"the memory of {one.pod} is not flat: {one.from_mb:.0f} to {one.to_mb:.0f} MB, "
            f"{one.mb_per_h:+.1f} MB/h"
            for one in self.growth
            if not one.flat
        ]
        if self.rest_s is None:
            found.append(f"it did not come to rest: {self.left}")
        if self.account is None:
            found.append("the events were not counted")
        else:
            found += [f"{count} events: {kind}" for kind, count in self.account.wrong.items()]
            found += self.account.examples
        return found

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not self.problems()

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, for JSON."""
        return {"ok": self.ok, "problems": self.problems(), **asdict(self)}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        faults = ", ".join(f"{count} {kind}" for kind, count in self.faults.items())
        yield f"{self.seconds:.0f} s, seed {self.seed}; faults: {faults or 'none'}"
        if self.account is not None:
            yield from _counts(self.account)
        answers = ", ".join(
            f"{count} of {status or 'no answer'}" for status, count in sorted(self.answers.items())
        )
        yield (
            f"publishers: {answers}; longest without an acknowledgement {self.longest_pause_s:.1f} "
            f"s; {self.posted_again:,} events posted again"
        )
        if self.rest_s is not None:
            yield f"lag and retries were back at 0 {self.rest_s:.1f} s after the last event"
        for one in self.growth:
            yield (
                f"memory of {one.pod}: {one.from_mb:.0f} to {one.to_mb:.0f} MB, "
                f"{one.mb_per_h:+.1f} MB/h{'' if one.flat else ' NOT FLAT'}"
            )
        problems = self.problems()
        yield "every promise was kept" if not problems else "NOT KEPT:"
        yield from (f"  {problem}" for problem in problems)


def _counts(account: Account) -> Iterator[str]:
    yield f"{account.acknowledged:,} events acknowledged, {account.events:,} in the topics"
    for service, handled in account.handled.items():
        yield f"{service}: {handled:,} handled, {account.dead[service]:,} dead letters"
