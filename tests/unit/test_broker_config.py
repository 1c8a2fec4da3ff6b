"""Kafka's configuration for the embedded broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from trunkline.broker.config import render, server_properties
from trunkline.broker.layout import Layout
from trunkline.broker.logs import follow, last_lines, reasons
from trunkline.broker.ports import all_ports

LAYOUT = Layout(Path("/somewhere"))


def test_three_nodes_keep_three_copies_and_one_keeps_one():
    """Replication follows the number of nodes, also for Kafka's own topics."""
    one, three = (server_properties(LAYOUT, 0, nodes, 19092) for nodes in (1, 3))
    factors = [name for name in one if name.endswith("replication.factor")]

    assert {one[name] for name in factors} == {"1"}
    assert {three[name] for name in factors} == {"3"}
    assert (one["min.insync.replicas"], three["min.insync.replicas"]) == ("1", "2")


def test_listens_on_loopback_only():
    """No port of the embedded broker is open to the network."""
    for node in range(3):
        listeners = server_properties(LAYOUT, node, 3, 19092)["listeners"].split(",")
        assert [one.split("://")[1].split(":")[0] for one in listeners] == ["127.0.0.1"] * 2


def test_uses_exactly_the_ports_that_are_checked():
    """Each listener's port is among those that are looked at before the start."""
    used = {
        int(listener.rsplit(":", 1)[1])
        for node in range(3)
        for listener in server_properties(LAYOUT, node, 3, 19092)["listeners"].split(",")
    }
    assert used == set(all_ports(19092, 3))


@pytest.mark.parametrize(
    ("value", "written"),
    [("a b", "a b"), ("C:\\x", "C:\\\\x"), ("brök", "br\\u00f6k"), ("🙂", "\\ud83d\\ude42")],
)
def test_writes_properties_as_java_reads_them(value, written):
    """Java reads Latin-1 and takes a backslash for an escape."""
    assert render({"log.dirs": value}) == f"log.dirs={written}\n"


def test_follows_a_log_over_its_rolling(tmp_path):
    """Lines before the roll and after it come through, each once, only when they are whole."""
    log = tmp_path / "node-0.log"
    log.write_text("older\nold\nhal")
    lines = follow(log, 2)
    assert next(lines) == "old"
    with log.open("a") as file:
        file.write("f\nmore\n")
    assert [next(lines), next(lines)] == ["half", "more"]
    log.rename(tmp_path / "node-0.log.1")
    log.write_text("rolled\n")
    assert next(lines) == "rolled"
    lines.close()


def test_tells_why_the_last_run_failed(tmp_path):
    """Errors with their causes, without stack frames and without those of earlier runs."""
    log = tmp_path / "node-0.log"
    log.write_text(
        "2026 INFO Registered Log4jController\n2026 ERROR earlier\n"
        "2026 INFO Registered Log4jController\n2026 ERROR Exiting\n"
        "java.lang.RuntimeException: why\n\tat some.Frame\n2026 INFO App info\n"
    )
    assert reasons(log) == ["2026 ERROR Exiting", "java.lang.RuntimeException: why"]
    assert last_lines(tmp_path / "none", 5) == []
