"""What a redrive would do: how many go where, and how many do not, for which reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trunkline.dead_letters.fingerprint import topic_of
from trunkline.dead_letters.reading import DeadLetter
from trunkline.dead_letters.redrive import Verdict
from trunkline.dead_letters.scan import Found
from trunkline.delivery.decode import Headers, check_key, headed_decoder_for
from trunkline.topology import Topology


@dataclass
class Plan:
    """Dead letters that were judged, counted.

    Attributes:
        topology: Takes the namespace off names.
        going: How many go, by failures topic (real name), group and topic (plain names).
        refused: How many do not go, by reason.
        invalid: How many of those that go will fail again: they do not fit their topic's model.

    """

    topology: Topology
    going: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    invalid: int = 0
    _decoders: dict[str, Callable[[Headers, bytes | None], Any]] = field(default_factory=dict)

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
        # The model may have changed since it failed, or the payload been edited.
        if found.letter.kind == "invalid" and not self._fits(found.letter, topic):
            self.invalid += 1

    def warning(self) -> str:
        """Return what is to be known of invalid events before they are redriven; "" for none."""
        if not self.invalid:
            return ""
        do, them = ("1 does", "it") if self.invalid == 1 else (f"{self.invalid:,} do", "them")
        return (
            f"{do} not fit the model of the topic, and will fail again. Edit {them}, or update "
            "the service first."
        )

    def _fits(self, letter: DeadLetter, topic: str) -> bool:
        if topic not in self._decoders:
            self._decoders[topic] = headed_decoder_for(self.topology.topic(topic).model)
        try:
            check_key(letter.key)
            self._decoders[topic](letter.headers, letter.value)
        except Exception:  # whatever a decoder or a model raises: a worker calls it invalid, too
            return False
        return True

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
            "invalid": self.invalid,
        }
