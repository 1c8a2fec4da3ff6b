"""A Trunkline worker as a contestant: the real delivery core, with a handler made for measuring.

python bench/measured.py '{"namespace": …}'

The argument is :class:`trunkline.bench.ground.Job` as JSON. It stands beside the package because it
wires what only an entry point may see: the tables.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections import defaultdict

import msgspec

from agents.failing import failing_events
from models import UserRegistered
from trunkline.bench.ground import EVENTS, Job, ground_topology
from trunkline.bench.tally import Lateness, Tally, say
from trunkline.delivery.app import DeliveryApp
from trunkline.delivery.event_loop import use_event_loop
from trunkline.delivery.handler import Context, Handler, Subscription
from trunkline.delivery.startstop import StartStop
from trunkline.delivery.worker import DeliveryWorker
from trunkline.settings import load_settings


class Handlers:
    """Count what they are given; ``start`` and ``stop`` with the worker."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.out_of_order = 0
        self.journal = -1
        self.last_offset: dict[bytes | None, int] = defaultdict(lambda: -1)
        skipped, share = job.skipped, job.share
        self.tally = Lateness(job.count, skipped) if skipped else Tally(job.count, share)

    def handler(self) -> Handler:
        ways: dict[str, Handler] = {
            "one": self.one,
            "batch": self.batch,
            "wait": self.wait,
            "journal": self.write_down,
        }
        return ways[self.job.kind]

    async def one(self, event: UserRegistered) -> None:
        """Count one event."""
        self.tally.event(event.user_id, event.email)

    async def batch(self, events: list[UserRegistered]) -> None:
        """Count a batch."""
        if self.job.skipped is None:
            self.tally.batch([event.user_id for event in events])
            return
        for event in events:
            self.tally.event(event.user_id, event.email)

    async def wait(self, event: UserRegistered, context: Context) -> None:
        """Wait as a handler that asks a service does, and check the order of the key."""
        self.tally.begin()
        await asyncio.sleep(random.random() * self.job.wait_ms / 1000)
        if context.offset < self.last_offset[context.key]:
            self.out_of_order += 1
        self.last_offset[context.key] = context.offset
        # Many events have one user here; on one partition the offset is a number of their own.
        self.tally.event(str(context.offset), event.email)

    async def write_down(self, event: UserRegistered, context: Context) -> None:
        """Write place and time to a file, by one system call: it survives ``kill -9``."""
        line = b"%d %d %.6f\n" % (context.partition, context.offset, time.time())
        os.write(self.journal, line)

    async def start(self) -> None:
        """Open the journal."""
        if self.job.journal is not None:
            self.journal = os.open(self.job.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    async def stop(self) -> None:
        """Say what came."""
        say(**self.tally.summary(), out_of_order=self.out_of_order)


def make_app(job: Job) -> DeliveryApp:
    """Return the app of one service that reads the benchmark's topic."""
    topology = ground_topology(job.namespace, 1, job.plain_group)
    group = topology.real_name(job.plain_group)
    app = DeliveryApp(group, load_settings(), web_enabled=False)
    handlers = Handlers(job)
    subscription = Subscription(
        topology.topic(EVENTS).name,
        UserRegistered,
        handlers.handler(),
        "batch" if job.kind == "batch" else "one",
        job.concurrency,
    )
    app.subscribe([subscription], failing_events(app, topology, group))
    app.before_consumer.append(StartStop(handlers))
    return app


if __name__ == "__main__":
    use_event_loop(load_settings())
    made = make_app(msgspec.json.decode(sys.argv[1], type=Job))
    sys.argv[1:] = []
    DeliveryWorker(made, loglevel="WARNING").execute_from_commandline()
