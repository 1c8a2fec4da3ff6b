"""Log lines that a flood of failures must not multiply."""

from __future__ import annotations

import logging
from time import monotonic


class LogQuota:
    """Let so many lines a second through, and sum up the rest.

    Args:
        logger: Where they go.
        per_s: Most lines in a second.

    """

    def __init__(self, logger: logging.Logger, per_s: int = 10) -> None:
        self._logger = logger
        self._per_s = per_s
        self._began = 0.0
        self._count = 0

    def warning(self, message: str, *args: object) -> None:
        """Log a warning, or count it."""
        now = monotonic()
        if now - self._began >= 1:
            if self._count > self._per_s:
                self._logger.warning("… and %s more like these", self._count - self._per_s)
            self._began, self._count = now, 0
        self._count += 1
        if self._count <= self._per_s:
            self._logger.warning(message, *args)
