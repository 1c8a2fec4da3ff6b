"""What a run has found, as text for people and as JSON for programs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.chaos.violations import Violation

_EXAMPLES = 20
_STORY_LINES = 30


@dataclass
class Report:
    """The outcome of a run.

    Attributes:
        seed: Of the run.
        published: Events in the topics.
        resent: How many were sent again when their acknowledgement was lost.
        mishaps: How many of each kind.
        groups: Counts of each group.
        seconds: How long publishing and mishaps took, then finishing, then judging.
        violations: Broken promises by kind.

    """

    seed: int
    published: int = 0
    resent: int = 0
    mishaps: dict[str, int] = field(default_factory=dict)
    groups: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    violations: dict[str, list[Violation]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations

    def add(self, violations: Iterable[Violation]) -> None:
        """Take violations in, by their kind."""
        by_kind = defaultdict(list, self.violations)
        for violation in violations:
            by_kind[violation.kind].append(violation)
        self.violations = dict(by_kind)

    def save(self, folder: Path) -> None:
        """Write ``report.json`` and ``report.txt``."""
        (folder / "report.json").write_text(json.dumps(self._as_dict(), indent=1))
        (folder / "report.txt").write_text(str(self))

    def _as_dict(self) -> dict[str, object]:
        shown = {
            kind: {
                "count": len(found),
                "examples": [{"text": v.text, "story": v.story} for v in found[:_EXAMPLES]],
            }
            for kind, found in self.violations.items()
        }
        return {**asdict(self), "ok": self.ok, "violations": shown}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"seed {self.seed}: {self.published} events, {self.resent} sent again"
        yield "mishaps: " + (", ".join(f"{n} {kind}" for kind, n in self.mishaps.items()) or "none")
        for group, counts in self.groups.items():
            yield f"{group}: " + ", ".join(f"{n} {name}" for name, n in counts.items())
        yield "seconds: " + ", ".join(f"{name} {s:.1f}" for name, s in self.seconds.items())
        if self.ok:
            yield "every promise was kept"
        for kind, found in self.violations.items():
            yield f"\n{kind.upper()}: {len(found)}"
            for violation in found[:_EXAMPLES]:
                yield f"  {violation.text}"
                yield from (f"      {line}" for line in violation.story[:_STORY_LINES])
