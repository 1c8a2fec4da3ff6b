"""``trunkline verify`` as a user runs it: real workers, real Kafka, real exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from click.testing import CliRunner

from tests.support.waiting import eventually
from trunkline.broker import EmbeddedBroker, find_free_port
from trunkline.cli.verify import verify
from trunkline.verifying import runner
from trunkline.verifying.stage import Stage
from trunkline.verifying.workers import WorkerError, WorkerProcess

pytestmark = pytest.mark.kafka


def command(*arguments):
    return [sys.executable, "-m", "trunkline", "verify", *arguments]


def environment(**settings):
    clean = {name: value for name, value in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
    return {**clean, **settings}


def start(*arguments, kafka, cwd):
    return subprocess.Popen(
        command(*arguments),
        env=environment(KAFKA_BOOTSTRAP_SERVERS=kafka),
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_counts_patterns_with_real_workers(kafka, tmp_path):
    """Quick patterns hold, from any folder, and the JSON has exactly the promised shape."""
    names = ["each-service-gets-every-event", "restarted-pod-rebalances-in"]
    done = subprocess.run(
        command("--json", *(part for name in names for part in ("--pattern", name))),
        env=environment(KAFKA_BOOTSTRAP_SERVERS=kafka),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert list(report) == ["patterns"]
    assert [pattern["name"] for pattern in report["patterns"]] == names
    for pattern in report["patterns"]:
        assert set(pattern) == {"name", "expected", "counted", "ok"}
        assert pattern["ok"] is True
        assert pattern["expected"] == pattern["counted"]
    assert "[2/2]" in done.stderr


def test_counts_what_became_of_failed_events(kafka, tmp_path):
    """Retries, dead letters and a redrive, with the same commands that an operator has."""
    names = ["failed-event-retried", "bad-event-dead-letter", "dead-letter-redriven"]
    done = subprocess.run(
        command("--json", *(part for name in names for part in ("--pattern", name))),
        env=environment(KAFKA_BOOTSTRAP_SERVERS=kafka),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [p["name"] for p in json.loads(done.stdout)["patterns"]] == names


class LyingStage(Stage):
    """Counts one row less than there is."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options, settle_timeout_s=20)

    async def stored_users(self, topic):
        found = await super().stored_users(topic)
        return {**found, "rows": max(0, found["rows"] - 1)}


def test_a_single_missing_row_fails_it(kafka, monkeypatch):
    """With real workers, one row less than published is seen, shown and exit status 1."""
    monkeypatch.setattr(runner, "Stage", LyingStage)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    result = CliRunner().invoke(verify, ["--json", "--pattern", "commit-after-processing"])
    assert result.exit_code == 1, result.output
    (pattern,) = json.loads(result.stdout)["patterns"]
    assert pattern["ok"] is False
    expected, counted = pattern["expected"]["after_restart"], pattern["counted"]["after_restart"]
    assert counted == {**expected, "rows": expected["rows"] - 1}
    assert "DIFFERENT" in result.stderr


def test_stops_the_embedded_broker_that_it_started(tmp_path):
    """Without a cluster it starts one, and leaves nothing running."""
    folder, port = tmp_path / "broker", find_free_port()
    done = subprocess.run(
        command("--json", "--pattern", "several-publishers-one-topic"),
        env=environment(TRUNKLINE_BROKER_DIR=str(folder), TRUNKLINE_BROKER_PORT=str(port)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    broker = EmbeddedBroker(folder, port=port)
    running = broker.status().running
    broker.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    assert not running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_its_workers_too(kafka, tmp_path, number):
    """Ended half-way, it says so, exits 1 and leaves no worker behind."""
    with start("--pattern", "restarted-pod-rebalances-in", kafka=kafka, cwd=tmp_path) as process:
        workers = await eventually(
            lambda: psutil.Process(process.pid).children(recursive=True), 60, "its workers"
        )
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1, said
    assert said.endswith("Aborted.\n")
    assert "Traceback" not in said
    assert not any(worker.is_running() for worker in workers)


async def test_a_worker_that_cannot_start_says_why(kafka, tmp_path):
    """The error has the exit code and the end of the worker's own log."""
    worker = WorkerProcess("no-such-service", servers=kafka, directory=tmp_path)
    worker.start()
    with pytest.raises(WorkerError, match="ended with 2 before it was ready") as caught:
        await worker.wait_ready()
    assert "Unknown service 'no-such-service'" in str(caught.value)
    assert str(worker.log_file) in str(caught.value)
