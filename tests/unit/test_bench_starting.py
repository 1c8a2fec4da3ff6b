"""The whole system is started on a Kafka of its own, whatever the shell says."""

from __future__ import annotations

from trunkline.bench.starting import environment_of_system
from trunkline.broker import EmbeddedBroker


def test_the_system_never_runs_on_the_cluster_of_the_shell(monkeypatch, tmp_path):
    """Its services would handle what is there, into a folder that is deleted."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "production:9092")
    monkeypatch.setenv("TRUNKLINE_KAFKA_USER", "me")
    monkeypatch.setenv("DATABASE_URL", "postgresql://production/db")
    broker = EmbeddedBroker(tmp_path / "broker", port=23456)
    environment = environment_of_system(broker, tmp_path)
    ours = {n: v for n, v in environment.items() if n.startswith(("TRUNKLINE_", "KAFKA_"))}
    assert ours.pop("TRUNKLINE_NAMESPACE").startswith("bench-")
    assert ours == {
        "TRUNKLINE_BROKER_PORT": "23456",
        "TRUNKLINE_BROKER_DIR": str(broker.directory),
        "TRUNKLINE_DATA_DIR": str(tmp_path / "data"),
    }
    assert "DATABASE_URL" not in environment
