"""``trunkline soak``, short: faults under load, an exact account, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.worker import ROOT

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(360)]

COMMAND = [
    *(sys.executable, "-m", "trunkline", "soak"),
    *("--minutes", "0.75", "--rate", "150", "--every", "7", "--seed", "3", "--json"),
]


def test_a_short_soak_with_faults_keeps_every_promise():
    """Workers and the Kafka that it started itself are killed; every event ends exactly once."""
    env = {name: value for name, value in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
    done = subprocess.run(
        COMMAND, cwd=ROOT, env=env, capture_output=True, text=True, timeout=330, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    report = json.loads(done.stdout)
    account = report["account"]
    assert report["ok"]
    assert sum(report["faults"].values()) >= 2
    assert account["acknowledged"] > 2_000
    for service, handled in account["handled"].items():
        assert account["dead"][service] > 10, service
        assert handled > 1_000, service
    assert account["handled"]["engine"] + account["dead"]["engine"] == account["events"]


def test_a_wrong_option_is_a_usage_error():
    """Exit status 2, and nothing is started."""
    done = subprocess.run(
        [*COMMAND[:4], "--minutes", "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "--minutes" in done.stderr
