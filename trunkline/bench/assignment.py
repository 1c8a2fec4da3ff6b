"""Whether a group has given its members their partitions, asked of Kafka: in any language."""

from __future__ import annotations

import asyncio
import time

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import MemberAssignment

from trunkline.bench.contestant import Contestant
from trunkline.errors import TrunklineError

_POLL_S = 0.05


async def until_assigned(
    servers: str, group: str, topic: str, shares: list[int], contestants: list[Contestant]
) -> None:
    """Wait until a group is stable and its members have so many partitions of a topic.

    Args:
        servers: ``host:port`` of the brokers.
        group: Real name.
        topic: Real name.
        shares: How many partitions each member is to have, in ascending order.
        contestants: Its members, which may fail meanwhile.

    Raises:
        TrunklineError: A member ended by itself, or it took a minute.

    """
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    deadline = time.monotonic() + 60
    found: list[int] = []
    try:
        while (found := await _shares(admin, group, topic)) != shares:
            for contestant in contestants:
                contestant.check()
            if time.monotonic() > deadline:
                raise TrunklineError(
                    f"{contestants[0].name}: the members of {group} were given {found} partitions "
                    f"within a minute, not {shares}:\n{contestants[0].log_tail()}"
                )
            await asyncio.sleep(_POLL_S)
    finally:
        await admin.close()


async def _shares(admin: AIOKafkaAdminClient, group: str, topic: str) -> list[int]:
    shares = []
    try:
        responses = await admin.describe_consumer_groups([group])
    except KafkaError as refused:
        if not refused.retriable:
            raise
        return []  # The first group of a new broker: it is still making its offsets topic.
    for response in responses:
        for error, _, state, _, _, members, *_ in response.groups:
            if error or state != "Stable":
                return []
            shares += [_partitions(member[4], topic) for member in members]
    return sorted(shares)


def _partitions(assignment: bytes, topic: str) -> int:
    if not assignment:
        return 0
    given = MemberAssignment.decode(assignment).assignment
    return sum(len(partitions) for name, partitions in given if name == topic)
