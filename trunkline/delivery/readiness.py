"""Whether a consuming worker does its work: assigned, recovered, and Kafka answers."""

from __future__ import annotations

from trunkline.delivery.app import DeliveryApp

_NAMED = 3


def why_not_consuming(app: DeliveryApp) -> str:
    """Return why a worker with subscriptions does not handle events yet, ``""`` when it does.

    It may take events before it is ready: a partition that is recovered does not wait for others.
    """
    assert app.dispatcher is not None
    if app.should_stop or app.drain.state != "working":
        return "stopping" if app.should_stop else f"{app.drain.state} by an operator"
    if app.rebalancing or not app.has_assignment:
        if bool(app.tables) and app.tables.recovery.in_recovery:
            return "tables are being recovered from their changelogs"
        return "waiting for the group to assign partitions"
    if not app.keeper.connected:
        return f"waiting for Kafka at {app.trunkline.connection}"
    recovering = sorted(
        f"{tp.topic}[{tp.partition}]"
        for tp in app.assigned()
        if tp.topic in app.batched_topics and app.dispatcher.recovering(tp)
    )
    if recovering:
        more = f" and {len(recovering) - _NAMED} more" if len(recovering) > _NAMED else ""
        return f"reading what waits and what is held on {', '.join(recovering[:_NAMED])}{more}"
    return ""
