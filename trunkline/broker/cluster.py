"""The embedded broker: real Apache Kafka in processes of its own, kept between runs."""

from __future__ import annotations

from pathlib import Path

from trunkline.broker.installation import install
from trunkline.broker.jars import Say
from trunkline.broker.layout import Layout
from trunkline.broker.metadata import ask_controller
from trunkline.broker.nodes import Nodes
from trunkline.broker.ports import (
    HOST,
    client_port,
    controller_port,
    find_free_port,
    require_free,
    ssl_port,
)
from trunkline.broker.process import kill
from trunkline.broker.security import (
    BrokerSecurity,
    SecurityOptions,
    make_security,
    read_security,
)
from trunkline.broker.state import read_state
from trunkline.broker.status import BrokerStatus, describe
from trunkline.broker.storage import format_node, stored_nodes
from trunkline.errors import BrokerError, ConfigurationError
from trunkline.settings import EMBEDDED_PORT, Settings


def quiet(line: str) -> None:
    """Say nothing."""


class EmbeddedBroker:
    """One to three Kafka nodes on this machine, in a folder of their own.

    All methods block; call them through ``asyncio.to_thread`` where a loop runs. Processes and
    data belong to the folder, not to this object: another object, or another process, made with
    the same folder controls the same broker.

    Attributes:
        directory: The folder, absolute.
        port: Where the first node listens for clients.
        nodes: How many there are.

    """

    def __init__(
        self,
        directory: Path,
        port: int = EMBEDDED_PORT,
        nodes: int = 1,
        secure: SecurityOptions | None = None,
        outside: str = "",
    ) -> None:
        """Describe a broker; nothing is started.

        Args:
            directory: Folder of its data, logs and state; made when it is not there.
            port: Where node 0 listens; node ``i`` listens at ``port + i``, and as a controller at
                ``port + 10 + i``. 0 takes ports that are free.
            nodes: 1, or 3 for replication and failover.
            secure: TLS, users and ACLs for a broker that has no data yet; what has data keeps
                what it was made with.
            outside: Another address of this machine at which node ``i`` listens, at
                ``port + 30 + i``, for tests of the network; ``""`` is none: only this machine
                reaches it.

        Raises:
            ConfigurationError: Kafka cannot work with one of these.

        """
        if nodes not in {1, 3}:
            raise ConfigurationError(
                f"The embedded Kafka has 1 or 3 nodes, not {nodes}: two cannot elect a leader "
                "when one is gone."
            )
        self.directory = directory.absolute()
        if "," in str(self.directory):
            raise ConfigurationError(
                f"Kafka separates folders by commas, so it cannot keep its data in "
                f"{self.directory}. Choose another with --dir or TRUNKLINE_BROKER_DIR."
            )
        self.port = port or find_free_port(nodes)
        self.nodes = nodes
        self._secure = secure
        self._layout = Layout(self.directory)
        self._nodes = Nodes(self._layout, nodes, self.port, outside)

    @classmethod
    def of(
        cls, settings: Settings, nodes: int | None = None, secure: SecurityOptions | None = None
    ) -> EmbeddedBroker:
        """Return the project's broker; with as many nodes as its data has, unless told."""
        folder = settings.broker_dir.absolute()
        stored = stored_nodes(Layout(folder))
        return cls(folder, settings.broker_port, nodes or stored or 1, secure)

    @property
    def bootstrap_servers(self) -> str:
        """Return ``host:port[,host:port…]`` of all nodes, as a client wants it."""
        state = read_state(self._layout.state)
        port = state.port if state else self.port
        return ",".join(f"{HOST}:{client_port(port, node)}" for node in range(self.nodes))

    @property
    def security(self) -> BrokerSecurity | None:
        """Return its passwords and certificates; None when it takes anyone."""
        return read_security(self._layout)

    def start(self, *, reset: bool = False, say: Say = quiet) -> bool:
        """Start the nodes that do not run, and wait until the cluster answers as a whole.

        Args:
            reset: Delete all records first.
            say: Takes lines about a first start's download.

        Returns:
            False when all of it ran already.

        Raises:
            BrokerError: It could not start; the message has the reason and where the log is.
            ConfigurationError: What is there has another number of nodes or another port.

        """
        # Before the lock: a download takes as long as the network takes.
        kafka = install(say) if reset or self._stopped() else None
        with self._layout.locked():
            if reset:
                self._stop()
                self._layout.remove()
                self._layout.make()
            missing = self._missing()
            if self._secure is not None and not stored_nodes(self._layout):
                make_security(self._layout, self._secure)
            if missing:
                self._nodes.launch(missing, kafka or install(say))
            return bool(missing)

    def stop(self) -> bool:
        """Stop all nodes; False when none ran. Records stay."""
        if not self._layout.state.exists():
            return False
        with self._layout.locked():
            return self._stop()

    def kill(self, node: int = 0) -> None:
        """End a node as a power cut would (``kill -9``); for tests.

        Raises:
            BrokerError: It does not run.

        """
        pid = self._nodes.running().get(node)
        if pid is None:
            raise BrokerError(f"Node {node} of the broker in {self.directory} does not run.")
        kill(pid, self._layout.properties(node))

    def restart_node(self, node: int) -> None:
        """Start one node again, stopped or killed before or not, and wait until it takes part.

        Raises:
            BrokerError: It could not start.

        """
        kafka = install(quiet)
        with self._layout.locked():
            pid = self._nodes.running().get(node)
            if pid is not None:
                self._nodes.end({node: pid})
            self._nodes.launch([node], kafka, wait_for=[node])

    def replace_disk(self, node: int) -> None:
        """Give a node that lost its disk an empty one, formatted with the id of its cluster.

        The node is not started. Until it has caught up, the others are the only ones that know
        what the cluster knows: they must run, and go on running (docs/faults.md).

        Raises:
            BrokerError: The node runs, or Kafka's own tool failed.

        """
        kafka = install(quiet)
        with self._layout.locked():
            if node in self._nodes.running():
                raise BrokerError(
                    f"Node {node} of the broker in {self.directory} runs, so it has its disk: "
                    "stop it first."
                )
            format_node(self._layout, node, self.nodes, self.port, (kafka.jars, kafka.flags))

    def controller(self) -> int | None:
        """Return the node that is the active controller; None while there is none."""
        state = read_state(self._layout.state)
        port = state.port if state else self.port
        for node in sorted(self._nodes.running()):
            leader = ask_controller(client_port(port, node))
            if leader is not None:
                return leader
        return None

    def status(self) -> BrokerStatus:
        """Tell what runs, without changing anything."""
        return describe(self._layout, self.port, stored_nodes(self._layout))

    def pids(self) -> list[int]:
        """Return the processes of the nodes that run: they are nobody's children."""
        return list(self._nodes.running().values())

    def log_file(self, node: int = 0) -> Path:
        """Return where a node's log is."""
        return self._layout.log(node)

    def _stopped(self) -> list[int]:
        return sorted(set(range(self.nodes)) - set(self._nodes.running()))

    def _missing(self) -> list[int]:
        """Return the nodes to start, after making sure that they can be."""
        self._require_same_shape()
        missing = self._stopped()
        # Only under the lock: another start may be taking these very ports.
        require_free(client_port(self.port, node) for node in missing)
        require_free(controller_port(self.port, node) for node in missing)
        if self.security is not None or self._secure is not None:
            require_free(ssl_port(self.port, node) for node in missing)
        return missing

    def _require_same_shape(self) -> None:
        stored = stored_nodes(self._layout)
        if stored not in {0, self.nodes}:
            raise ConfigurationError(
                f"{self.directory} holds the data of {_count(stored)}, and {_count(self.nodes)} "
                f"{'was' if self.nodes == 1 else 'were'} asked for. Start it with "
                f"--nodes {stored}, delete that data with --reset, or choose another --dir."
            )
        if stored and self._secure is not None and self.security is None:
            raise ConfigurationError(
                f"{self.directory} holds the data of a broker without security: delete it with "
                "--reset, or choose another --dir."
            )
        state = read_state(self._layout.state)
        if state and state.port != self.port and self._nodes.running():
            raise ConfigurationError(
                f"The broker in {self.directory} runs already, on port {state.port} and not "
                f"{self.port}. Use it there, or stop it first: trunkline broker stop."
            )

    def _stop(self) -> bool:
        running = self._nodes.running()
        self._nodes.end(running)
        self._layout.state.unlink(missing_ok=True)
        return bool(running)


def ensure_broker(settings: Settings, say: Say = quiet) -> str:
    """Return the bootstrap servers to use; start the embedded broker when no cluster was named.

    Raises:
        BrokerError: It could not be started.
        ConfigurationError: What runs or is stored does not fit the settings.

    """
    if not settings.uses_embedded_broker:
        return settings.kafka_bootstrap_servers
    broker = EmbeddedBroker.of(settings)
    broker.start(say=say)
    return broker.bootstrap_servers


def _count(nodes: int) -> str:
    return "1 node" if nodes == 1 else f"{nodes} nodes"
