"""A Trunkline worker as a contestant that retries: the real thing, with a handler for measuring.

python bench/retrying.py '{"namespace", "plain_group", "kind", "count", "good", "delay_s"}'
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import resource
import sys
import time
from typing import Literal

import msgspec

from agents.failing import failing_events
from models import UserRegistered
from trunkline.bench.failing import FAILS, number_of
from trunkline.bench.ground import EVENTS, ground_topology
from trunkline.delivery.app import DeliveryApp
from trunkline.delivery.event_loop import use_event_loop
from trunkline.delivery.handler import Context, Subscription
from trunkline.delivery.startstop import StartStop
from trunkline.delivery.worker import DeliveryWorker
from trunkline.settings import load_settings

_SAY_S = 0.02


class Job(msgspec.Struct):
    """What to run.

    ``kind`` is ``fail`` (bad events fail at every attempt) or ``once`` (at the first one only, and
    how late the second one is gets measured).
    """

    namespace: str
    plain_group: str
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
            # Rounded down: what is too early by however little must not pass for 0.
            "earliest_ms": math.floor(late[0] * 10) / 10,
        }


def say(**line: float) -> None:
    """Tell the benchmark."""
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


class Reporter:
    """Says how far the worker is, and at its end what was measured."""

    def __init__(self, app: DeliveryApp, handled: Handled) -> None:
        self.app = app
        self.handled = handled
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.task = asyncio.create_task(self.report())

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        say(**self.handled.summary())

    async def report(self) -> None:
        assigned = recovered = False
        said = (-1, -1)
        while True:
            stats = self.app.failures.stats()
            partitions = stats["partitions"]
            if partitions and not assigned:
                assigned = True
                say(assigned=1, assigned_at=time.time())
            if (stats["waiting"], len(self.handled.late_ms)) != said:
                said = (stats["waiting"], len(self.handled.late_ms))
                say(waiting=said[0], retried=said[1])
            if partitions and not recovered and all(p["open"] for p in partitions):
                recovered = True
                say(recovered_at=time.time())
            await asyncio.sleep(_SAY_S)


def make_app(job: Job) -> DeliveryApp:
    """Return the app of one service that reads the benchmark's topic."""
    topology = ground_topology(job.namespace, 1, job.plain_group)
    group = topology.real_name(job.plain_group)
    app = DeliveryApp(group, load_settings(), web_enabled=False)
    handled = Handled(job)
    handler = handled.once if job.kind == "once" else handled.fail
    subscription = Subscription(topology.topic(EVENTS).name, UserRegistered, handler)
    app.subscribe([subscription], failing_events(app, topology, group))
    app.before_consumer.append(StartStop(Reporter(app, handled)))
    return app


if __name__ == "__main__":
    use_event_loop(load_settings())
    made = make_app(msgspec.json.decode(sys.argv[1], type=Job))
    sys.argv[1:] = []
    DeliveryWorker(made, loglevel="WARNING").execute_from_commandline()
