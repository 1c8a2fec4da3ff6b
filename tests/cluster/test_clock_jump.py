"""The clock of one pod is set, an hour ahead and an hour back, while events wait for a retry."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka import AIOKafkaConsumer

from tests.cluster.world import PER_S, SETTINGS
from tests.support.waiting import eventually
from tests.support.worker import ROOT
from trunkline.delivery import failure
from trunkline.verifying.workers import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1200)]

HOUR_S = 3600
#: Retries after 0.5, 1 and 2 s (trunkline/soak/fates.py); and what a busy machine adds.
BACKOFF_S, LATE_S = 3.5, 20.0
#: Dead letters that tell how long it took.
ENOUGH = 5


async def test_a_clock_that_jumps_makes_no_retry_early_and_none_late(world, tmp_path):
    """Back-off is a length of time: it does not matter what a clock says meanwhile."""
    clock = Clock(tmp_path / "clock")
    pod = WorkerProcess(
        "db-server",
        servers=",".join(world.stage.connection.servers),
        namespace=world.stage.topology.namespace,
        directory=world.folder,
        pod="db-server-odd",
        env={**SETTINGS, **clock.environment()},
    )
    world.pods.append(world.stage.adopt(pod))
    await world.begin()
    await world.stage.wait_shared("auth.registered", *world.pods)
    took = Took(world)
    async with took:
        for name, shift_s in (("an hour ahead", HOUR_S), ("an hour back", -HOUR_S)):
            began = time.monotonic()
            clock.set(shift_s)
            await world.flows()
            flows_s = time.monotonic() - began
            # Until events that fail from now on are dead: the back-off takes 3.5 s.
            await took.more()
            world.lines.append(
                f"clock of a pod set {name}: events flow on ({flows_s:.1f} s for {PER_S}), dead "
                f"letters {min(took.seconds):.1f} to {max(took.seconds):.1f} s after their events"
            )
    assert "The system's clock was set by" in pod.log_file.read_text(errors="replace")
    # Neither at once because the clock is ahead, nor in an hour because it is back.
    assert min(took.seconds) >= BACKOFF_S
    assert max(took.seconds) < BACKOFF_S + LATE_S
    await world.account()


class Took:
    """How long it takes from an event that is refused for ever to its dead letter, by our clock."""

    def __init__(self, world):
        self._stage = world.stage
        self.seconds = []

    async def __aenter__(self):
        self._task = asyncio.create_task(self._read())

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.wait({self._task})

    async def more(self):
        """Wait until dead letters came of events that were published after now."""
        self._since = time.time()
        self._news = 0
        await eventually(lambda: self._news >= ENOUGH, 60, "more dead letters")

    async def _read(self):
        topic = self._stage.topology.dead_letters_topic("auth.registered").name
        async with AIOKafkaConsumer(
            topic, isolation_level="read_committed", **self._stage.connection.options()
        ) as consumer:
            async for record in consumer:
                headers = dict(record.headers)
                if headers[failure.KIND] != b"transient":
                    continue  # an invalid one: dead at once
                published = int(headers[failure.TIMESTAMP_MS]) / 1000
                self.seconds.append(time.time() - published)
                self._news += published > self._since

    _since = float("inf")
    _news = 0


class Clock:
    """The system clock of one worker, as its Python sees it; it may be set while that runs."""

    def __init__(self, file):
        self._file = file
        self.set(0)

    def set(self, shift_s):
        """Let the clock be ahead by so many seconds."""
        new = self._file.with_suffix(".new")
        new.write_text(str(shift_s))
        new.rename(self._file)  # at once: it is read all the time

    def environment(self):
        """Return what makes a worker see this clock; monotonic time goes on."""
        return {"ODD_CLOCK": str(self._file), "PYTHONPATH": f"{ROOT / 'tests/support/odd_clock'}"}
