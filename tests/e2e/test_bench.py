"""The benchmarks run, count right, and print what their readers rely on."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.missing import needs

# Real benchmarks of real peers, which the first of them installs.
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]


def bench(kafka, *arguments):
    """Run ``trunkline bench … --json`` as a process, and return its rows."""
    done = subprocess.run(
        [sys.executable, "-m", "trunkline", "bench", *arguments, "--json"],
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["rows"]


def test_throughput_next_to_every_peer(kafka):
    """Each peer is installed, reads what it is to read, and says what it lost or repeated."""
    needs("node")
    needs("npm")
    rows = bench(kafka, "throughput", "--count", "2000", "--rounds", "1")
    tools = {row["contestant"].split()[0].strip(",") for row in rows}
    assert tools >= {"kafkajs", "FastStream", "Quix", "stock", "confluent-kafka", "trunkline"}
    assert rows[0]["ratio"] == 1.0
    for row in rows:
        assert row.keys() >= {"contestant", "events_per_s", "ratio", "cpu_s", "rss_mb", "seconds"}
        assert row["ratio"] == pytest.approx(
            row["events_per_s"] / rows[0]["events_per_s"], abs=0.001
        )
        assert row["events"] in {2000, 100}
        assert (row["lost"], row["repeated"]) == (0, 0), row["contestant"]


def test_workers_that_share_a_topic(kafka):
    """All events come to one of the workers, and each number of them is compared with itself."""
    rows = bench(kafka, "scaling", "--count", "4000", "--rounds", "1", "--workers", "2")
    assert [row["workers"] for row in rows] == [2] * 4
    for row in rows:
        assert (row["lost"], row["repeated"]) == (0, 0)
        assert row["scale"] == 1.0


def test_concurrency_keeps_the_order_of_keys(kafka):
    """A wrong count or order would be an error; more keys are faster than one."""
    few = ("--count", "300", "--rounds", "2", "--keys", "50", "--keys", "1")
    rows = bench(kafka, "concurrency", "--no-peers", *few)
    assert [(row["keys"], row["out_of_order"]) for row in rows] == [(50, 0), (1, 0)]


def test_concurrency_next_to_the_parallel_consumer(kafka):
    """It is fetched and compiled, and does the same work in the same order."""
    rows = bench(kafka, "concurrency", "--count", "300", "--rounds", "1", "--keys", "50")
    assert [row["contestant"].split(",")[0] for row in rows] == [
        *("Confluent's Parallel Consumer", "trunkline")
    ]
    assert [(row["repeated"], row["out_of_order"]) for row in rows] == [(0, 0)] * 2


def test_latency_is_measured_from_when_an_event_was_due(kafka):
    """Each contestant gets the events after the warm-up once, at each rate."""
    few = ("--rate", "100", "--rate", "400", "--seconds", "1", "--rounds", "1")
    rows = bench(kafka, "latency", *few, "--no-peers")
    counts = [(row["per_s"], row["events"]) for row in rows]
    assert counts == [(100, 100)] * 3 + [(400, 400)] * 3
    assert [rows[index]["ratio"] for index in (0, 3)] == [1.0, 1.0]
    for row in rows:
        assert (row["lost"], row["repeated"]) == (0, 0)
        assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["p999_ms"] <= row["max_ms"]


def test_publishing_is_counted_from_outside(kafka):
    """All that was acknowledged stands in the topic once; ratios are against the same way."""
    needs("node")
    needs("npm")
    rows = bench(kafka, "publish", "--count", "3000", "--rounds", "1")
    assert [row["events"] for row in rows] == [3000] * 4 + [300] * 3
    assert [rows[index]["ratio"] for index in (0, 4)] == [1.0, 1.0]
    for row in rows:
        assert (row["lost"], row["repeated"]) == (0, 0)
        assert row["events_per_s"] > 0
    # One by one it may be less than a tick of the system's clock.
    assert sum(row["cpu_s"] for row in rows) > 0


def test_broadcast_reaches_every_client_of_every_pod(kafka):
    """All clients get each notification once, or those of their own user."""
    few = ("--pods", "2", "--clients", "20", "--rate", "50", "--seconds", "1", "--rounds", "1")
    rows = bench(kafka, "broadcast", *few)
    assert [(row["pods"], row["clients"]) for row in rows] == [(1, 1), (2, 2), (1, 20), (1, 20)]
    assert [row["events"] for row in rows] == [50, 100, 50, 1000]
    for row in rows:
        assert (row["lost"], row["repeated"]) == (0, 0)
        assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["p999_ms"] <= row["max_ms"]


def test_failover_counts_every_event_of_a_killed_pod(kafka):
    """It is killed with ``kill -9`` under load: its partitions stood still, and nothing is lost."""
    only = ("--only", "started again at once, static", "--rounds", "1", "--rate", "200")
    [row] = bench(kafka, "failover", *only)
    assert row["lost"] == 0
    assert row["seconds"] > row["least_s"] > 0
    assert row["events"] > 0


def test_sizes_are_next_to_a_bare_loop_and_drawn(kafka, tmp_path):
    """Every size has a bare loop beside it; with --out the rows are kept and drawn."""
    sizes = ("--partitions", "2", "--value-bytes", "5000", "--blocked", "0", "--blocked", "100")
    few = ("--count", "2000", "--rounds", "1", "--out", str(tmp_path))
    rows = bench(kafka, "sizes", *sizes, *few)
    assert len(rows) == 6
    assert [rows[index]["ratio"] for index in (0, 2, 4)] == [1.0] * 3
    for row in rows:
        assert (row["lost"], row["repeated"]) == (0, 0)
    assert json.loads((tmp_path / "sizes.json").read_text("utf-8")) == {"rows": rows}
    assert "100 keys blocked" in (tmp_path / "sizes.svg").read_text("utf-8")
    assert (tmp_path / "sizes.md").read_text("utf-8").count("\n") == 2 + len(rows)


def test_failures_counts_what_each_contestant_loses(kafka):
    """Only the seed's own sample loses: all that fails; with its retries, and here, nothing is."""
    needs("node")
    needs("npm")
    rows = bench(kafka, "failures", "--count", "200", "--rounds", "1")
    assert [row["contestant"].split(",")[0] for row in rows] == [
        *("kafkajs", "kafkajs", "aiokafka loop", "Faust table agent", "Faust table agent"),
        *("trunkline", "trunkline"),
    ]
    assert [row["lost"] for row in rows] == [0, 60, 0, 0, 0, 0, 0]
    assert [row["ratio"] is None for row in rows] == [index == 1 for index in range(7)]
    assert rows[3]["ratio_to_faust"] == 1.0
    assert [row["keys"] for row in rows[5:]] == [200, 1000]
    for row in rows:
        assert row.keys() >= {"seconds", "good_s", "dead_s", "events_per_s", "cpu_s", "rss_mb"}
        assert row["good"] == 140
        assert row["dead"] == 60 - row["lost"]
        assert row["repeated"] == 0
        assert bool(row["wrong_attempts"]) == bool(row["lost"])


def test_retry_delay_is_never_early(kafka):
    """Every event is tried again once, and none before it is due, else it is an error."""
    arguments = ("--waiting", "50", "--delay", "1", "--load", "100")
    [row] = bench(kafka, "retry-delay", *arguments)
    assert row["retried"] == 100
    assert row["waiting"] > 0
    assert 0 <= row["earliest_ms"] <= row["p50_ms"] <= row["p99_ms"] <= row["p999_ms"]
    assert row["p999_ms"] <= row["max_ms"]


def test_recovery_on_an_empty_disk_and_on_its_own(kafka):
    """Both times the new worker knows every entry that waits."""
    rows = bench(kafka, "recovery", "--waiting", "200")
    assert [row["contestant"] for row in rows] == ["on an empty disk", "on its own disk"]
    for row in rows:
        assert row["waiting"] == 200
        assert row.keys() >= {"recovery_s", "start_s", "bytes_per_entry", "disk_bytes_per_entry"}
