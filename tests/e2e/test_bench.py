"""The benchmarks run, count right, and print what their readers rely on."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.kafka


def bench(kafka, *arguments):
    """Run ``trunkline bench … --json`` as a process, and return its rows."""
    done = subprocess.run(
        [sys.executable, "-m", "trunkline", "bench", *arguments, "--json"],
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["rows"]


def test_throughput_stands_next_to_a_bare_loop(kafka):
    """Every contestant handles all events, and the ratios are against the first one."""
    rows = bench(kafka, "throughput", "--count", "3000", "--rounds", "1")
    assert len(rows) == 4
    assert rows[0]["ratio"] == 1.0
    for row in rows:
        assert row.keys() >= {"contestant", "events_per_s", "ratio", "cpu_s", "rss_mb", "seconds"}
        assert row["ratio"] == pytest.approx(row["events_per_s"] / rows[0]["events_per_s"], 0.01)


def test_concurrency_keeps_the_order_of_keys(kafka):
    """A wrong count or order would be an error; more keys are faster than one."""
    rows = bench(kafka, "concurrency", "--count", "300", "--keys", "50", "--keys", "1")
    assert [(row["keys"], row["out_of_order"]) for row in rows] == [(50, 0), (1, 0)]
