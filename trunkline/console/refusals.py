"""What a page or an action answers when it cannot do what was asked."""

from __future__ import annotations

from aiohttp import web

from trunkline.audit import AuditError
from trunkline.errors import (
    BrokerError,
    ConfigurationError,
    DependencyDown,
    InvalidEventError,
    PublishError,
    TrunklineError,
)

_STATUS_OF: tuple[tuple[type[TrunklineError], int], ...] = (
    (BrokerError, 503),
    (PublishError, 503),
    (DependencyDown, 503),
    (AuditError, 503),
    (ConfigurationError, 404),
    (InvalidEventError, 400),
)


class Refusal(TrunklineError):  # noqa: N818  # read as a noun: raise Refusal(404, "…")
    """Ends a request with an error status, as a page or as JSON.

    Args:
        status: HTTP status.
        what: What happened and where, one sentence.
        todo: What to do about it, one sentence.
        place: What of the request is wrong: ``$.rate``, ``?limit``.
        allow: For 405: the methods that are possible.

    """

    def __init__(
        self, status: int, what: str, todo: str = "", place: str = "", allow: str = ""
    ) -> None:
        super().__init__(f"{what} {todo}".strip())
        self.status = status
        self.what = what
        self.todo = todo
        self.place = place
        self.headers = {"Allow": allow} if allow else {}
        if status in (429, 503):
            self.headers["Retry-After"] = "2"

    def body(self) -> dict[str, dict[str, object]]:
        """Return the JSON that the API answers."""
        details = {"what": self.what, "todo": self.todo, "place": self.place}
        given = {name: text for name, text in details.items() if text}
        return {"error": {"message": str(self), "status": self.status, **given}}


def refusal_of(error: Exception) -> Refusal | None:
    """Return what to answer for an error that was raised on purpose, None for any other."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, TrunklineError):
        status = next((code for kind, code in _STATUS_OF if isinstance(error, kind)), 409)
        # What is not in the audit trail was not done, and is not tried again by itself.
        tries = status == 503 and not isinstance(error, AuditError)
        todo = "The page tries again by itself." if tries else ""
        return Refusal(status, str(error), todo)
    if isinstance(error, TimeoutError):
        return Refusal(503, "The answer took too long.", "Try again in a moment.")
    if isinstance(error, web.HTTPException) and error.status >= 400:
        return Refusal(error.status, error.reason + ".")
    return None
