"""Kafka's denials in words: what this user may not do, and how the right is given."""

from __future__ import annotations

import logging
import time

from aiokafka import errors

logger = logging.getLogger(__name__)

#: How often it is said that a right is still missing.
_AGAIN_S = 60.0
_KINDS = {
    errors.TopicAuthorizationFailedError: "topic",
    errors.GroupAuthorizationFailedError: "group",
    errors.TransactionalIdAuthorizationFailed: "transactional id",
    errors.ClusterAuthorizationFailedError: "cluster",
}
_MEND = "grant what 'trunkline topics acls' lists for this service"


def is_denied(error: BaseException | None) -> bool:
    """Tell whether an error says that a right is missing."""
    return isinstance(error, tuple(_KINDS))


def denied(error: BaseException, transactional_id: str | None = None) -> str:
    """Return what was denied, and what to do.

    Args:
        error: One for which :func:`is_denied` is true.
        transactional_id: Of the client, where the error may be about it.

    """
    kind = next(kind for known, kind in _KINDS.items() if isinstance(error, known))
    name = _name_in(error) or (transactional_id if kind == "transactional id" else None)
    what = kind if name is None else f"{kind} {name}"
    return f"this user lacks a right on {what} ({_code(error)}): {_MEND}"


def _code(error: BaseException) -> str:
    return str(getattr(error, "message", type(error).__name__))


def _name_in(error: BaseException) -> str | None:
    """Return the topics or the group that aiokafka puts into an error; sometimes it is none."""
    given = error.args[0] if error.args else None
    if isinstance(given, set | frozenset | list | tuple):
        return ", ".join(sorted(map(str, given))) or None
    return given if isinstance(given, str) and " " not in given else None


class Denials:
    """Says what Kafka denies: once, and again each minute for as long as it does."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def say(self, what: str, error: BaseException) -> None:
        """Log a denial.

        Args:
            what: What does not happen because of it.
            error: Why.

        """
        text = f"{what}: {denied(error)}"
        if time.monotonic() - self._said.get(text, -_AGAIN_S) >= _AGAIN_S:
            self._said[text] = time.monotonic()
            logger.warning("%s. It is tried again until it is allowed.", text)
