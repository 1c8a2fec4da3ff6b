"""Ready means: every node answers, sees all the others, and every partition has a leader."""

from __future__ import annotations

import time
from collections.abc import Iterable

from trunkline.broker.jars import KAFKA_VERSION
from trunkline.broker.layout import Layout
from trunkline.broker.logs import last_lines, reasons
from trunkline.broker.metadata import ClusterView, ask
from trunkline.broker.ports import client_port
from trunkline.broker.process import is_running
from trunkline.broker.security import BrokerSecurity, read_security
from trunkline.broker.state import State
from trunkline.errors import BrokerError

#: Three seconds are usual with one node; a log to recover after a crash takes longer.
READY_TIMEOUT_S = 60.0
_POLL_S = 0.05


def wait_until_ready(
    layout: Layout, state: State, nodes: Iterable[int], timeout_s: float = READY_TIMEOUT_S
) -> None:
    """Wait until these nodes answer, each of them seeing all of them.

    Raises:
        BrokerError: One ended, or it took longer than ``timeout_s``.

    """
    wanted, security = frozenset(nodes), read_security(layout)
    give_up_at = time.monotonic() + timeout_s
    while True:
        missing = _what_is_missing(state, wanted, security)
        if not missing:
            return
        _require_running(layout, state, wanted)
        if time.monotonic() > give_up_at:
            raise BrokerError(
                f"The embedded Kafka in {layout.directory} was not ready within {timeout_s:.0f} s: "
                f"{missing}.{_evidence(layout, wanted)}"
            )
        time.sleep(_POLL_S)


def _what_is_missing(state: State, wanted: frozenset[int], security: BrokerSecurity | None) -> str:
    """Return why the cluster is not ready; empty when it is."""
    views = {node: ask(client_port(state.port, node), security) for node in wanted}
    for node, view in sorted(views.items()):
        lack = _lack(view, wanted)
        if lack:
            return f"node {node} {lack}"
    return ""


def _lack(view: ClusterView | None, wanted: frozenset[int]) -> str:
    if view is None:
        return "does not answer"
    if absent := sorted(wanted - view.brokers):
        return f"does not see {absent}"
    if view.leaderless:
        return f"knows no leader for {', '.join(view.leaderless[:5])}"
    return ""


def _require_running(layout: Layout, state: State, wanted: frozenset[int]) -> None:
    for node in sorted(wanted):
        if not is_running(state.pid(node), layout.properties(node)):
            raise BrokerError(
                f"Node {node} of the embedded Kafka in {layout.directory} ended while it started."
                f"{_advice(layout, node)}{_evidence(layout, {node})}"
            )


def _advice(layout: Layout, node: int) -> str:
    """Say what to do where the reason is known."""
    newest = reasons(layout.log(node))[-6:]
    if any("UnsupportedVersionException: Can't read version" in line for line in newest):
        return (
            f" Its data was written by a newer Kafka than {KAFKA_VERSION}: delete it with "
            "'trunkline broker start --reset', or choose another folder (--dir)."
        )
    return ""


def _evidence(layout: Layout, nodes: Iterable[int]) -> str:
    """Return the last errors that the nodes logged, and where to read on."""
    found: list[str] = []
    for node in sorted(nodes):
        printed = last_lines(layout.output(node), 5)
        logged = reasons(layout.log(node))[-6:]
        found += [*printed, *logged, f"Read on in {layout.log(node)}"]
    return "\n  " + "\n  ".join(found)
