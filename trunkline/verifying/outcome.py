"""What a pattern is, and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from trunkline.verifying.stage import Stage

Counts = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What was expected of a pattern and what was counted; both objects, or both texts.

    Attributes:
        name: The pattern's.
        expected: What the seed promises.
        counted: What was found, under the same names.

    """

    name: str
    expected: Counts | str
    counted: Counts | str

    @property
    def ok(self) -> bool:
        """Whether there is no difference."""
        return self.expected == self.counted

    def as_dict(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {
            "name": self.name,
            "expected": self.expected,
            "counted": self.counted,
            "ok": self.ok,
        }


#: Plays a pattern on its stage; returns what was expected and what was counted.
Play = Callable[[Stage], Awaitable[tuple[Counts, Counts]]]


@dataclass(frozen=True)
class Pattern:
    """One pattern of the seed that can be checked.

    Attributes:
        name: In kebab-case, as in ``--pattern``.
        promise: What is checked, for people.
        services: Services that take part; only their topics are made.
        play: Checks it.

    """

    name: str
    promise: str
    services: tuple[str, ...]
    play: Play
