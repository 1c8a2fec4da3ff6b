"""A Trunkline worker as a contestant: the real delivery core, with a handler made for measuring.

python bench/measured.py '{"namespace": …}'

The argument is :class:`trunkline.bench.ground.Job` as JSON. It stands beside the package because it
wires what only an entry point may see: the tables.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import defaultdict
from time import perf_counter

import msgspec

from agents.failing import failing_events
from models import UserRegistered
from trunkline.bench.ground import EVENTS, Job, ground_topology
from trunkline.bench.measure import report
from trunkline.delivery.app import DeliveryApp, DeliveryWorker
from trunkline.delivery.handler import Context, Handler, Subscription
from trunkline.settings import load_settings


class Contestant:
    """Counts what it is given; ends the process when all of it is committed."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._began = self._ended = 0.0
        self._handled = 0
        self._last_offset: dict[bytes | None, int] = defaultdict(lambda: -1)
        self._out_of_order = 0
        settings = load_settings()
        topology = ground_topology(job.namespace, 1, job.group)
        group = topology.real_name(job.group)
        self.app = DeliveryApp(group, settings, web_enabled=False)
        handlers: dict[str, Handler] = {"one": self.one, "batch": self.batch, "wait": self.wait}
        subscription = Subscription(
            topology.topic(EVENTS).name,
            UserRegistered,
            handlers[job.kind],
            "batch" if job.kind == "batch" else "one",
            job.concurrency,
        )
        self.app.subscribe([subscription], failing_events(self.app, topology, group))

    async def one(self, event: UserRegistered) -> None:
        """Do nothing with one event."""
        self._count(1)

    async def batch(self, events: list[UserRegistered]) -> None:
        """Do nothing with a batch."""
        self._count(len(events))

    async def wait(self, event: UserRegistered, context: Context) -> None:
        """Wait as a handler that asks a service does, and check the order of the key."""
        self._began = self._began or perf_counter()
        await asyncio.sleep(random.random() * self._job.wait_ms / 1000)
        if context.offset < self._last_offset[context.key]:
            self._out_of_order += 1
        self._last_offset[context.key] = context.offset
        self._count(1)

    def _count(self, number: int) -> None:
        self._began = self._began or perf_counter()
        self._handled += number
        if self._handled >= self._job.count and not self._ended:
            self._ended = perf_counter()
            asyncio.get_running_loop().create_task(self._finish())

    async def _finish(self) -> None:
        while self.app.consumer._committable() or self._unfinished():
            await asyncio.sleep(0.01)
        report(self._handled, self._ended - self._began, out_of_order=self._out_of_order)
        os.kill(os.getpid(), signal.SIGTERM)

    def _unfinished(self) -> int:
        return sum(tracker.unfinished for tracker in self.app.consumer.trackers.values())


if __name__ == "__main__":
    contestant = Contestant(msgspec.json.decode(sys.argv[1], type=Job))
    DeliveryWorker(contestant.app, loglevel="WARNING").execute_from_commandline()
