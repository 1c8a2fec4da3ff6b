"""Leave a consumer group and join it again, with the aiokafka client that stays open.

aiokafka's own ``unsubscribe`` does not say goodbye for a static member (KIP-345), whose partitions
would stay where nobody reads them until the session timeout.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

logger = logging.getLogger(__name__)

_CHECK_S = 0.1
#: A rebalance that was under way may make us a member once more; so many looks find none.
_QUIET_LOOKS = 5
_MOST_LOOKS = 100


async def leave_group(consumer: Any) -> None:
    """Give the subscription up and leave the group; what it had is committed already.

    Runs in the consumer's thread. Returns when the group has been told, and no rebalance that was
    under way has made it a member again.
    """
    consumer._subscription.unsubscribe()
    quiet = 0
    for _ in range(_MOST_LOOKS):
        quiet = 0 if await _say_goodbye(consumer._coordinator) else quiet + 1
        if quiet >= _QUIET_LOOKS:
            return
        await asyncio.sleep(_CHECK_S)
    logger.warning("It is not certain that the group knows that this pod left it")


async def _say_goodbye(coordinator: Any) -> bool:
    """Leave if it is a member; whether it was one."""
    await coordinator._stop_heartbeat_task()
    if not coordinator.member_id:
        return False
    member_id = coordinator.member_id
    coordinator.reset_generation()
    try:
        await coordinator._send_req(LeaveGroupRequest(coordinator.group_id, member_id))
    except KafkaError as error:
        # The group finds out by itself, after the session timeout.
        logger.warning("The group could not be told that this pod leaves it: %r", error)
    return True


def rejoin_group(consumer: Any, topics: set[str], listener: Any) -> None:
    """Subscribe again; the group gives it partitions at its next rebalance.

    Runs in the consumer's thread.
    """
    # aiokafka does not join when nothing was fetched for max.poll.interval: this counts as a fetch.
    with consumer._subscription.fetch_context():
        pass
    consumer.subscribe(topics=topics, listener=listener)
