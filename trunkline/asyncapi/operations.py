"""Who sends and who receives: an operation for each service and topic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from trunkline.topology import CONSOLE_SERVICE, Service, Topology

_BINDING_VERSION = "0.5.0"

Way = Literal["send", "receive"]


class Operation(NamedTuple):
    """One way of one service with one topic.

    Attributes:
        service: Its name.
        way: Seen from the service.
        topic: Plain name.
        summary: What for.
        group: Consumer group (real name) of one that receives in a group.

    """

    service: str
    way: Way
    topic: str
    summary: str
    group: str | None = None

    @property
    def id(self) -> str:
        """Return its id in the document: ``db-server.receive.auth.registered``."""
        return f"{self.service}.{self.way}.{self.topic}"


def operations_of(topology: Topology) -> dict[str, Any]:
    """Return the operations by id."""
    found: dict[str, Operation] = {}
    for service in topology.services:
        for operation in _of_service(topology, topology.service(service.name)):
            found.setdefault(operation.id, operation)
    return {operation_id: _as_dict(operation) for operation_id, operation in found.items()}


def _as_dict(operation: Operation) -> dict[str, Any]:
    body: dict[str, Any] = {
        "action": operation.way,
        "channel": {"$ref": f"#/channels/{operation.topic}"},
        "title": f"{operation.service} {operation.way}s {operation.topic}",
        "summary": operation.summary,
        "tags": [{"name": operation.service}],
    }
    if operation.group:
        group = {"type": "string", "enum": [operation.group]}
        body["bindings"] = {"kafka": {"groupId": group, "bindingVersion": _BINDING_VERSION}}
    return body


def _of_service(topology: Topology, service: Service) -> Iterator[Operation]:
    name, group = service.name, service.group
    for topic in service.publishes:
        yield Operation(name, "send", topic, f"POST /events/{topic}")
    for topic in service.relays_to:
        yield Operation(name, "send", topic, "One pod of the group relays.")
        yield Operation(name, "receive", topic, "Every pod reads all of it, without a group.")
    for topic in service.reads:
        yield Operation(name, "receive", topic, "Handles the events.", group)
    if group:
        yield from _of_failing(topology, service, group)
    for changelog in topology.changelogs(name):
        yield from _both(topology, name, changelog.name, "Keeps its table.")
    if service.reads_dead_letters:
        for letters in topology.dead_letters_topics():
            plain = topology.plain_name(letters.name)
            yield Operation(name, "receive", plain, "Indexes them.", group)
        actions = topology.plain_name(topology.dead_letter_actions_topic().name)
        yield Operation(name, "receive", actions, "Marks what was done.", group)
    yield from _of_system(topology, service)


def _of_system(topology: Topology, service: Service) -> Iterator[Operation]:
    workers, control, audit = (topology.plain_name(t.name) for t in topology.system_topics())
    yield Operation(service.name, "send", workers, "Reports how it is.")
    if service.name == CONSOLE_SERVICE:
        yield Operation(service.name, "receive", workers, "Shows all of them.")
        yield from _both(topology, service.name, control, "Pauses, resumes and drains.")
        yield from _both(topology, service.name, audit, "Notes who did what, and shows it.")
    elif service.group:
        yield Operation(service.name, "receive", control, "Obeys, without a group.")


def _of_failing(topology: Topology, service: Service, group: str) -> Iterator[Operation]:
    failures = topology.plain_name(topology.failures_topic(group).name)
    yield Operation(service.name, "send", failures, "Hands over what it could not handle.")
    yield Operation(service.name, "receive", failures, "Tries it again when it is due.", group)
    changelog = topology.retries_changelog(group).name
    yield from _both(topology, service.name, changelog, "Remembers what waits.")
    held_keys = topology.held_keys_topic(group).name
    yield from _both(topology, service.name, held_keys, "Keeps the order of keys.")
    for topic in service.reads:
        letters = topology.plain_name(topology.dead_letters_topic(topic).name)
        yield Operation(service.name, "send", letters, "When no attempts are left.")


def _both(topology: Topology, service: str, topic: str, summary: str) -> Iterator[Operation]:
    plain = topology.plain_name(topic)
    yield Operation(service, "send", plain, summary)
    yield Operation(service, "receive", plain, summary)
