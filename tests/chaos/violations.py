"""One broken promise, with what a person needs to find out why."""

from __future__ import annotations

from typing import NamedTuple


class Violation(NamedTuple):
    """A promise that was not kept.

    Attributes:
        kind: Which promise.
        text: What is wrong, and of which event.
        story: Lines of journals and dead letters about it.

    """

    kind: str
    text: str
    story: list[str]
