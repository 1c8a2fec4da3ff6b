"""Registrations posted to auth-service one list after the other, and how many it took."""

from __future__ import annotations

import threading
from types import TracebackType

from tests.containers.pod import Pod

_LIST = 20


class Load:
    """Posts lists of users until it is left; ``async with`` is not needed, it is a thread.

    A list that was refused (503: nothing of it was published) is posted again, so that what was
    accepted is what must arrive, once.

    Attributes:
        accepted: Events that auth-service answered 202 for.
        refused: Posts that it did not take.

    """

    def __init__(self, auth: Pod, prefix: str) -> None:
        self.accepted = 0
        self.refused = 0
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
        while not self._ended.is_set():
            first = self.accepted
            users = [f"{self._prefix}-{n}" for n in range(first, first + _LIST)]
            events = [{"userId": user, "email": f"{user}@example.com"} for user in users]
            if self._auth.post("/events/auth.registered", events) == 202:
                self.accepted += _LIST
            else:
                self.refused += 1
            self._ended.wait(0.02)
