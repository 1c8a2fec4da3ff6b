"""What several test modules share: ``from tests.support import eventually``."""

from __future__ import annotations

from tests.support.waiting import eventually

__all__ = ["eventually"]
