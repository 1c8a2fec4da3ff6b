"""Apache Kafka in a container: for clients on this host and for containers of its network."""

from __future__ import annotations

from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from trunkline.broker.jars import KAFKA_VERSION

IMAGE = f"apache/kafka:{KAFKA_VERSION}"
_STARTED = r".*Kafka Server started.*"
_HOST_PORT = 9094
_ADVERTISED = "/tmp/advertised-listeners"
# The engine chooses the published port when the container starts: Kafka has to wait for it.
_COMMAND = (
    f"until [ -s {_ADVERTISED} ]; do sleep 0.05; done; "
    f"export KAFKA_ADVERTISED_LISTENERS=$(cat {_ADVERTISED}); exec /etc/kafka/docker/run"
)


class ApacheKafka(DockerContainer):
    """One node that is broker and controller.

    Attributes:
        inside: Its ``host:port`` for containers of the network.

    """

    inside = "kafka:9092"

    def __init__(self, network: Network) -> None:
        super().__init__(IMAGE)
        self.with_network(network).with_network_aliases("kafka")
        self.with_command(["sh", "-c", _COMMAND])
        self.ports[str(_HOST_PORT)] = ("127.0.0.1",)  # loopback, a free port
        self.with_envs(
            KAFKA_NODE_ID="1",
            KAFKA_PROCESS_ROLES="broker,controller",
            KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
            KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
            KAFKA_LISTENERS=f"INSIDE://:9092,CONTROLLER://:9093,HOST://:{_HOST_PORT}",
            KAFKA_INTER_BROKER_LISTENER_NAME="INSIDE",
            KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=(
                "INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT,HOST:PLAINTEXT"
            ),
            KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
            KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS="3",
            KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
            KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
            KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR="1",
            KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR="1",
            KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
            KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
            KAFKA_HEAP_OPTS="-Xmx384M -Xms128M",
            KAFKA_JVM_PERFORMANCE_OPTS="-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        )

    @property
    def bootstrap_servers(self) -> str:
        """Its ``host:port`` for clients on this host."""
        return f"127.0.0.1:{self.get_exposed_port(_HOST_PORT)}"

    def start(self) -> ApacheKafka:
        """Start it, and return when it takes requests."""
        super().start()
        listeners = f"INSIDE://{self.inside},HOST://{self.bootstrap_servers}"
        told = self.exec(["sh", "-c", f"echo '{listeners}' > {_ADVERTISED}"])
        assert told.exit_code == 0, told.output
        LogMessageWaitStrategy(_STARTED).with_startup_timeout(180).wait_until_ready(self)
        return self
