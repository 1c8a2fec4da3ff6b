"""A static member that comes back with other topics than it left with.

Kafka gives a static member (KIP-345) that returns within its session timeout what it had, without a
rebalance, and does not look at which topics it subscribes to now. A topic that was added to a
service would be read by nobody until the next rebalance, and nobody would be told.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

from trunkline.connection import KafkaConnection
from trunkline.delivery.producer_link import explain
from trunkline.errors import BrokerError

logger = logging.getLogger(__name__)


async def leave_if_topics_are_new(
    connection: KafkaConnection, group: str, client_id: str, topics: frozenset[str]
) -> bool:
    """Make the group forget an earlier incarnation of this pod that did not read all its topics.

    Call it before the pod joins: as a new member, a rebalance gives it all of them.

    Args:
        connection: How to reach Kafka.
        group: Real name of the group.
        client_id: That of this pod's consumer, which no other pod has.
        topics: What the pod is going to read.

    Returns:
        Whether there was such a member.

    Raises:
        BrokerError: The group cannot be asked about.

    """
    admin = AIOKafkaAdminClient(**connection.options(), client_id=f"{client_id}.membership")
    try:
        await admin.start()
        coordinator = await admin.find_coordinator(group)
        found = await admin.describe_consumer_groups([group], coordinator)
        stale = [member for member, known in _members(found, client_id) if topics - known]
        for member_id in stale:
            await admin._send_request(LeaveGroupRequest(group, member_id), coordinator)
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerError(f"The group {group} cannot be asked about: {explain(error)}") from error
    finally:
        await admin.close()
    if stale:
        logger.info("%s reads topics that it did not read before: the group rebalances", client_id)
    return bool(stale)


def _members(responses: list[Any], client_id: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Return ids and topics of the members of this name; no topics are told in a rebalance."""
    for response in responses:
        for group in response.groups:
            for member in group[5]:
                member_id, name, metadata = member[0], member[1], member[3]
                if name == client_id and metadata:
                    known = ConsumerProtocolMemberMetadata.decode(metadata).subscription
                    yield member_id, frozenset(known)
