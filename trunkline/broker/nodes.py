"""The processes of one cluster: which run, how they are started and ended together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.broker.installation import Installation
from trunkline.broker.jars import KAFKA_VERSION
from trunkline.broker.layout import Layout
from trunkline.broker.process import end, is_running, java_command, spawn
from trunkline.broker.readiness import wait_until_ready
from trunkline.broker.state import State, read_state, write_state
from trunkline.broker.storage import (
    format_storage,
    stored_cluster_id,
    stored_nodes,
    write_configuration,
)

#: Kafka stops in half a second. What takes longer hangs; its log is recovered at the next start.
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Nodes:
    """The nodes of the broker in one folder.

    Attributes:
        layout: The folder.
        count: How many nodes there are when all run.
        port: First port.
        outside: Another address at which clients reach them; ``""`` is none.

    """

    layout: Layout
    count: int
    port: int
    outside: str = ""

    def running(self) -> dict[int, int]:
        """Return the pid of each node that runs."""
        state = read_state(self.layout.state)
        return {
            one.node: one.pid
            for one in (state.nodes if state else ())
            if is_running(one.pid, self.layout.properties(one.node))
        }

    def launch(
        self, nodes: Sequence[int], kafka: Installation, wait_for: Sequence[int] | None = None
    ) -> None:
        """Start nodes and wait until they are ready; when they do not get ready, end them.

        Args:
            nodes: Which to start.
            kafka: What to start them from.
            wait_for: Which must see each other; all nodes unless given.

        Raises:
            BrokerError: They did not get ready.

        """
        write_configuration(self.layout, self.count, self.port, self.outside)
        if not stored_nodes(self.layout):
            format_storage(self.layout, self.count, self.port, kafka.jars, kafka.flags)
        state = self._state()
        try:
            for node in nodes:
                # Written down at once: whatever happens to us now, a stop finds the process.
                state = state.with_pid(node, self._spawn(node, kafka))
                write_state(self.layout.state, state)
            wait_until_ready(self.layout, state, wait_for or range(self.count))
        except BaseException:  # also Ctrl-C: a broker that never got ready is not left behind
            self.end({node: pid for node in nodes if (pid := state.pid(node))})
            raise

    def end(self, nodes: dict[int, int]) -> None:
        """Stop nodes, given with their pids; kill those that hang."""
        marks = {pid: self.layout.properties(node) for node, pid in nodes.items()}
        # A controller whose peers are gone waits 5 s for them; its records are safe by then.
        end(marks, STOP_TIMEOUT_S, lambda: all(self.layout.is_closed(node) for node in nodes))

    def _state(self) -> State:
        state = read_state(self.layout.state)
        if state and self.running():
            return state
        return State(stored_cluster_id(self.layout), KAFKA_VERSION, self.port)

    def _spawn(self, node: int, kafka: Installation) -> int:
        properties = str(self.layout.properties(node))
        log4j = self.layout.log4j(node)
        command = java_command(
            kafka.jars, "kafka.Kafka", properties, log4j=log4j, flags=kafka.flags
        )
        return spawn(command, self.layout.output(node))
