"""All that belongs to one subscription of a pod: its handler, and what its failures are due."""

from __future__ import annotations

from dataclasses import dataclass, field

from trunkline.delivery.breaker import Breaker
from trunkline.delivery.counters import Counters
from trunkline.delivery.flood_guard import FloodGuard
from trunkline.delivery.handler import Subscription
from trunkline.delivery.timing import Histogram
from trunkline.retries.policy import RetryPolicy


@dataclass(frozen=True)
class Target:
    """A subscription with its policy, shared by all its partitions and by its retries.

    Attributes:
        subscription: Topic and handler.
        policy: What becomes of a failed event.
        breaker: Pauses the topic while what its handler needs is away.
        guard: Stops the topic when too many of its events would become dead letters.
        counters: What happened to its events on this pod.
        handler_seconds: How long its handler's calls took; a batch is one call.

    """

    subscription: Subscription
    policy: RetryPolicy
    breaker: Breaker
    guard: FloodGuard
    counters: Counters = field(default_factory=Counters)
    handler_seconds: Histogram = field(default_factory=Histogram)
