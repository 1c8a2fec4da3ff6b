"""The thread that owns aiokafka's consumer (Faust 0.15.3, aiokafka 0.14.0).

With ``faust_internals.py`` this is all that reaches into Faust's consumer; the contract test covers
both. Each override says what stock Faust does and why that will not do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from time import monotonic, sleep
from typing import Any

from aiokafka.errors import (
    CommitFailedError,
    ConsumerStoppedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.utils.futures import maybe_set_exception, maybe_set_result

from trunkline.delivery.fetch_results import FetchResults
from trunkline.delivery.header_names import tolerate_any_header_name
from trunkline.delivery.membership import leave_group, rejoin_group
from trunkline.delivery.tail_client import end_client
from trunkline.security.denial import Denials

#: A commit that the broker does not answer is given up, and made again at the next interval.
COMMIT_TIMEOUT_S = 3.0
#: Closing a client whose broker is gone must not hold up the worker's end.
CLOSE_TIMEOUT_S = 2.0
#: How soon it is looked again whether the broker is there.
_POLL_S = 1.0
#: How long a fetch waits that a right is missing for.
_DENIED_S = 0.5
#: How long the thread leaves the interpreter to the main thread after a hand-over.
_STEP_BACK_S = 0.0001

#: Records by partition, and the positions behind them.
Fetched = tuple[Mapping[TP, list[Any]], Mapping[TP, int]]


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that owns the aiokafka consumer.

    Attributes:
        lost_membership: Whether the last commit failed because the group went on without us.

    """

    mundane_level = "debug"
    lost_membership = False
    denials = Denials()

    def __init__(self, *args: Any, **options: Any) -> None:
        self._fetching: set[asyncio.Task[None]] = set()
        super().__init__(*args, **options)

    def _create_worker_consumer(self, transport: Any) -> Any:
        tolerate_any_header_name()
        consumer = super()._create_worker_consumer(transport)
        # Publishers post lists in transactions; Faust reads uncommitted unless it produces in one.
        consumer._isolation_level = "read_committed"
        # Faust fixes this at 1.5 s; a new partition's first fetch should not wait that long.
        consumer._fetch_max_wait_ms = 500
        return consumer

    async def on_start(self) -> None:
        """Start the consumer; nothing is fetched before it subscribes."""
        if await self._starts_when_the_broker_is_there():
            self.consumer.app.lease.watch(self._consumer._coordinator)
            self._consumer._fetcher._records = FetchResults(
                self.consumer.app.batched_topics,
                self.consumer.note_lost,
                self.consumer.note_unreadable,
                self._consumer._fetcher._fetch_waiters,
            )

    async def _starts_when_the_broker_is_there(self) -> bool:
        """Start; the broker may have gone since the gate saw it, and stock Faust would crash.

        Returns:
            False when the worker was told to end meanwhile.

        """
        said = False
        while True:
            try:
                await super().on_start()
            except KafkaConnectionError as error:
                await end_client(self._consumer)
                if self.should_stop or self.beacon.root.data.should_stop:
                    return False
                if not said:
                    self.log.warning("Waiting for Kafka again: %s", error)
                    said = True
                await asyncio.sleep(_POLL_S)
            else:
                return True

    async def fetch(self, active: set[TP], timeout_s: float, generation: int) -> Fetched:
        """Return fetched records by partition, and the position behind them.

        Nothing is taken for another than this generation of the app's assignments.

        The position is read in the same step as the records, so that it never runs ahead of what
        was handed out; it also moves over transaction markers, which are no records.
        """
        answer: asyncio.Future[Fetched] = self.parent_loop.create_future()
        # Not by way of mode's queue of calls: after each of them it makes three tasks, just when
        # the main thread wants the interpreter for what was fetched.
        self.thread_loop.call_soon_threadsafe(
            self._begin_fetch, answer, active, timeout_s, generation
        )
        return await answer

    def _begin_fetch(self, answer: asyncio.Future[Fetched], *fetch: Any) -> None:
        if answer.cancelled():
            return
        task = self.thread_loop.create_task(self._answer(answer, *fetch))
        self._fetching.add(task)
        task.add_done_callback(self._fetching.discard)

    async def _answer(self, answer: asyncio.Future[Fetched], *fetch: Any) -> None:
        try:
            fetched = await self._fetch(*fetch)
        except BaseException as error:
            self.parent_loop.call_soon_threadsafe(maybe_set_exception, answer, error)
            return
        self.parent_loop.call_soon_threadsafe(maybe_set_result, answer, fetched)
        if fetched[0]:
            # aiokafka asks for more next, which costs as much as to handle what came: without a
            # step back the main thread, which wakes up now, waits for the interpreter meanwhile.
            sleep(_STEP_BACK_S)  # noqa: ASYNC251 - the thread is what is to stand still

    async def _fetch(self, active: set[TP], timeout_s: float, generation: int) -> Fetched:
        app = self.consumer.app
        if not self.consumer.flow_active or generation != app.consumer_generation_id:
            return {}, {}
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        assignment = self._assignment(consumer)
        try:
            with fetcher._subscriptions.fetch_context():
                records = await fetcher.fetched_records(active, timeout=timeout_s)
        except TopicAuthorizationFailedError as error:
            # A right may be taken away, and given back: what the others fetched comes next time.
            self.denials.say(f"{error.args[0]} is not read", error)
            await asyncio.sleep(_DENIED_S)
            return {}, {}
        except GroupAuthorizationFailedError as error:
            self.denials.say("Nothing is read", error)
            # aiokafka joins the group again only when somebody has seen this error.
            with contextlib.suppress(KafkaError):
                consumer._coordinator.check_errors()
            await asyncio.sleep(_DENIED_S)
            return {}, {}
        if assignment is None or assignment is not self._assignment(consumer):
            # It waited across a rebalance, so aiokafka took these from the new assignment, whose
            # position Faust may have set already: without giving them back they would be skipped.
            for tp, found in records.items():
                fetcher.seek_to(tp, found[0].offset)
            return {}, {}
        states = {tp: assignment.state_value(tp) for tp in active}
        positions = {
            tp: state.position
            for tp, state in states.items()
            if state is not None and state.has_valid_position
        }
        return {ensure_TP(tp): found for tp, found in records.items()}, positions

    @staticmethod
    def _assignment(consumer: Any) -> Any:
        subscription = consumer._subscription.subscription
        return subscription and subscription.assignment

    async def stay_in_group(self) -> None:
        """Count as polling while everything is paused.

        aiokafka leaves the group when nothing was fetched for ``max.poll.interval``; Faust does not
        fetch at all while no partition is active.
        """
        await self.call_thread(self._touch)

    async def _touch(self) -> None:
        with self._ensure_consumer()._fetcher._subscriptions.fetch_context():
            pass

    async def ends(self, tps: Collection[TP]) -> Mapping[TP, int]:
        """Ask for the ends of partitions, past the queue of calls to this thread.

        Two of those run at once, and aiokafka asks for 40 s for a leader that is away: two such
        questions there, and nothing would be fetched or committed, of no partition.
        """
        asked = asyncio.run_coroutine_threadsafe(self._highwaters(list(tps)), self.thread_loop)
        found: Mapping[TP, int] = await asyncio.wrap_future(asked)
        return found

    def subscribed(self) -> frozenset[str]:
        """Return the topics that it is subscribed to."""
        return frozenset(self._ensure_consumer().subscription())

    async def revoke_all(self) -> None:
        """Have everything taken away, as a rebalance would do it."""
        await self.call_thread(self._revoke_all)

    async def _revoke_all(self) -> None:
        assignment = self._ensure_consumer().assignment()
        await self._rebalance_listener.on_partitions_revoked(assignment)

    async def leave_group(self) -> None:
        """Leave the group; the client stays open."""
        await self.call_thread(self._leave_group)

    async def _leave_group(self) -> None:
        await leave_group(self._ensure_consumer())

    async def join_group(self, topics: set[str]) -> None:
        """Join the group again."""
        await self.call_thread(self._join_group, topics)

    async def _join_group(self, topics: set[str]) -> None:
        rejoin_group(self._ensure_consumer(), topics, self._rebalance_listener)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit, and say whether it worked; stock Faust crashes the worker on any error."""
        self.lost_membership = False
        try:
            await asyncio.wait_for(
                self._ensure_consumer().commit(
                    {driver.ensure_aiokafka_TP(tp): offset for tp, offset in offsets.items()}
                ),
                COMMIT_TIMEOUT_S,
            )
        except (CommitFailedError, IllegalStateError) as error:
            self.lost_membership = True
            self.log.info("Offsets not committed, the group is rebalancing: %s", error)
            return False
        except TimeoutError:
            self.log.warning("Offsets not committed: no answer in %s s", COMMIT_TIMEOUT_S)
            return False
        except (GroupAuthorizationFailedError, TopicAuthorizationFailedError) as error:
            self.denials.say("Offsets are not committed", error)
            return False
        except KafkaError as error:
            self.log.warning("Offsets not committed, will try again: %r", error)
            return False
        now = monotonic()
        self.tp_last_committed_at.update(dict.fromkeys(offsets, now))
        return True

    async def on_thread_stop(self) -> None:
        """Leave the group, but not at any price: without a broker that never ends."""
        await super(driver.AIOKafkaConsumerThread, self).on_thread_stop()
        if self._consumer is None:
            return
        stopping = asyncio.ensure_future(self._consumer.stop())
        await asyncio.wait({stopping}, timeout=CLOSE_TIMEOUT_S)
        # Without a broker aiokafka's own tasks may cancel it, and mode's thread would never end.
        if not stopping.done() or stopping.cancelled() or stopping.exception():
            self.log.warning("The consumer could not leave its group in time")
            stopping.cancel()
            await end_client(self._consumer)
