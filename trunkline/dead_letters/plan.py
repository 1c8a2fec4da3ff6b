"""What a redrive would do: how many go where, and how many do not, for which reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from trunkline.dead_letters.fingerprint import topic_of
from trunkline.dead_letters.redrive import Verdict
from trunkline.dead_letters.scan import Found
from trunkline.topology import Topology


@dataclass
class Plan:
    """Dead letters that were judged, counted.

    Attributes:
        topology: Takes the namespace off names.
        going: How many go, by failures topic (real name), group and topic (plain names).
        refused: How many do not go, by reason.

    """

    topology: Topology
    going: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """Return how many go."""
        return self.going.total()

    def add(self, found: Found, verdict: Verdict) -> None:
        """Count a dead letter."""
        if verdict.refused:
            self.refused[verdict.refused] += 1
            return
        topic = topic_of(found.letter, self.topology)
        self.going[verdict.to, found.fingerprint.group, topic] += 1

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "plan": [
                {"to": to, "group": group, "topic": topic, "count": count}
                for (to, group, topic), count in self.going.items()
            ],
            "refused": [
                {"reason": reason, "count": count} for reason, count in self.refused.items()
            ],
        }
