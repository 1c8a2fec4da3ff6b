"""Everything that a group needs for events that fail, from the topology and the settings."""

from __future__ import annotations

from functools import cache

from agents.dead_letters import forward_dead_letters
from agents.failures import apply_failure
from tables.retries import retries_table
from trunkline.delivery.app import DeliveryApp
from trunkline.delivery.failing import FailingEvents
from trunkline.retries.policy import RetryPolicy, policy_for
from trunkline.topology import Topology


def failing_events(
    app: DeliveryApp,
    topology: Topology,
    group: str,
    defaults: dict[str, RetryPolicy] | None = None,
) -> FailingEvents:
    """Put together what becomes of a group's failed events.

    Args:
        app: The group's app; its settings say how often and when events are tried again.
        topology: Names the topics.
        group: Real name of the group.
        defaults: Policies by plain topic name where a handler needs one of its own; settings
            override them.

    """
    settings = app.trunkline

    def policy_of(topic: str) -> RetryPolicy:
        plain = topology.plain_name(topic)
        return policy_for(settings, plain, (defaults or {}).get(plain))

    return FailingEvents(
        topology.failures_topic(group).name,
        topology.held_keys_topic(group).name,
        policy_of,
        retries_table(app, topology, group),
        apply_failure,
        # Remembered: it is asked for each event that is dead.
        forward_dead_letters(group, cache(lambda topic: topology.dead_letters_topic(topic).name)),
    )
