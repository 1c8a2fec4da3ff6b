"""What a group does with events that fail: its topics, policies, table and agents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from trunkline.delivery.breaker import Breaker
from trunkline.delivery.counters import Counters
from trunkline.delivery.fenced import FencedTransactions
from trunkline.delivery.flood_guard import FloodGuard
from trunkline.delivery.handler import Subscription
from trunkline.delivery.handover import Handover
from trunkline.delivery.held_keys import HeldKeys
from trunkline.delivery.limits import BreakerLimits, FloodLimits
from trunkline.delivery.tail import TopicTail
from trunkline.delivery.target import Target
from trunkline.retries.failures import DeadBatch
from trunkline.retries.ledger import Ledger
from trunkline.retries.policy import RetryPolicy
from trunkline.retries.store import RetryStore
from trunkline.settings import Settings
from trunkline.topology import FAILURE_HEADERS_BYTES, MAX_MESSAGE_BYTES

#: Largest record of a failures topic.
MAX_FAILURE_BYTES = MAX_MESSAGE_BYTES + FAILURE_HEADERS_BYTES
_FROM_THE_BEGINNING = 2**62


@dataclass(frozen=True)
class FailingEvents:
    """How a group's failed events are dealt with.

    Attributes:
        failures_topic: Real name of ``<group>.failures``.
        held_keys_topic: Real name of ``<group>.held-keys``.
        policy_of: Returns the policy of a source topic, by its real name.
        store: The retries table.
        on_record: The failures agent: applies a record of the failures topic to what waits.
        forward: The dead letters agent: makes dead letters of a batch of events.

    """

    failures_topic: str
    held_keys_topic: str
    policy_of: Callable[[str], RetryPolicy]
    store: RetryStore
    on_record: Callable[[Ledger, Any], None]
    forward: Callable[[DeadBatch], None]

    def held_keys_tail(self, settings: Settings) -> TopicTail:
        """Return what reads the held keys from their beginning."""
        return TopicTail(
            self.held_keys_topic,
            settings.connection,
            replay=_FROM_THE_BEGINNING,
            client_id=f"{settings.pod_name}.held-keys",
            metadata_max_age_s=settings.metadata_max_age_s,
            poll_records=2_000,
        )

    def handover(
        self,
        settings: Settings,
        replica: HeldKeys,
        group: str,
        commit: Callable[[], Awaitable[object]],
        is_member: Callable[[], bool],
    ) -> Handover:
        """Return what writes failed events, with the holds that belong to them."""
        transactions = FencedTransactions(
            settings.connection,
            f"{settings.pod_name}.handover",
            f"{group}.handover-{settings.pod_name}",
            max_request_bytes=MAX_FAILURE_BYTES,
            metadata_max_age_s=settings.metadata_max_age_s,
        )
        return Handover(
            transactions,
            replica,
            self.held_keys_topic,
            MAX_FAILURE_BYTES,
            commit,
            is_member=is_member,
        )


def make_target(subscription: Subscription, policy: RetryPolicy, settings: Settings) -> Target:
    """Return a subscription with its breaker, its flood guard and its counters."""
    counters = Counters()

    def handled() -> int:
        return counters.handled + counters.recovered

    topic = subscription.topic
    return Target(
        subscription,
        policy,
        Breaker(topic, BreakerLimits.of(settings), handled, kind_of=policy.kind_of),
        FloodGuard(topic, FloodLimits.of(settings), handled),
        counters,
    )
