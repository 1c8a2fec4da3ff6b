"""One run: publish under mishaps, let everything come to rest, and judge."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiokafka.errors import KafkaError

from tests.chaos.events import Events
from tests.chaos.evidence import (
    Evidence,
    journals_of,
    read_events,
    read_letters,
    read_rows,
    sort_letters,
)
from tests.chaos.fates import Place
from tests.chaos.groups import GROUPS, chaos_topology
from tests.chaos.monkey import Monkey
from tests.chaos.oracle import counts, judge
from tests.chaos.pods import PODS_PER_GROUP, Pod
from tests.chaos.publisher import Publisher
from tests.chaos.quiet import Backlog, Watch
from tests.chaos.report import Report
from tests.chaos.violations import Violation
from trunkline.broker import EmbeddedBroker
from trunkline.connection import KafkaConnection
from trunkline.delivery.producer import RecordMetadata
from trunkline.topics import apply

_LOOK_S = 1.0
_NO_PROGRESS_S = 20.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What a run is told.

    Attributes:
        events: How many are published.
        keys: Of how many keys they are.
        seconds: For how long there are mishaps; events are published in the first nine tenths.
        seed: Decides events, mishaps and outcomes.
        patience_s: How long everything may take to come to rest after the last mishap.
        mishaps: Whether there are any.
        freezes: Whether pods are also stopped for longer than their session: two pods may be at one
            key for that moment, which the order check then tells.

    """

    events: int
    keys: int
    seconds: float
    seed: int
    patience_s: float = 300.0
    mishaps: bool = True
    freezes: bool = False


class Run:
    """A run on a broker of its own.

    Args:
        plan: What to do.
        broker: Runs already; it is killed and started again.
        folder: Where pods write journals, logs and data.
        say: Takes lines about how it goes.

    """

    def __init__(
        self, plan: Plan, broker: EmbeddedBroker, folder: Path, say: Say = lambda _: None
    ) -> None:
        self._plan = plan
        self._broker = broker
        self._servers = broker.bootstrap_servers
        self._folder = folder
        self._say = say
        self._namespace = f"chaos-{plan.seed}"
        self._topology = chaos_topology(self._namespace)
        self._pods = [
            Pod(folder, self._servers, self._namespace, group, number=number, seed=plan.seed)
            for group in GROUPS
            for number in range(1, PODS_PER_GROUP + 1)
        ]
        self._report = Report(plan.seed)

    async def __call__(self) -> Report:
        """Run, judge, and write the report into the folder."""
        await apply(KafkaConnection.plaintext(self._servers), self._topology)
        try:
            for pod in self._pods:
                pod.start()
            for pod in self._pods:
                await pod.wait_ready()
            publisher = await self._timed("mishaps", self._publish_under_mishaps())
            await self._timed("rest", self._wait_for_rest())
            await asyncio.gather(*(pod.terminate(kafka_is_well=True) for pod in self._pods))
        finally:
            for pod in self._pods:
                pod.kill()
        await self._timed("judging", self._judge(publisher))
        self._report.save(self._folder)
        return self._report

    async def _publish_under_mishaps(self) -> Publisher:
        plan = self._plan
        events = Events(self._topology, plan.seed, plan.keys)
        publisher = Publisher(self._servers, events, plan.events, plan.seconds * 0.9)
        monkey = Monkey(self._pods, self._broker, plan.seed, freezes=plan.freezes)
        over = asyncio.Event()
        mishaps = asyncio.create_task(monkey.run(over) if plan.mishaps else over.wait())
        tasks = [mishaps, asyncio.create_task(self._tell(publisher, monkey))]
        try:
            began = time.monotonic()
            await publisher.run()
            await asyncio.sleep(max(0.0, plan.seconds - (time.monotonic() - began)))
            over.set()
            await mishaps
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._report.mishaps = dict(monkey.done)
        if fell := sum(pod.fell_at_start for pod in self._pods):
            self._report.mishaps["ended at start without a broker"] = fell
        self._report.resent = publisher.resent
        return publisher

    async def _tell(self, publisher: Publisher, monkey: Monkey) -> None:
        while True:
            await asyncio.sleep(10)
            self._say(
                f"{len(publisher.acknowledged)} published, {sum(monkey.done.values())} mishaps"
            )

    async def _wait_for_rest(self) -> None:
        """Wait until nothing is left to do; what is left when patience ends is a violation."""
        give_up_at = time.monotonic() + self._plan.patience_s
        backlogs: Mapping[str, Backlog] = {}
        progress = Progress()
        async with Watch(self._servers, self._topology) as watch:
            while time.monotonic() < give_up_at:
                for pod in self._pods:
                    pod.look()
                with suppress(TimeoutError, KafkaError):
                    async with asyncio.timeout(60):
                        backlogs = await watch.backlogs()
                if backlogs and not any(backlogs.values()):
                    return
                for group, backlog in backlogs.items():
                    self._say(f"{group}: {backlog}")
                    if backlog and progress.ended(group, str(backlog)):
                        self._show_tasks(group)
                await asyncio.sleep(_LOOK_S)
        self._report.add(
            Violation(
                "stuck",
                f"{group} did not come to rest: {backlog}",
                [*backlog.waiting, *backlog.held],
            )
            for group, backlog in backlogs.items()
            if backlog
        )

    def _show_tasks(self, group: str) -> None:
        """Find out why a group does nothing any more."""
        self._report.mishaps["made no progress"] = (
            self._report.mishaps.get("made no progress", 0) + 1
        )
        for pod in self._pods:
            if pod.group == group:
                pod.show_tasks()

    async def _judge(self, publisher: Publisher) -> None:
        plain = self._topology.plain_name
        letters, strays = sort_letters(
            await read_letters(self._servers, self._topology), self._topology
        )
        evidence = Evidence(
            seed=self._plan.seed,
            events=await read_events(self._servers, self._topology),
            acknowledged={n: _place(plain, at) for n, at in publisher.acknowledged.items()},
            lines=journals_of(self._folder),
            letters=letters,
            strays=strays,
            rows=read_rows(self._folder, self._topology),
        )
        self._report.published = len(evidence.events)
        self._report.groups = counts(evidence)
        self._report.add(judge(evidence))
        self._report.add(
            Violation("pod", death.splitlines()[0], death.splitlines()[1:])
            for pod in self._pods
            for death in pod.deaths
        )

    async def _timed(self, name: str, work):
        began = time.monotonic()
        result = await work
        self._report.seconds[name] = round(time.monotonic() - began, 1)
        return result


class Progress:
    """Notices when a group's backlog has not changed for long."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[str, float]] = {}

    def ended(self, group: str, backlog: str) -> bool:
        """Tell, once for each backlog, that it is the same as some time ago."""
        now = time.monotonic()
        last, since = self._since.get(group, ("", now))
        if backlog != last:
            self._since[group] = backlog, now
        elif now - since > _NO_PROGRESS_S:
            self._since[group] = backlog, float("inf")
            return True
        return False


def _place(plain: Callable[[str], str], at: RecordMetadata) -> Place:
    return Place(plain(at.topic), at.partition, at.offset)
