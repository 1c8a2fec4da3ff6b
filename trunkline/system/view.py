"""The whole system, as any one worker can show it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import Any

from mode import Service

from trunkline.delivery.follower import TopicFollower
from trunkline.settings import Settings
from trunkline.system.alarms import Alarm, Situation, alarms, health, why_away
from trunkline.system.brokers import Brokers, BrokersView
from trunkline.system.flow import Flow
from trunkline.system.groups import GroupState, group_states, unknown_services
from trunkline.system.history import KEPT_S, STEP_S, History, Point
from trunkline.system.orders import Orders
from trunkline.system.workers import Workers
from trunkline.topology import Topology

logger = logging.getLogger(__name__)


class SystemView(Service):
    """Read what the pods report, ask the brokers for the rest, and remember a quarter of an hour.

    Several workers may have one; they need nothing of each other.

    Attributes:
        topology: Which services, groups and topics there are.
        workers: The pods.
        orders: What operators have ordered.
        history: What the charts show.
        flow: How fast topics grow.

    Args:
        settings: Where Kafka is.
        topology: Which services, groups and topics there are.

    """

    mundane_level = "debug"

    def __init__(self, settings: Settings, topology: Topology, **options: Any) -> None:
        super().__init__(**options)
        self.topology = topology
        self.workers = Workers()
        self.history = History()
        self._lags: dict[str, deque[tuple[float, int]]] = {}
        client_id = f"{settings.pod_name}.console"
        self._follower = TopicFollower.of_topic(
            settings.connection,
            topology.workers_topic().name,
            self.workers.take,
            client_id=client_id,
        )
        self.orders = Orders()
        self._control = TopicFollower.of_topic(
            settings.connection,
            topology.control_topic().name,
            self.orders.take,
            client_id=client_id,
        )
        self.flow = Flow()
        self._brokers = Brokers(
            settings.connection, topology, client_id=client_id, on_view=self.flow.note
        )
        self._task: asyncio.Task[None] | None = None

    def on_init_dependencies(self) -> list[Any]:
        """Return what starts and stops with it."""
        return [self._follower, self._control, self._brokers]

    async def on_start(self) -> None:
        """Begin to remember."""
        self._task = asyncio.create_task(self._remember_forever(), name="system view")

    async def on_stop(self) -> None:
        """Stop remembering."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def caught_up(self) -> bool:
        """Whether the reports that stood in the topic at the start have been read."""
        return self._follower.ready

    @property
    def brokers(self) -> BrokersView:
        """What the brokers said last."""
        return self._brokers.view

    @property
    def away(self) -> str:
        """Why Kafka is away; empty while it answers."""
        return why_away(self.situation())

    def groups(self) -> list[GroupState]:
        """Return the groups as they are now."""
        return group_states(self.topology, self.workers.all(), self.brokers, time.time())

    def situation(self) -> Situation:
        """Return all that the alarms look at."""
        now_s, workers = time.time(), self.workers.all()
        return Situation(
            now_s=now_s,
            workers=workers,
            groups=self.groups(),
            brokers=self.brokers,
            points=self.history.since(now_s - KEPT_S),
            lags={group: list(lags) for group, lags in self._lags.items()},
            pauses=self.orders.names(),
            reading=self._follower.connected,
            unknown=unknown_services(self.topology, workers),
        )

    def alarms(self) -> list[Alarm]:
        """Return what is wrong, the worst first."""
        return alarms(self.situation())

    def health(self) -> tuple[str, str]:
        """Return ``ok``, ``degraded`` or ``failing``, and why in one line."""
        situation = self.situation()
        return health(alarms(situation), situation)

    async def _remember_forever(self) -> None:
        while True:
            await asyncio.sleep(STEP_S)
            try:
                self._remember()
            except Exception:
                logger.exception("The system view could not take a sample; it goes on")

    def _remember(self) -> None:
        """Add a point; before the reports are read there is nothing to add."""
        if not self.caught_up:
            return
        now_s = time.time()
        groups = self.groups()
        lags = [group.lag for group in groups]
        self.history.add(self._point(now_s, None if None in lags else sum(x or 0 for x in lags)))
        for group in groups:
            if group.lag is not None:
                kept = self._lags.setdefault(group.group, deque(maxlen=int(KEPT_S / STEP_S)))
                kept.append((now_s, group.lag))

    def _point(self, now_s: float, lag: int | None) -> Point:
        fresh = self.workers.fresh()
        indexes = [w.report.dead_letters["open"] for w in fresh if "open" in w.report.dead_letters]
        return Point(
            at_s=now_s,
            events_per_s=sum(w.rate("handled", "recovered") for w in fresh),
            failures_per_s=sum(_failures_per_s(w.rates) for w in fresh),
            published_per_s=sum(sum(w.published.values()) for w in fresh),
            lag=lag,
            waiting=sum(w.report.retries.waiting for w in fresh if w.report.retries),
            dead_letters=max(indexes, default=None),
            # Of silent pods, too: one that is heard again must not bring all of its count anew.
            dead=sum(w.report.total("dead") for w in self.workers.all()),
        )


def _failures_per_s(rates: dict[str, dict[str, float]]) -> float:
    """Return failed attempts a second: first ones, and those at waiting events."""
    return sum(
        topic.get("failed", 0.0)
        + topic.get("invalid", 0.0)
        + max(0.0, topic.get("retried", 0.0) - topic.get("recovered", 0.0))
        for topic in rates.values()
    )
