"""The embedded broker: real Apache Kafka in processes of its own, kept between runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from trunkline.broker.jars import KAFKA_VERSION, Say, class_path
from trunkline.broker.layout import Layout
from trunkline.broker.ports import (
    HOST,
    client_port,
    controller_port,
    find_free_port,
    require_free,
)
from trunkline.broker.process import end, is_running, java_command, kill, spawn
from trunkline.broker.readiness import wait_until_ready
from trunkline.broker.state import State, read_state, write_state
from trunkline.broker.status import BrokerStatus, describe
from trunkline.broker.storage import (
    format_storage,
    stored_cluster_id,
    stored_nodes,
    write_configuration,
)
from trunkline.errors import BrokerError, ConfigurationError
from trunkline.settings import EMBEDDED_PORT, Settings

#: Kafka stops in 0.5 s. What takes longer hangs, and its log is recovered at the next start.
STOP_TIMEOUT_S = 10.0


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

    def __init__(self, directory: Path, port: int = EMBEDDED_PORT, nodes: int = 1) -> None:
        """Describe a broker; nothing is started.

        Args:
            directory: Folder of its data, logs and state; made when it is not there.
            port: Where node 0 listens; node ``i`` listens at ``port + i``, and as a controller at
                ``port + 10 + i``. 0 takes ports that are free.
            nodes: 1, or 3 for replication and failover.

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
        self._layout = Layout(self.directory)

    @classmethod
    def of(cls, settings: Settings, nodes: int | None = None) -> EmbeddedBroker:
        """Return the project's broker; with as many nodes as its data has, unless told."""
        folder = settings.broker_dir.absolute()
        return cls(folder, settings.broker_port, nodes or stored_nodes(Layout(folder)) or 1)

    @property
    def bootstrap_servers(self) -> str:
        """Return ``host:port[,host:port…]`` of all nodes, as a client wants it."""
        state = read_state(self._layout.state)
        port = state.port if state else self.port
        return ",".join(f"{HOST}:{client_port(port, node)}" for node in range(self.nodes))

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
        jars = [] if self._running_nodes() and not reset else class_path(say)
        with self._layout.locked():
            if reset:
                self._end_all()
                self._layout.remove()
                self._layout.make()
            self._require_same_shape()
            missing = sorted(set(range(self.nodes)) - set(self._running_nodes()))
            if not missing:
                return False
            self._require_free(missing)
            self._launch(missing, jars or class_path(say))
        return True

    def stop(self) -> bool:
        """Stop all nodes; False when none ran. Records stay."""
        if not self._layout.state.exists():
            return False
        with self._layout.locked():
            return self._end_all()

    def kill(self, node: int = 0) -> None:
        """End a node as a power cut would (``kill -9``); for tests.

        Raises:
            BrokerError: It does not run.

        """
        state = read_state(self._layout.state)
        pid = state.pid(node) if state else None
        mark = self._layout.properties(node)
        if pid is None or not is_running(pid, mark):
            raise BrokerError(f"Node {node} of the broker in {self.directory} does not run.")
        kill(pid, mark)

    def restart_node(self, node: int) -> None:
        """Start one node again, stopped or killed before or not, and wait until it takes part.

        Raises:
            BrokerError: It could not start.

        """
        with self._layout.locked():
            pid = self._running_nodes().get(node)
            if pid is not None:
                end({pid: self._layout.properties(node)}, STOP_TIMEOUT_S)
            self._launch([node], class_path(quiet), only_these=True)

    def status(self) -> BrokerStatus:
        """Tell what runs, without changing anything."""
        return describe(self._layout, self.port, stored_nodes(self._layout))

    def log_file(self, node: int = 0) -> Path:
        """Return where a node's log is."""
        return self._layout.log(node)

    def _running_nodes(self) -> dict[int, int]:
        """Return the pid of each node that runs."""
        state = read_state(self._layout.state)
        return {
            one.node: one.pid
            for one in (state.nodes if state else ())
            if is_running(one.pid, self._layout.properties(one.node))
        }

    def _require_same_shape(self) -> None:
        stored = stored_nodes(self._layout)
        if stored not in {0, self.nodes}:
            raise ConfigurationError(
                f"{self.directory} holds the data of {_count(stored)}, and {_count(self.nodes)} "
                f"{'was' if self.nodes == 1 else 'were'} asked for. Start it with "
                f"--nodes {stored}, delete that data with --reset, or choose another --dir."
            )
        state = read_state(self._layout.state)
        if state and state.port != self.port and self._running_nodes():
            raise ConfigurationError(
                f"The broker in {self.directory} runs already, on port {state.port} and not "
                f"{self.port}. Use it there, or stop it first: trunkline broker stop."
            )

    def _require_free(self, missing: Iterable[int]) -> None:
        require_free(client_port(self.port, node) for node in missing)
        require_free(controller_port(self.port, node) for node in missing)

    def _launch(self, nodes: list[int], jars: list[Path], *, only_these: bool = False) -> None:
        """Start processes, note them before anything can go wrong, and wait for them."""
        if not stored_nodes(self._layout):
            write_configuration(self._layout, self.nodes, self.port)
            format_storage(self._layout, jars, self.nodes, self.port)
        write_configuration(self._layout, self.nodes, self.port)
        state = read_state(self._layout.state)
        if state is None or not self._running_nodes():
            state = State(stored_cluster_id(self._layout), KAFKA_VERSION, self.port)
        for node in nodes:
            state = state.with_pid(node, self._spawn(node, jars))
            write_state(self._layout.state, state)
        expected = nodes if only_these else range(self.nodes)
        try:
            wait_until_ready(self._layout, state, expected)
        except BaseException:  # also Ctrl-C: a broker that never got ready is not left behind
            self._end({node: pid for node in nodes if (pid := state.pid(node))})
            raise

    def _spawn(self, node: int, jars: list[Path]) -> int:
        properties = self._layout.properties(node)
        log4j = self._layout.log4j(node)
        command = java_command(jars, "kafka.Kafka", str(properties), log4j=log4j)
        return spawn(command, self._layout.output(node))

    def _end_all(self) -> bool:
        running = self._running_nodes()
        self._end(running)
        self._layout.state.unlink(missing_ok=True)
        return bool(running)

    def _end(self, nodes: dict[int, int]) -> None:
        marks = {pid: self._layout.properties(node) for node, pid in nodes.items()}
        end(marks, STOP_TIMEOUT_S)


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
