"""``trunkline broker`` as a user runs it: every call is a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trunkline.broker import find_free_port

pytestmark = pytest.mark.kafka


def run(*arguments, **environment):
    """Run ``trunkline broker``; return its exit status and everything it printed."""
    env = {name: value for name, value in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
    command = [sys.executable, "-c", "from trunkline.cli import main; main()", "broker", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env=env | environment, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path):
    """Give a broker folder whose broker is stopped at the end."""
    yield str(tmp_path / "broker")
    run("stop", "--dir", str(tmp_path / "broker"))


def test_starts_shows_and_stops(folder):
    """The whole life of a broker: started, found, shown, read, stopped."""
    port = find_free_port()
    at, start = f"127.0.0.1:{port}", ("start", "--dir", folder, "--port", str(port))
    status, printed = run(*start)
    assert status == 0
    assert f"ready at {at}" in printed

    status, printed = run(*start)
    assert (status, printed.count("\n")) == (0, 1)
    assert f"runs already: Apache Kafka at {at}" in printed

    status, printed = run("status", "--dir", folder, "--json")
    assert status == 0
    assert json.loads(printed)["bootstrap_servers"] == at
    assert "ready" in run("status", "--dir", folder)[1]

    assert "started" in run("logs", "--dir", folder, "-n", "1000")[1]

    assert run("stop", "--dir", folder) == (0, "Stopped.\n")
    assert run("stop", "--dir", folder)[0] == 0
    assert run("status", "--dir", folder)[0] == 1


def test_says_which_port_is_in_use(folder, kafka):
    """A port that another program holds ends in one clear line, and starts nothing."""
    taken = kafka.rsplit(":", 1)[1]
    status, printed = run("start", "--dir", folder, "--port", taken)

    assert status == 1
    assert f"Error: Port {taken} on 127.0.0.1 is in use by java" in printed
    assert "Traceback" not in printed


def test_starts_nothing_where_a_cluster_was_named(folder):
    """With KAFKA_BOOTSTRAP_SERVERS nothing is started, and that is said."""
    status, printed = run("start", "--dir", folder, KAFKA_BOOTSTRAP_SERVERS="kafka.example:9092")

    assert status == 0
    assert "kafka.example:9092 is used, and nothing is started here" in printed
    assert not Path(folder).exists()


def test_has_no_log_before_the_first_start(folder):
    """Asking for the log of nothing says what to do."""
    status, printed = run("logs", "--dir", folder)

    assert status == 1
    assert "trunkline broker start" in printed
