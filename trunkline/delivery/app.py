"""The Faust app with our delivery core: subscriptions become agents, acks stay in our hands."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import faust
from faust.exceptions import ConsumerNotStarted, ProducerSendError
from faust.topics import Topic as FaustTopic
from faust.types import TP
from mode import Service

from trunkline.delivery.client_tasks import DeadClientError
from trunkline.delivery.consumer_thread import CLOSE_TIMEOUT_S
from trunkline.delivery.dispatch import Dispatcher
from trunkline.delivery.draining import Drain
from trunkline.delivery.failing import FailingEvents, make_target
from trunkline.delivery.faust_internals import BatchTopic, Transport, set_current_event
from trunkline.delivery.faust_security import faust_credentials
from trunkline.delivery.faust_tables import TableManager
from trunkline.delivery.gate import BrokerGate, abort, require_free_port
from trunkline.delivery.handler import Subscription
from trunkline.delivery.held_keys import HeldKeys
from trunkline.delivery.keeper import HoldKeeper
from trunkline.delivery.lease import Lease
from trunkline.delivery.pauses import Pauses
from trunkline.delivery.progress import Progress
from trunkline.delivery.stale_membership import leave_if_topics_are_new
from trunkline.delivery.startstop import StartStop
from trunkline.delivery.target import Target
from trunkline.delivery.timing import Histogram
from trunkline.delivery.worker import DeliveryBoot, DeliveryWorker
from trunkline.errors import ConfigurationError
from trunkline.retries.attempt import Attempts
from trunkline.retries.failures import DeadBatch, Failures
from trunkline.settings import Settings

logger = logging.getLogger(__name__)

#: How often the flood guards are told the time.
_LOOK_S = 1.0
#: How often the brokers are asked for the ends of what is paused.
_ASK_S = 5.0


class DeliveryApp(faust.App):
    """A Faust app whose agents handle events as ``trunkline.delivery`` promises.

    An offset is committed only when its event was handled, or handed over (broker-acknowledged) to
    the group's failures topic. Stock agents may stand beside ours; they keep Faust's behaviour.
    """

    BootStrategy = DeliveryBoot
    mundane_level = "debug"

    def __init__(self, app_id: str, settings: Settings, **options: Any) -> None:
        self.trunkline = settings
        self.max_unfinished = settings.max_unfinished
        self.max_unfinished_bytes = settings.max_unfinished_bytes
        self.drain_timeout_s = settings.drain_timeout_s
        self.shutdown_timeout_s = settings.shutdown_timeout_s
        self.batched_topics: frozenset[str] = frozenset()
        #: Services that start after the broker is there and before anything is consumed.
        self.before_consumer: list[Service] = []
        self.gate = BrokerGate(settings)
        #: What an operator has paused, and whether this pod is drained.
        self.pauses = Pauses()
        self.drain = Drain(self)
        #: Made by :meth:`subscribe`; an app without subscriptions has none.
        self.dispatcher: Dispatcher | None = None
        self.targets: dict[str, Target] = {}
        #: Whether the group has just said that this worker is a member of it.
        self.lease = Lease(settings.session_timeout_s)
        #: Whether the group has given this worker its partitions, be it none.
        self.has_assignment = False
        #: Whether an operator has paused a partition.
        self.is_paused: Callable[[TP], bool] = lambda tp: self.pauses.covers(*tp)
        #: Which partitions are stuck; made by :meth:`subscribe`.
        self.progress: Progress | None = None
        #: Offsets that retention deleted before this worker could handle them.
        self.lost = 0
        #: How often a partition's next batch could not be read.
        self.unreadable = 0
        self.rebalances = 0
        self.last_rebalance: dict[str, Any] = {}
        self.last_commit_s = 0.0
        self.commit_seconds = Histogram()
        #: How often offsets were not committed that could have been.
        self.commit_failures = 0
        super().__init__(app_id, **{**faust_options(settings), **options})

    def _new_transport(self) -> Any:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Any:
        return Transport(self.conf.broker_producer, self)

    async def _wait_for_table_recovery_completed(self) -> bool:
        if not self.batched_topics:
            return bool(self.should_stop)
        return bool(await super()._wait_for_table_recovery_completed())

    async def on_first_start(self) -> None:
        """Look whether the web port is free, for a message that says what to do."""
        if self.boot_strategy._should_enable_web():
            try:
                require_free_port(self.conf.web_bind, self.conf.web_port)
            except ConfigurationError as error:
                abort(error)
        await super().on_first_start()

    def _create_directories(self) -> None:
        try:
            # Faust does not make the parents.
            self.conf.datadir.mkdir(parents=True, exist_ok=True)
            super()._create_directories()
        except OSError as error:
            abort(
                ConfigurationError(
                    f"TRUNKLINE_DATA_DIR: {error.filename} cannot be made: {error.strerror}. "
                    f"Name a folder that user id {os.getuid()} may write to."
                )
            )

    def _on_rebalance_when_stopped(self) -> None:
        """Do nothing: the consumer's thread closes its client itself, in its own loop."""

    async def _producer_flush(self, logger: Any) -> None:
        try:
            await asyncio.wait_for(super()._producer_flush(logger), CLOSE_TIMEOUT_S)
        except (TimeoutError, ProducerSendError) as error:
            logger.warning("The producer's buffer could not be flushed: %r", error)

    # -- wiring

    async def _leave_if_topics_are_new(self) -> None:
        await leave_if_topics_are_new(
            self.trunkline.connection, self.conf.id, self.trunkline.pod_name, self.batched_topics
        )

    def subscribe(self, subscriptions: Sequence[Subscription], failing: FailingEvents) -> None:
        """Make an agent for each subscription, one for failed events and one for dead letters.

        Args:
            subscriptions: Topics and their handlers.
            failing: What becomes of events that fail.

        """
        settings = self.trunkline
        self.targets = {
            s.topic: make_target(s, failing.policy_of(s.topic), settings) for s in subscriptions
        }
        replica = HeldKeys(failing.held_keys_tail(settings))
        handover = failing.handover(
            settings, replica, self.conf.id, self._commit, lambda: self.lease.holds
        )
        self.keeper = HoldKeeper(
            replica,
            handover,
            group=self.conf.id,
            failures_topic=failing.failures_topic,
            held_keys_topic=failing.held_keys_topic,
        )
        dead = self.channel()
        self.failures = Failures(
            failing.failures_topic,
            failing.held_keys_topic,
            failing.store,
            {topic: Attempts(target) for topic, target in self.targets.items()},
            failing.on_record,
            self._sender_of(dead),
            settings.retry_concurrency,
            self.pauses,
        )
        self.progress = Progress(self, settings.stuck_after_s)
        self.before_consumer += [StartStop(handover), replica, self.keeper, self.progress]
        self.dispatcher = Dispatcher(
            self.targets, self.keeper, self.failures, set_current_event, self.pauses
        )
        topics = [*self.targets, failing.failures_topic]
        self.batched_topics = frozenset(topics)
        if settings.static_membership:
            self.gate.checks.append(self._leave_if_topics_are_new)
        for name in topics:
            topic = BatchTopic(self, topics=[name])
            self.agent(topic, name=f"trunkline.{name}")(self._dispatching())
        self.agent(dead, name="trunkline.dead_letters")(self._forwarding(failing.forward))
        self.timer(_LOOK_S)(self._look_at_guards)
        self.timer(_LOOK_S)(self._look_at_client)
        self.timer(_ASK_S)(self._ask_for_ends)

    @property
    def has_stock_agents(self) -> bool:
        """Whether agents that are not ours read topics."""
        return any(
            isinstance(agent.channel, FaustTopic) and not isinstance(agent.channel, BatchTopic)
            for agent in self.agents.values()
        )

    async def _look_at_guards(self) -> None:
        for target in self.targets.values():
            target.guard.look()

    async def _look_at_client(self) -> None:
        try:
            self.consumer.require_living_client()
        except DeadClientError as error:
            if not self.should_stop:
                await self.crash(error)

    async def _ask_for_ends(self) -> None:
        """Keep the lag of what is paused true: no fetch tells where its partitions end."""
        if not (self.rebalancing or self.should_stop):
            await self.consumer.ask_for_ends({tp for tp in self.assigned() if self.is_paused(tp)})

    async def _commit(self) -> None:
        await self.consumer.commit()

    def _sender_of(self, channel: Any) -> Callable[[DeadBatch], None]:
        """Return what puts a batch into a channel, without waiting for the agent."""
        sending: set[asyncio.Task[None]] = set()

        def send(batch: DeadBatch) -> None:
            task = asyncio.create_task(channel.put(batch))
            sending.add(task)
            task.add_done_callback(sending.discard)

        return send

    def _dispatching(self) -> Callable[[Any], Any]:
        async def handle_batches(stream: Any) -> None:
            assert self.dispatcher is not None
            async for event in _events(stream):
                async with self._ending_on_mistakes():
                    self.dispatcher.dispatch(event.value, event)

        return handle_batches

    @asynccontextmanager
    async def _ending_on_mistakes(self) -> AsyncIterator[None]:
        """End the worker on a mistake of ours, for its supervisor to start it anew.

        Faust would let the agent die, and the worker would go on, in its group and idle.
        """
        try:
            yield
        except Exception as error:
            await self.crash(error)
            raise

    def _forwarding(self, forward: Callable[[DeadBatch], None]) -> Callable[[Any], Any]:
        async def dead_letters(stream: Any) -> None:
            async for batch in stream:
                async with self._ending_on_mistakes():
                    forward(batch)

        return dead_letters

    def assigned(self) -> set[TP]:
        """Return the partitions that this worker has; none before its consumer has started."""
        if not self.gate.open:
            return set()
        try:
            return set(self.consumer.assignment())
        except ConsumerNotStarted:
            return set()

    # -- told by the consumer

    def on_revoked(self, revoked: set[TP]) -> None:
        """Note the partitions that a rebalance takes."""
        if self.drain.state == "drained":
            return  # they went when it was drained; this is the way back into the group
        self.rebalances += 1
        self.last_rebalance = {"at_ms": int(time.time() * 1000), "revoked": _names(revoked)}

    def on_committed(self, seconds: float) -> None:
        """Note how long the last commit took."""
        self.last_commit_s = seconds
        self.commit_seconds.observe(seconds)

    def on_rebalance_end(self) -> None:
        """Log what moved, and note it for ``/stats``."""
        super().on_rebalance_end()
        self.has_assignment = True
        assigned = _names(self.consumer.assignment())
        before = set(self.last_rebalance.get("revoked", ()))
        self.last_rebalance |= {
            "assigned": assigned,
            "gained": sorted(set(assigned) - before),
            "lost": sorted(before - set(assigned)),
        }
        logger.info(
            "Rebalanced: %s partition(s); gained %s, lost %s",
            len(assigned),
            self.last_rebalance["gained"],
            self.last_rebalance["lost"],
        )


async def _events(stream: Any) -> AsyncIterator[Any]:
    async for _ in stream.noack():
        yield stream.get_active_stream().current_event


def _names(tps: Iterable[TP]) -> list[str]:
    return sorted(f"{tp.topic}[{tp.partition}]" for tp in tps)


def faust_options(settings: Settings) -> dict[str, Any]:
    """Translate our settings into Faust's."""
    return {
        "broker": [f"aiokafka://{server}" for server in settings.bootstrap_servers],
        "broker_credentials": faust_credentials(settings.connection),
        "broker_client_id": settings.pod_name,
        "broker_commit_interval": settings.commit_interval_s,
        "broker_max_poll_interval": settings.max_poll_interval_s,
        "broker_session_timeout": settings.session_timeout_s,
        "broker_heartbeat_interval": min(3.0, settings.session_timeout_s / 3),
        "broker_rebalance_timeout": max(settings.max_poll_interval_s, settings.drain_timeout_s * 2),
        "broker_request_timeout": max(40.0, settings.session_timeout_s + 10),
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": settings.pod_name if settings.static_membership else None,
        "consumer_metadata_max_age_ms": int(settings.metadata_max_age_s * 1000),
        "producer_metadata_max_age_ms": int(settings.metadata_max_age_s * 1000),
        "consumer_max_fetch_size": 1024 * 1024,
        "producer_acks": -1,
        "stream_wait_empty": True,
        # Without tables this lets aiokafka spread the partitions; with tables Faust must.
        "table_standby_replicas": 0,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "autodiscover": False,
        "datadir": str(settings.pod_dir),
        "web_bind": settings.web_host,
        "web_port": settings.web_port or 6066,
        "web_host": settings.web_host,
        "worker_redirect_stdouts": False,
        "Worker": DeliveryWorker,
        "TableManager": TableManager,
    }
