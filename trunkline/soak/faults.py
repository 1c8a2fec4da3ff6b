"""Ends pods and the broker at random moments of a fixed seed, and starts them again."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from random import Random

from trunkline.broker import EmbeddedBroker
from trunkline.verifying.workers import WorkerError, WorkerProcess

KILL, STOP = "kill -9 of a worker", "SIGTERM of a worker"
KILL_BROKER, RESTART_BROKER = "kill -9 of a broker", "restart of a broker"
FELL_AT_START = "worker ended at its start, without a broker"
_WEIGHTS = {KILL: 4, STOP: 3, KILL_BROKER: 2, RESTART_BROKER: 1}
#: How long what was ended stays away.
_GONE_S = 3.0
_STOP_S = 20.0
_WATCH_S = 0.25
#: A worker that starts just when its broker goes ends with this; whoever runs it starts it again.
_NO_BROKER = "Unable to bootstrap"


class Faults:
    """Makes faults until it is told to stop, and watches the pods.

    Attributes:
        done: How many there were of each kind.
        deaths: Pods that ended without being told to, or not as they should, with their last lines.

    """

    def __init__(
        self,
        pods: Sequence[WorkerProcess],
        victims: Sequence[WorkerProcess],
        broker: EmbeddedBroker | None,
        seed: int,
        every_s: float,
    ) -> None:
        """Describe faults.

        Args:
            pods: All that are watched.
            victims: Those that are ended.
            broker: Ours to be ended; None when it is not.
            seed: Decides what happens.
            every_s: Seconds between two faults, on average; 0 for none.

        """
        self._pods = pods
        self._victims = victims
        self._broker = broker
        self._random = Random(f"faults|{seed}")  # noqa: S311  # the same faults again
        self._every_s = every_s
        self._busy: set[WorkerProcess] = set()
        self._broker_at_s = float("-inf")
        self.done: Counter[str] = Counter()
        self.deaths: list[str] = []

    async def run(self, over: asyncio.Event) -> None:
        """Make faults until ``over``; everything runs again when this returns."""
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch())
            while self._every_s and not await _is_set_within(over, self._pause_s()):
                await self._fault()
            await over.wait()
            watching.cancel()
        await self.wait_ready()

    async def wait_ready(self) -> None:
        """Wait until every pod does its work; one that does not is a death."""
        for pod in self._pods:
            try:
                await pod.wait_ready()
            except WorkerError as error:
                self.deaths.append(str(error))

    def look(self) -> None:
        """Note pods that ended by themselves, and start them again."""
        for pod in self._pods:
            if pod in self._busy or pod.running:
                continue
            if self._broker_was_away(60) and _NO_BROKER in pod.log_tail(300):
                self.done[FELL_AT_START] += 1
            else:
                self.deaths.append(
                    f"{pod.pod} ended by itself ({pod.exit_code}):\n{pod.log_tail()}"
                )
            pod.start()

    def _pause_s(self) -> float:
        return self._every_s * self._random.uniform(0.5, 1.5)

    async def _watch(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(_WATCH_S)

    async def _fault(self) -> None:
        kinds = [
            kind
            for kind in _WEIGHTS
            if self._broker is not None or kind not in {KILL_BROKER, RESTART_BROKER}
        ]
        [kind] = self._random.choices(kinds, [_WEIGHTS[kind] for kind in kinds])
        self.done[kind] += 1
        gone_s = self._random.uniform(0, _GONE_S)
        if kind in {KILL, STOP}:
            await self._end_pod(self._random.choice(self._victims), kind, gone_s)
        else:
            assert self._broker is not None
            await self._end_broker(self._broker, kind, gone_s)

    async def _end_pod(self, pod: WorkerProcess, kind: str, gone_s: float) -> None:
        self._busy.add(pod)
        try:
            if kind == KILL:
                await asyncio.to_thread(pod.kill)
            else:
                await self._stop(pod)
            await asyncio.sleep(gone_s)
            pod.start()
        finally:
            self._busy.discard(pod)

    async def _stop(self, pod: WorkerProcess) -> None:
        try:
            code = await pod.stop(_STOP_S)
        except WorkerError as error:
            self.deaths.append(str(error))
            pod.kill()
            return
        # By the signal itself it ends while it is still being loaded.
        if code not in {0, -signal.SIGTERM} and not self._broker_was_away(_STOP_S):
            self.deaths.append(f"{pod.pod} ended with {code} on SIGTERM:\n{pod.log_tail()}")

    async def _end_broker(self, broker: EmbeddedBroker, kind: str, gone_s: float) -> None:
        node = self._random.randrange(broker.nodes)
        self._broker_at_s = float("inf")
        try:
            if kind == KILL_BROKER:
                await asyncio.to_thread(broker.kill, node)
                await asyncio.sleep(gone_s)
            await asyncio.to_thread(broker.restart_node, node)
        finally:
            self._broker_at_s = time.monotonic()

    def _broker_was_away(self, within_s: float) -> bool:
        return time.monotonic() - self._broker_at_s < within_s


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
