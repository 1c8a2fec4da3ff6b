"""The embedded broker: real Apache Kafka (KRaft) from pip alone, no Java and no Docker needed.

broker = EmbeddedBroker(Path(".trunkline/broker"))
broker.start()
print(broker.bootstrap_servers)   # 127.0.0.1:19092
broker.stop()
"""

from __future__ import annotations

from trunkline.broker.cluster import EmbeddedBroker, ensure_broker
from trunkline.broker.jars import KAFKA_VERSION
from trunkline.broker.ports import find_free_port
from trunkline.broker.security import SecurityOptions
from trunkline.broker.status import BrokerStatus, NodeStatus

__all__ = [
    "KAFKA_VERSION",
    "BrokerStatus",
    "EmbeddedBroker",
    "NodeStatus",
    "SecurityOptions",
    "ensure_broker",
    "find_free_port",
]
