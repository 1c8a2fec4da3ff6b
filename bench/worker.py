"""A Trunkline worker as a contestant that retries: the real thing, with a handler for measuring.

python bench/worker.py '{"namespace", "kind", "count", "good", "delay_s"}'

It stands beside the package because it wires what only an entry point may see: the tables.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from typing import Literal

import msgspec

from models import UserRegistered
from trunkline.bench.failing import EVENTS, FAILS, GROUP, SERVICE, bench_topology, number_of
from trunkline.delivery.handler import Context

_SAY_S = 0.1


class Job(msgspec.Struct):
    """What to run.

    ``kind`` is ``fail`` (bad events fail at every attempt) or ``once`` (at the first one only, and
    how late the second one is gets measured).
    """

    namespace: str
    kind: Literal["fail", "once"] = "fail"
    count: int = 0
    good: int = -1
    delay_s: float = 0


class BadEventError(Exception):
    """The event says that it fails."""


class Handled:
    """The handlers, and what they count."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.seen = bytearray(job.count)
        self.handled = self.distinct = self.attempts = 0
        self.began_at = self.last_at = 0.0
        self.failed_at_ms: dict[int, int] = {}
        self.most_waiting = 0
        self.late_ms: list[float] = []

    async def fail(self, event: UserRegistered) -> None:
        """Fail for bad events, always."""
        if not self.began_at:
            self.began_at = time.time()
            say(began_at=self.began_at)
        if event.email.endswith(FAILS):
            self.attempts += 1
            raise BadEventError("Processing failed")
        self.handled += 1
        number = number_of(event.email)
        if not self.seen[number]:
            self.seen[number] = 1
            self.distinct += 1
            if self.distinct == self.job.good:
                say(good_at=time.time())

    async def once(self, event: UserRegistered, context: Context) -> None:
        """Fail for bad events at the first attempt; measure how late the second one is."""
        now = time.time()
        self.began_at = self.began_at or now
        if not event.email.endswith(FAILS):
            self.handled += 1
            self.last_at = now
            return
        number = number_of(event.email)
        failed_at_ms = self.failed_at_ms.pop(number, None)
        if failed_at_ms is not None:
            self.late_ms.append(now * 1000 - failed_at_ms - self.job.delay_s * 1000)
            return
        self.failed_at_ms[number] = int(time.time() * 1000)
        self.most_waiting = max(self.most_waiting, len(self.failed_at_ms))
        raise BadEventError("Processing failed")

    def summary(self) -> dict[str, float]:
        """Return what was measured."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        counts = {
            "handled": self.handled,
            "distinct": self.distinct,
            "attempts": self.attempts,
            "cpu_s": round(used.ru_utime + used.ru_stime, 3),
            "rss_mb": round(used.ru_maxrss / 1024, 1),
        }
        return {**counts, **self._lateness()} if self.late_ms else counts

    def _lateness(self) -> dict[str, float]:
        late = sorted(self.late_ms)
        shares = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}
        return {
            "began_at": self.began_at,
            "last_at": self.last_at,
            "retried": len(late),
            "most_waiting": self.most_waiting,
            **{
                n: round(late[min(len(late) - 1, int(len(late) * s))], 1) for n, s in shares.items()
            },
            "max_ms": round(late[-1], 1),
            "earliest_ms": round(late[0], 1),
        }


def say(**line: float) -> None:
    """Tell the benchmark."""
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()
