"""Kafka's configuration for the embedded broker: quick to start, strict about what it keeps."""

from __future__ import annotations

from collections.abc import Mapping

from trunkline.broker.layout import Layout
from trunkline.broker.ports import HOST, client_port, controller_port, outside_port
from trunkline.broker.security import read_security

#: A 1 MiB value with its key and headers, and a batch's overhead; Kafka's default takes neither.
MESSAGE_MAX_BYTES = 2 * 1024 * 1024


def server_properties(
    layout: Layout, node: int, nodes: int, port: int, outside: str = ""
) -> dict[str, str]:
    """Return a node's ``server.properties``: broker and controller in one process (KRaft).

    Args:
        layout: Where its data lies.
        node: Which one it is, from 0.
        nodes: How many there are: 1 or 3.
        port: First port of the cluster.
        outside: Address of this machine at which clients reach it besides loopback; ``""`` is none.

    """
    voters = ",".join(f"{i}@{HOST}:{controller_port(port, i)}" for i in range(nodes))
    return {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(layout.node_data(node)),
        **_replication(nodes),
        **_SIZES,
        **_GROUPS,
        **_FAILOVER,
        **_listeners(layout, node, port),
    } | (_outside(outside, node, port) if outside else {})


def _listeners(layout: Layout, node: int, port: int) -> dict[str, str]:
    security = read_security(layout)
    if security is not None:
        return security.server_properties(node, port)
    return {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listeners": f"PLAINTEXT://{HOST}:{client_port(port, node)},"
        f"CONTROLLER://{HOST}:{controller_port(port, node)}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{client_port(port, node)}",
    }


def _outside(address: str, node: int, port: int) -> dict[str, str]:
    """Return a second listener without security, whose clients are told its own addresses."""
    at = f"OUTSIDE://{address}:{outside_port(port, node)}"
    own = f"PLAINTEXT://{HOST}:{client_port(port, node)}"
    return {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
        "OUTSIDE:PLAINTEXT",
        "listeners": f"{own},CONTROLLER://{HOST}:{controller_port(port, node)},{at}",
        "advertised.listeners": f"{own},{at}",
        "inter.broker.listener.name": "PLAINTEXT",
    }


def _replication(nodes: int) -> dict[str, str]:
    """Return factors for three nodes that stand the loss of one, else what one node can do."""
    factor, in_sync = ("3", "2") if nodes >= 3 else ("1", "1")
    return {
        "default.replication.factor": factor,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": factor,
        "transaction.state.log.replication.factor": factor,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": factor,
        "share.coordinator.state.topic.min.isr": in_sync,
    }


_SIZES = {
    # Fifty partitions of each internal topic would be most of the first start's work.
    "offsets.topic.num.partitions": "10",
    "transaction.state.log.num.partitions": "5",
    "share.coordinator.state.topic.num.partitions": "5",
    "message.max.bytes": str(MESSAGE_MAX_BYTES),
    "replica.fetch.max.bytes": str(MESSAGE_MAX_BYTES),
    # A topic that nobody declared is a mistake here, never a surprise with default partitions.
    "auto.create.topics.enable": "false",
    # The default buffer is a quarter of the heap that it gets here.
    "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),
}

_GROUPS = {
    # The first pod of a group works at once; Kafka would wait 3 s for others to join.
    "group.initial.rebalance.delay.ms": "0",
    # Tests of crashed pods cannot wait for 6 s each.
    "group.min.session.timeout.ms": "1000",
}

_FAILOVER = {
    # A killed node is noticed in 3 s; Kafka waits 9 s.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    "num.network.threads": "2",
    "num.io.threads": "4",
}


def log4j_properties(layout: Layout, node: int) -> dict[str, str]:
    """Return the logging configuration: one file that rolls at 10 MB, three of them kept."""
    log = str(layout.log(node))
    return {
        "status": "off",
        "appender.file.type": "RollingFile",
        "appender.file.name": "File",
        "appender.file.fileName": log,
        "appender.file.filePattern": f"{log}.%i",
        "appender.file.layout.type": "PatternLayout",
        "appender.file.layout.pattern": "%d{ISO8601} %-5p %m (%c{1})%n",
        "appender.file.policies.type": "Policies",
        "appender.file.policies.size.type": "SizeBasedTriggeringPolicy",
        "appender.file.policies.size.size": "10MB",
        "appender.file.strategy.type": "DefaultRolloverStrategy",
        "appender.file.strategy.max": "3",
        "rootLogger.level": "info",
        "rootLogger.appenderRef.file.ref": "File",
        # 350 lines of settings at every start hide the few that matter.
        **_level("config", "org.apache.kafka.common.config.AbstractConfig", "warn"),
        **_level("kafkaconfig", "kafka.server.KafkaConfig", "warn"),
    }


def _level(name: str, logger: str, level: str) -> dict[str, str]:
    return {f"logger.{name}.name": logger, f"logger.{name}.level": level}


def render(properties: Mapping[str, str]) -> str:
    r"""Return the text of a Java properties file: ASCII, with the rest as ``\uXXXX``."""
    return "".join(f"{name}={_escaped(value)}\n" for name, value in properties.items())


def _escaped(value: str) -> str:
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = (units[i] << 8 | units[i + 1] for i in range(0, len(units), 2))
    return "".join(chr(code) if code < 0x80 else f"\\u{code:04x}" for code in codes)
