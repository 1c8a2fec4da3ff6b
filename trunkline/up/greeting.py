"""Say when everything runs, and where to look."""

from __future__ import annotations

import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from trunkline.topology import CONSOLE_SERVICE, DLQ_SERVICE
from trunkline.up.plan import Pod

_POLL_S = 0.25
_JSON = "-H 'Content-Type: application/json'"
_BEARER = '-H "Authorization: Bearer $TRUNKLINE_TOKEN" '
_EXAMPLE = '{"userId": "12345", "email": "user@example.com"}'


class Greeting(threading.Thread):
    """Waits for all pods to be ready, then prints where to look; ends with the process."""

    def __init__(self, pods: Sequence[Pod], servers: str, *, needs_token: bool = False) -> None:
        super().__init__(name="greeting", daemon=True)
        self._pods = pods
        self._servers = servers
        self._curl = f"curl {_BEARER if needs_token else ''}"
        self._began = time.monotonic()

    def run(self) -> None:
        """Wait, and print."""
        waiting = list(self._pods)
        while waiting:
            waiting = [pod for pod in waiting if not _is_ready(pod)]
            time.sleep(_POLL_S)
        sys.stdout.write(self._text())
        sys.stdout.flush()

    def _text(self) -> str:
        publisher = next(pod for pod in self._pods if pod.service == "auth-service")
        notifier = next(pod for pod in self._pods if pod.service == "notification-service")
        index = next(pod for pod in self._pods if pod.service == DLQ_SERVICE)
        console = next(pod for pod in self._pods if pod.service == CONSOLE_SERVICE)
        took_s = time.monotonic() - self._began
        lines = [
            "",
            f"Everything runs, after {took_s:.0f} s; Ctrl-C ends it all.",
            f"Console: {console.url}/console/",
            f"Kafka:   {self._servers}",
            "",
            *(f"  {pod.name:<24} {pod.url}/stats" for pod in self._pods),
            "",
            "Publish an event:",
            f"  {self._curl}{_JSON} -d '{_EXAMPLE}' {publisher.url}/events/auth.registered",
            "See a user's notifications arrive:",
            f"  {self._curl}-N {notifier.url}/notifications/10001",
            "See what failed: dead letters by cause, and what waits for another attempt:",
            f"  {self._curl}{index.url}/dead-letters",
            "  .venv/bin/trunkline dlq ls",
            "  .venv/bin/trunkline retries ls",
            "",
            "",
        ]
        return "\n".join(lines)


def _is_ready(pod: Pod) -> bool:
    try:
        with urllib.request.urlopen(f"{pod.url}/health/ready", timeout=1) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
