"""What scripts/up says when everything runs."""

from __future__ import annotations

from pathlib import Path

from trunkline.topology import Topology
from trunkline.up.greeting import Greeting
from trunkline.up.plan import pods_of

ROOT = Path(__file__).parents[2]


def test_names_the_console_first():
    """At 3 a.m. one opens that; the other pods keep the ports that the README gives them."""
    pods = pods_of(ROOT / "Procfile", Topology(), "127.0.0.1:19092", Path("data"), 6066)

    text = Greeting(pods, "127.0.0.1:19092")._text()

    first_url = text[text.index("http://") :].split()[0]
    assert first_url == "http://127.0.0.1:6079/console/"
    ports = {pod.name: pod.port for pod in pods}
    assert ports["auth-service.1"] == 6066
    assert ports["dlq.1"] == 6078
