"""One cluster for all scenarios, one scenario at a time."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.world import World
from tests.support.network import Network
from tests.support.worker import ROOT
from trunkline.broker import EmbeddedBroker, find_free_port

NODES = 3


@pytest.fixture
def cluster() -> Iterator[EmbeddedBroker]:
    """Give three brokers that all run; no other scenario has them meanwhile."""
    folder = Path(os.environ["TRUNKLINE_TEST_BROKER"]) / "cluster"
    folder.mkdir(exist_ok=True)
    with (folder / "turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        broker = _cluster(folder)
        broker.start()
        yield broker
        broker.start()


def _cluster(folder: Path) -> EmbeddedBroker:
    """Return the cluster of this run: every process of the run makes the same one."""
    known = folder / "port"
    if not known.exists():
        known.write_text(str(find_free_port(NODES)))
    port = int(known.read_text())
    return EmbeddedBroker(folder / "broker", port, NODES, outside=Network(port).up())


@pytest.fixture
async def world(cluster: EmbeddedBroker, namespace: str, tmp_path: Path):
    """Give topics, workers and a load on the cluster; what was seen is written down at the end."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells each outage many times
    async with World(cluster, namespace, tmp_path) as made:
        yield made
    report = ROOT / ".trunkline" / "cluster-faults.txt"
    report.parent.mkdir(exist_ok=True)
    with report.open("a") as file:
        for line in made.lines:
            print(line)
            file.write(line + "\n")
