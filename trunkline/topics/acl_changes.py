"""Grant rights and take them away, as Kafka's administrator may."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from aiokafka.protocol.admin import (
    CreateAclsRequest_v1,
    DeleteAclsRequest_v1,
)
from aiokafka.protocol.api import Request

from trunkline.connection import KafkaConnection
from trunkline.errors import TopologyError
from trunkline.topics.acls import Acl, Rights
from trunkline.topics.cluster import Cluster

#: Codes of Kafka's ``ResourceType``, ``PatternType`` and ``AclOperation``.
_RESOURCES = {"topic": 2, "group": 3, "cluster": 4, "transactional-id": 5}
_LITERAL, _PREFIXED = 3, 4
OPERATIONS = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Delete": 6,
    "Alter": 7,
    "Describe": 8,
    "DescribeConfigs": 10,
    "AlterConfigs": 11,
}
_ALLOW, _ANY_HOST = 3, "*"
_AT_ONCE = 200

#: Resource type, name, pattern, principal, host, operation, permission.
Binding = tuple[int, str, int, str, str, int, int]


class CreateAclsRequest(Request[CreateAclsRequest_v1]):  # type: ignore[misc]  # aiokafka: untyped
    """Add bindings; aiokafka's own carries a single one."""

    API_KEY = CreateAclsRequest_v1.API_KEY

    def __init__(self, bindings: list[Binding]) -> None:
        self._bindings = bindings

    def build(self, request_struct_class: Any) -> Any:
        """Return the request in the version that the broker speaks."""
        return request_struct_class(self._bindings)


class DeleteAclsRequest(Request[DeleteAclsRequest_v1]):  # type: ignore[misc]  # aiokafka: untyped
    """Remove bindings; aiokafka's own carries a single one."""

    API_KEY = DeleteAclsRequest_v1.API_KEY

    def __init__(self, bindings: list[Binding]) -> None:
        self._bindings = bindings

    def build(self, request_struct_class: Any) -> Any:
        """Return the request in the version that the broker speaks."""
        return request_struct_class(self._bindings)


async def grant(
    connection: KafkaConnection, rights: Iterable[Rights], principal_of: Callable[[str], str]
) -> int:
    """Give principals their rights; returns how many. What they have already stays.

    Raises:
        BrokerError: No broker answers.
        TopologyError: Kafka refuses.

    """
    bindings = [one for each in rights for one in bindings_of(each.acls, principal_of(each.who))]
    async with Cluster(connection) as cluster:
        for first in range(0, len(bindings), _AT_ONCE):
            request = CreateAclsRequest(bindings[first : first + _AT_ONCE])
            response = await cluster.send(request)
            _raise_for("grant", response.creation_responses)
    return len(bindings)


async def revoke(connection: KafkaConnection, acls: Iterable[Acl], principal: str) -> int:
    """Take rights away from a principal; returns how many it had.

    Raises:
        BrokerError: No broker answers.
        TopologyError: Kafka refuses.

    """
    async with Cluster(connection) as cluster:
        response = await cluster.send(DeleteAclsRequest(bindings_of(acls, principal)))
    _raise_for("take away", [answer[:2] for answer in response.filter_responses])
    return sum(len(answer[2]) for answer in response.filter_responses)


def bindings_of(acls: Iterable[Acl], principal: str) -> list[Binding]:
    """Return what Kafka keeps of rights: a binding for each operation."""
    return [
        (
            _RESOURCES[acl.resource],
            acl.name,
            _PREFIXED if acl.prefixed else _LITERAL,
            principal,
            _ANY_HOST,
            OPERATIONS[operation],
            _ALLOW,
        )
        for acl in acls
        for operation in acl.operations
    ]


def _raise_for(what: str, answers: Iterable[tuple[int, str | None]]) -> None:
    for code, message in answers:
        if code:
            raise TopologyError(
                f"Kafka refuses to {what} rights: {message or code}. It needs the right to Alter "
                "the cluster, and an authorizer (authorizer.class.name) on the brokers."
            )
