"""Dead letters counted by fingerprint."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline.dead_letters.filters import failed_at_ms
from trunkline.dead_letters.fingerprint import Fingerprint
from trunkline.dead_letters.scan import Found


@dataclass
class LetterGroup:
    """Dead letters of one fingerprint.

    Attributes:
        fingerprint: Theirs.
        count: How many there are.
        first_ms: When the first of them failed (Unix time).
        last_ms: When the last of them failed.
        message: What the last one's error said.

    """

    fingerprint: Fingerprint
    count: int = 0
    first_ms: int = 0
    last_ms: int = 0
    message: str = ""

    def add(self, found: Found) -> None:
        """Count one more; the latest message is the one to show."""
        at_ms = failed_at_ms(found.letter)
        if not self.count or at_ms >= self.last_ms:
            self.last_ms, self.message = at_ms, found.letter.message
        if not self.count or at_ms < self.first_ms:
            self.first_ms = at_ms
        self.count += 1
