"""One soak: services under load and faults, a report each minute, and the account at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError

from trunkline.broker import EmbeddedBroker
from trunkline.errors import BrokerError
from trunkline.soak.account import GROUPS, draw_up
from trunkline.soak.fates import RETRIES, Shares, refuse_rows
from trunkline.soak.faults import Faults
from trunkline.soak.load import Load
from trunkline.soak.memory import Memory
from trunkline.soak.report import Minute, Report
from trunkline.soak.rest import all_open
from trunkline.topology import AUTH_REGISTERED, ORDER_CREATED
from trunkline.verifying.stage import Stage
from trunkline.verifying.workers import WorkerError, WorkerProcess

_PUBLISHERS = {"auth-service": AUTH_REGISTERED, "order-service": ORDER_CREATED}
_SAMPLE_S = 5.0
_LOOK_S = 0.5
_ASK_S = 10.0
_SETTINGS = {**RETRIES, "TRUNKLINE_SESSION_TIMEOUT_S": "6", "TRUNKLINE_PUBLISH_TIMEOUT_S": "5"}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What a soak is told.

    Attributes:
        minutes: How long it publishes.
        per_s: Events a second.
        seed: Decides events and faults.
        every_s: Seconds between two faults, on average; 0 for none.
        patience_s: How long all may take to come to rest afterwards.
        shares: How many events fail.

    """

    minutes: float
    per_s: float = 200.0
    seed: int = 1
    every_s: float = 30.0
    patience_s: float = 120.0
    shares: Shares = field(default_factory=Shares)


class Soak:
    """A soak on a stage of its own.

    Args:
        plan: What to do.
        stage: With all services: dlq reads the dead letters of all of them.
        folder: Of the stage.
        broker: Ours to be killed; None when the cluster is somebody else's.
        say: Takes a line each minute.

    """

    def __init__(
        self, plan: Plan, stage: Stage, folder: Path, broker: EmbeddedBroker | None, say: Say
    ) -> None:
        self._plan = plan
        self._stage = stage
        self._folder = folder
        self._broker = broker
        self._say = say
        self._memory = Memory()
        self._report = Report(plan.seed)
        pairs = [stage.pods(name, 2, **_SETTINGS) for name in GROUPS]
        publishers = [stage.pods(name, 1, **_SETTINGS)[0] for name in _PUBLISHERS]
        [self._dlq] = stage.pods("dlq", 1, **_SETTINGS)
        self._pods = [*(pod for pair in pairs for pod in pair), *publishers, self._dlq]
        # These live through it all, so that their memory can be judged.
        self._steady = [*(first for first, _ in pairs), self._dlq]
        topics = dict(zip(_PUBLISHERS.values(), publishers, strict=True))
        self._load = Load(stage, topics, plan.per_s, plan.seed, plan.shares)
        victims = [pod for pod in self._pods if pod not in self._steady]
        self._faults = Faults(self._pods, victims, broker, plan.seed, plan.every_s)

    async def __call__(self) -> Report:
        """Run it, and judge.

        Raises:
            WorkerError: A service did not start, or a publisher gave an answer that no outage
                explains.

        """
        report, stage = self._report, self._stage
        await stage.start(*self._pods)
        refuse_rows(self._folder / "data")
        await self._under_faults()
        await self._come_to_rest()
        steady = [pod.pod for pod in self._steady]
        report.growth = self._memory.growth(steady, self._plan.minutes * 60)
        report.faults, report.deaths = dict(self._faults.done), self._faults.deaths
        await asyncio.gather(*(self._stop(pod) for pod in self._pods))
        report.account = await draw_up(stage, self._load.acknowledged)
        return report

    async def _under_faults(self) -> None:
        load, report = self._load, self._report
        over, began = asyncio.Event(), time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            publishing = tasks.create_task(load.run())
            watching = tasks.create_task(self._watch())
            making = tasks.create_task(self._faults.run(over))
            await asyncio.sleep(self._plan.minutes * 60)
            over.set()
            await making
            load.end()
            await publishing
            watching.cancel()
        report.seconds = round(time.monotonic() - began, 1)
        report.longest_pause_s = round(load.pause.longest_s, 1)
        report.answers = dict(load.answers)
        report.posted_again = load.posted_again

    async def _watch(self) -> None:
        began = told_at = time.monotonic()
        told, minute = 0, 1
        while True:
            now = time.monotonic()
            self._sample(now - began)
            if now - began >= minute * 60:
                await self._tell(minute, (self._load.count - told) / (now - told_at))
                told, told_at, minute = self._load.count, now, minute + 1
            await asyncio.sleep(_SAMPLE_S)

    def _sample(self, at_s: float) -> None:
        for pod in self._pods:
            self._memory.sample(pod.pod, pod.pid, at_s)
        for number, pid in enumerate(self._broker.pids() if self._broker else ()):
            self._memory.sample(f"kafka-{number}", pid, at_s)

    async def _tell(self, minute: int, per_s: float) -> None:
        stats = await asyncio.gather(*map(_ask, self._pods))
        told = Minute(
            minute,
            self._load.count,
            round(per_s, 1),
            await self._lag(),
            sum(map(_waiting, stats)),
            _dead(await _ask(self._dlq)),
            self._faults.done.total(),
            self._memory.now_mb(),
        )
        self._report.minutes.append(told)
        self._say(str(told))

    async def _lag(self) -> int | None:
        """Return what the groups have not committed, as Kafka says; None while it does not."""
        stage, lag = self._stage, 0
        with suppress(KafkaError, BrokerError, OSError, TimeoutError):
            async with asyncio.timeout(_ASK_S):
                for service, (topics, _) in GROUPS.items():
                    group = stage.topology.service(service).group
                    assert group is not None
                    for topic in topics:
                        name = stage.topology.topic(topic).name
                        ends = await stage.observer.ends(name)
                        committed = await stage.observer.committed(group, name)
                        lag += sum(end - committed.get(p, 0) for p, end in ends.items())
                return lag
        return None

    async def _come_to_rest(self) -> None:
        """Wait until nothing is left to do; what is left when patience ends is told."""
        report, began = self._report, time.monotonic()
        while time.monotonic() - began < self._plan.patience_s:
            self._faults.look()
            stats = await asyncio.gather(*map(_ask, self._pods))
            lag, waiting = await self._lag(), sum(map(_waiting, stats))
            behind = sum((one.get("retries") or {}).get("lag") or 0 for one in stats)
            if lag == waiting == behind == 0 and all(stats) and _are_open(self._pods, stats):
                report.rest_s = round(time.monotonic() - began, 1)
                return
            report.left = f"lag {lag}, {waiting} wait for a retry, {behind} failures not applied"
            await asyncio.sleep(_LOOK_S)

    async def _stop(self, pod: WorkerProcess) -> None:
        try:
            code = await pod.stop(20)
        except WorkerError as error:
            self._report.deaths.append(str(error))
            return
        if code:
            self._report.deaths.append(f"{pod.pod} ended with {code}:\n{pod.log_tail()}")


def _are_open(pods: Sequence[WorkerProcess], stats: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether all that waits is counted: in every group, see :func:`~.rest.all_open`."""
    told = list(zip(pods, stats, strict=True))
    return all(
        all_open([one["retries"] for pod, one in told if pod.service == service])
        for service in GROUPS
    )


async def _ask(pod: WorkerProcess) -> Mapping[str, Any]:
    """Return a pod's ``/stats``; empty when it does not answer."""
    with suppress(WorkerError):
        return await pod.stats()
    return {}


def _waiting(stats: Mapping[str, Any]) -> int:
    waiting: int = (stats.get("retries") or {}).get("waiting", 0)
    return waiting


def _dead(stats: Mapping[str, Any]) -> int:
    overview = stats.get("dead_letters") or {}
    return sum(overview.get(part, 0) for part in ("open", "redriven", "discarded"))
