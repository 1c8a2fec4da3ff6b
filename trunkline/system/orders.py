"""What operators have ordered: the wire contract of ``trunkline.control``, and its state.

The topic is compacted: a key's last value holds, a tombstone takes it back. A pause is keyed by
group, topic and partition, so it outlives every pod. A drain is keyed by the pod and names the
incarnation that it is for: a pod that was restarted since is not drained.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from trunkline.delivery.pauses import Pause, name_of

FORMAT = 1


class PauseKey(NamedTuple):
    """What is paused; the partition is None for all of them.

    Attributes:
        group: Real name.
        topic: Real name.
        partition: Which one.

    """

    group: str
    topic: str
    partition: int | None = None

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{name_of((self.topic, self.partition))} of {self.group}"


class DrainKey(NamedTuple):
    """Which pod is drained."""

    pod: str

    def __str__(self) -> str:
        """Return it as people write it."""
        return self.pod


Key = PauseKey | DrainKey


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order.

    Attributes:
        who: Who gave it, for people.
        at_ms: When.
        incarnation: Of a drain: the one process that it is for.
        format: Version of this contract.

    """

    who: str
    at_ms: int
    incarnation: str = ""
    format: int = FORMAT


_decoder = msgspec.json.Decoder(Order)


def encode_key(key: Key) -> bytes:
    """Return the key of a record: always the same bytes for the same thing."""
    what = "pause" if isinstance(key, PauseKey) else "drain"
    return msgspec.json.encode([what, *key])


def decode_key(key: bytes) -> Key:
    """Read the key of a record.

    Raises:
        ValueError: It is none of ours.

    """
    match msgspec.json.decode(key):
        case ["pause", str(group), str(topic), None | int() as partition]:
            return PauseKey(group, topic, partition)
        case ["drain", str(pod)]:
            return DrainKey(pod)
    raise ValueError(f"{key[:100]!r} names no order")


def encode_order(order: Order) -> bytes:
    """Return an order as the value of a record."""
    return msgspec.json.encode(order)


@dataclass
class Orders:
    """The orders that hold now.

    Attributes:
        pauses: By what is paused.
        drains: By the name of the pod.

    """

    pauses: dict[PauseKey, Order] = field(default_factory=dict)
    drains: dict[str, Order] = field(default_factory=dict)

    def take(self, record: Any) -> None:
        """Apply a record of the topic.

        Raises:
            ValueError: It is none of ours.
            msgspec.MsgspecError: The same.

        """
        key = decode_key(record.key or b"")
        order = None if record.value is None else _decoder.decode(record.value)
        if isinstance(key, PauseKey):
            _put(self.pauses, key, order)
        else:
            _put(self.drains, key.pod, order)

    def paused(self, group: str) -> list[Pause]:
        """Return what of a group is paused."""
        return [(key.topic, key.partition) for key in self.pauses if key.group == group]

    def names(self) -> dict[str, list[str]]:
        """Return what is paused, by group, as ``topic`` or ``topic[partition]``."""
        found: dict[str, list[str]] = {}
        for key in sorted(self.pauses, key=str):
            found.setdefault(key.group, []).append(name_of((key.topic, key.partition)))
        return found

    def drains_pod(self, pod: str, incarnation: str) -> bool:
        """Tell whether exactly this process of a pod is to be drained."""
        order = self.drains.get(pod)
        return order is not None and order.incarnation == incarnation


def _put(orders: dict[Any, Order], key: Any, order: Order | None) -> None:
    if order is None:
        orders.pop(key, None)
    else:
        orders[key] = order
