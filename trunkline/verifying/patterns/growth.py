"""Seed, section 2: scaling works automatically by adding more partitions."""

from __future__ import annotations

from dataclasses import replace

from trunkline.topics import apply
from trunkline.topology import AUTH_REGISTERED, Topology
from trunkline.verifying.outcome import Counts, Pattern
from trunkline.verifying.patterns.events import registration
from trunkline.verifying.stage import Stage

_PARTITIONS = 6
_METADATA_MAX_AGE_S = 1


async def _play(stage: Stage) -> tuple[Counts, Counts]:
    pods = stage.pods("db-server", 2, TRUNKLINE_METADATA_MAX_AGE_S=str(_METADATA_MAX_AGE_S))
    await stage.start(*pods)
    await stage.wait_shared(AUTH_REGISTERED, *pods)
    before = stage.topology.topic(AUTH_REGISTERED).partitions

    async with stage.publishing(AUTH_REGISTERED, registration) as sent:

        async def in_use() -> Counts:
            consumed = sum(len(pod.has(AUTH_REGISTERED)) for pod in await stage.look(*pods))
            return {"published_to": len({p.partition for p in sent}), "consumed": consumed}

        await stage.settle({"published_to": before, "consumed": before}, in_use)
        await apply(stage.connection, _grown(stage.topology), grow=True)
        # Publishing goes on while the group notices and rebalances.
        await stage.settle({"published_to": _PARTITIONS, "consumed": _PARTITIONS}, in_use)

    async def count() -> Counts:
        seen = await stage.look(*pods)
        return {
            "partitions_before": before,
            "partitions_published_to": len({place.partition for place in sent}),
            "partitions_consumed": sum(len(pod.has(AUTH_REGISTERED)) for pod in seen),
            "failed": sum(pod.failed for pod in seen),
            **await stage.stored_users(AUTH_REGISTERED),
        }

    expected = {
        "partitions_before": 3,
        "partitions_published_to": _PARTITIONS,
        "partitions_consumed": _PARTITIONS,
        "failed": 0,
        "rows": len(sent),
        "users": len(sent),
        "committed": len(sent),
    }
    return expected, await stage.settle(expected, count)


def _grown(topology: Topology) -> Topology:
    topics = tuple(
        replace(topic, partitions=_PARTITIONS) if topic.name == AUTH_REGISTERED else topic
        for topic in topology.declared_topics
    )
    return replace(topology, declared_topics=topics)


GROWTH = Pattern(
    "partitions-added-live",
    "partitions added to a live topic are picked up without loss",
    ("db-server",),
    _play,
)
