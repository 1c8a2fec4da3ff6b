"""Registrations posted to auth-service one list after the other, and how many it took."""

from __future__ import annotations

import threading
from http.client import HTTPException
from itertools import count
from types import TracebackType

from tests.containers.pod import Pod

_LIST = 20


class Load:
    """Posts lists of users until it is left; ``async with`` is not needed, it is a thread.

    What was accepted must arrive, once; what was refused must not. Users have one event each.

    Attributes:
        accepted: Events that auth-service answered 202 for.
        unknown: Events whose post was not answered, or with an outcome that is unknown.

    """

    def __init__(self, auth: Pod, prefix: str) -> None:
        self.accepted = 0
        self.unknown = 0
        self._auth = auth
        self._prefix = prefix
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"load {prefix}")

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        for first in count(0, _LIST):
            users = [f"{self._prefix}-{n}" for n in range(first, first + _LIST)]
            events = [{"userId": user, "email": f"{user}@example.com"} for user in users]
            try:
                status, answer = self._auth.posted("/events/auth.registered", events)
                if status == 202:
                    self.accepted += _LIST
                elif answer["error"].get("outcome") == "unknown":
                    self.unknown += _LIST
            except (OSError, HTTPException):
                self.unknown += _LIST
            if self._ended.wait(0.02):
                return
