"""Ends pods, takes disks and kills the broker, at random moments of a fixed seed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from tests.chaos.pods import Pod
from trunkline.broker import EmbeddedBroker

KILL, TERMINATE, LOSE_DISK, FREEZE = "kill -9", "SIGTERM", "disk lost", "SIGSTOP"
BROKER = "kill -9 of the broker"
_WEIGHTS = {KILL: 4, TERMINATE: 3, LOSE_DISK: 2}
#: Seconds between two mishaps of pods, between two of the broker, and until what was ended starts.
_PODS_S = (1.0, 6.0)
_BROKER_S = (15.0, 30.0)
_GONE_S = 3.0
#: Longer than the session timeout: another pod has its partitions by then.
_FROZEN_S = (5.0, 8.0)
_WATCH_S = 0.25


class Monkey:
    """Makes mishaps until it is told to stop.

    Attributes:
        done: How many there were of each kind.

    """

    def __init__(
        self, pods: Sequence[Pod], broker: EmbeddedBroker, seed: int, *, freezes: bool = False
    ) -> None:
        self._pods = pods
        self._broker = broker
        self._random = Random(f"monkey|{seed}")
        self._weights = {**_WEIGHTS, **({FREEZE: 2} if freezes else {})}
        self._mishaps: set[asyncio.Task[None]] = set()
        self._broker_is_down = False
        self.done: Counter[str] = Counter()

    async def run(self, over: asyncio.Event) -> None:
        """Make mishaps until ``over``; everything runs again when this returns."""
        ways: list[tuple[tuple[float, float], Callable[[], None]]] = [
            (_PODS_S, self._hit_pod),
            (_BROKER_S, self._hit_broker),
        ]
        now = asyncio.get_running_loop().time
        due = [now() + self._random.uniform(*pause) for pause, _ in ways]
        while not over.is_set():
            for index, (pause, hit) in enumerate(ways):
                if now() >= due[index]:
                    hit()
                    due[index] = now() + self._random.uniform(*pause)
            for pod in self._pods:
                pod.look()
            await asyncio.sleep(_WATCH_S)
        await asyncio.gather(*self._mishaps)

    def _hit_pod(self) -> None:
        [kind] = self._random.choices([*self._weights], [*self._weights.values()])
        pod, gone_s = self._random.choice(self._pods), self._random.uniform(0, _GONE_S)
        frozen_s = self._random.uniform(*_FROZEN_S)
        if not pod.busy:
            pod.busy = True
            self._begin(kind, self._restart(pod, kind, frozen_s if kind == FREEZE else gone_s))

    def _hit_broker(self) -> None:
        node, gone_s = self._random.randrange(self._broker.nodes), self._random.uniform(0, _GONE_S)
        if not self._broker_is_down:  # with two of three gone, nothing would go on
            self._broker_is_down = True
            self._begin(BROKER, self._restart_broker(node, gone_s))

    def _begin(self, kind: str, mishap: object) -> None:
        self.done[kind] += 1
        task = asyncio.ensure_future(mishap)  # type: ignore[call-overload]
        self._mishaps.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            self._mishaps.discard(task)  # a failed one stays, so that run() raises it

    async def _restart(self, pod: Pod, kind: str, seconds: float) -> None:
        try:
            if kind == FREEZE:
                pod.freeze()
                await asyncio.sleep(seconds)
                pod.thaw()
                return
            if kind == TERMINATE:
                await pod.terminate()
            else:
                await asyncio.to_thread(pod.kill)
            if kind == LOSE_DISK:
                pod.lose_disk()
            await asyncio.sleep(seconds)
            pod.start()
        finally:
            pod.busy = False

    async def _restart_broker(self, node: int, seconds: float) -> None:
        await asyncio.to_thread(self._broker.kill, node)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self._broker.restart_node, node)
        self._broker_is_down = False
