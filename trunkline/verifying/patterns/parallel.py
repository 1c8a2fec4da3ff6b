"""Seed, section 2: as many pods as partitions, each with one of them."""

from __future__ import annotations

from trunkline.topology import ORDER_CREATED
from trunkline.verifying.outcome import Counts, Pattern
from trunkline.verifying.patterns.events import orders
from trunkline.verifying.stage import Stage

_PODS = 4
_EVENTS = 400


async def _play(stage: Stage) -> tuple[Counts, Counts]:
    pods = stage.pods("engine", _PODS)
    await stage.start(*pods)
    await stage.wait_shared(ORDER_CREATED, *pods)
    sent = await stage.publish(ORDER_CREATED, orders(_EVENTS))
    topic = stage.topology.topic(ORDER_CREATED)

    async def count() -> Counts:
        seen = await stage.look(*pods)
        return {
            "partitions_of_each_pod": [len(pod.has(ORDER_CREATED)) for pod in seen],
            "partitions_with_a_pod": len({p for pod in seen for p in pod.has(ORDER_CREATED)}),
            "pods_that_handled_just_their_partition": sum(
                pod.handled.get(ORDER_CREATED, 0)
                == sum(place.partition in pod.has(ORDER_CREATED) for place in sent)
                for pod in seen
            ),
            "handled": sum(pod.handled.get(ORDER_CREATED, 0) for pod in seen),
            "rows": stage.database("engine").events(topic.name),
            "committed": await stage.committed("engine", ORDER_CREATED),
            "failed": sum(pod.failed for pod in seen),
        }

    expected = {
        "partitions_of_each_pod": [1] * _PODS,
        "partitions_with_a_pod": topic.partitions,
        "pods_that_handled_just_their_partition": _PODS,
        "handled": _EVENTS,
        "rows": _EVENTS,
        "committed": _EVENTS,
        "failed": 0,
    }
    return expected, await stage.settle(expected, count)


PARALLEL = Pattern(
    "four-partitions-four-pods",
    "four pods of one service have one partition of four each",
    ("engine",),
    _play,
)
