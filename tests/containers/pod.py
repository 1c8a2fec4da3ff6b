"""A running container of a service: asked over HTTP, killed, stopped, started again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from docker.models.containers import Container

WEB_PORT = 6066
_ASKED_AT_MOST = 5
_WHOLE = "whole"


def run(container: Container, *command: str) -> str:
    """Run a command in a container, once; return what it printed, unless Docker lost it."""
    code, printed = container.exec_run(list(command))
    assert code == 0, printed.decode()
    return printed.decode()


def ask(container: Container, *command: str) -> str:
    """Run a command in a container that may be run again; return all that it printed.

    On a busy machine Docker may lose what a short command printed, and still say that it went
    well: a last word tells that nothing is missing.
    """
    for _ in range(_ASKED_AT_MOST):
        printed = run(container, "sh", "-c", f'"$@" && echo {_WHOLE}', "sh", *command)
        if printed.endswith(f"{_WHOLE}\n"):
            return printed.removesuffix(f"{_WHOLE}\n")
    raise AssertionError(f"Docker lost what {command} printed, {_ASKED_AT_MOST} times")


class Pod:
    """One pod of a service, whoever started it."""

    def __init__(self, container: Container) -> None:
        self.container = container

    @property
    def name(self) -> str:
        """Its name as Docker knows it."""
        return self.container.name

    def get(self, path: str) -> Any:
        """Return the JSON that it answers with."""
        with urlopen(self._url(path), timeout=30) as response:
            return json.load(response)

    def page(self, path: str) -> str:
        """Return the text that it answers with."""
        with urlopen(self._url(path), timeout=30) as response:
            return response.read().decode()

    def post(self, path: str, body: object) -> int:
        """Post JSON; return the status."""
        return self.posted(path, body)[0]

    def posted(self, path: str, body: object) -> tuple[int, Any]:
        """Post JSON; return status and answer."""
        request = Request(
            self._url(path), json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urlopen(request, timeout=90) as response:
                return response.status, json.load(response)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    @contextmanager
    def listening(self, path: str) -> Iterator[HTTPResponse]:
        """Lend an event stream."""
        with urlopen(self._url(path), timeout=30) as response:
            yield response

    def stats(self) -> Any:
        """Return its ``/stats``."""
        return self.get("/stats")

    def why_not_ready(self) -> str:
        """Return why it does not do its work yet; nothing when it does."""
        try:
            self.get("/health/ready")
        except HTTPError as error:
            with error:
                return str(json.load(error)["reason"])
        except (OSError, HTTPException) as error:
            return f"does not answer: {error}"
        return ""

    def health(self) -> str:
        """Return what the image's own HEALTHCHECK says: starting, healthy or unhealthy."""
        self.container.reload()
        return self.container.attrs["State"]["Health"]["Status"]

    def run(self, *command: str) -> None:
        """Run a command inside, once."""
        run(self.container, *command)

    def ask(self, *command: str) -> str:
        """Run a command inside that may be run again; return what it printed."""
        return ask(self.container, *command)

    def kill(self) -> None:
        """Send SIGKILL to all of it; Docker does not start it again by itself then."""
        self.container.kill()

    def start(self) -> None:
        """Start it again."""
        self.container.start()

    def terminate(self, timeout_s: int = 20) -> int:
        """Send SIGTERM; return the exit code, 137 when it had to be killed after ``timeout_s``."""
        self.container.stop(timeout=timeout_s)
        return self.container.wait()["StatusCode"]

    def _url(self, path: str) -> str:
        # A published port that the engine chose changes when the container is started again.
        self.container.reload()
        (place, *_) = self.container.ports.get(f"{WEB_PORT}/tcp") or [{"HostPort": "1"}]
        return f"http://127.0.0.1:{place['HostPort']}{path}"
