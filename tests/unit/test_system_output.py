"""What ``trunkline status`` and ``workers`` show of a situation, on terminals of any width."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from rich.console import Console

from tests.support.reports import NOW_S, report
from tests.unit.test_system_alarms import BEHIND, WELL, situation
from trunkline.cli.system_output import as_json, as_screen, workers_as_json, workers_table
from trunkline.system.report import PartitionReport, RetriesReport, TopicReport
from trunkline.system.workers import Worker

PARTITIONS = [PartitionReport(topic="order.created", partition=0, lag=890)]


def shown(renderable, width=80):
    console = Console(width=width, highlight=False, force_terminal=False)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def test_a_healthy_system_is_one_line_and_two_tables():
    """Health first; then groups and pods with their numbers."""
    retries = RetriesReport(waiting=7, parked=2)
    out = shown(as_screen(situation(report(retries=retries, partitions=PARTITIONS))))
    lines = out.splitlines()
    assert lines[0].rstrip() == "OK  All is well: 1 pod reports, lag 0."
    assert " ".join(lines[2].split()) == "group pods lag events failed waiting parked dead"
    assert lines[3].split() == ["engine-group", "1", "0", "0/s", "0/s", "7", "2", "0"]
    assert lines[6].split()[:5] == ["engine.1", "ready", "1", "0/s", "890"]


def test_what_is_wrong_comes_first():
    """The worst as the health, then each alarm, then the pods that are ill before the others."""
    now = situation(report("engine.1"), report("engine.2", live=False, live_reason="stands"))
    now = replace(now, pauses={"engine-group": ["order.created"]})
    lines = shown(as_screen(now)).splitlines()
    assert lines[0].startswith("FAILING  engine.2 is stuck: stands")
    assert lines[2].startswith("critical engine.2 is stuck")
    assert lines[3].startswith("info     engine-group is paused on order.created")
    pods = [line.split()[:2] for line in lines if line.startswith("engine.")]
    assert pods == [["engine.2", "stuck"], ["engine.1", "ready"]]
    assert any(line.startswith("engine-group (paused)") for line in lines)


def test_a_silent_pod_is_stale():
    """With how long it has been; its group says so, too."""
    now = situation(age_s=75, brokers=replace(WELL, groups={"engine-group": BEHIND}))
    out = shown(as_screen(now))
    assert "STALE 1 min 15 s" in out
    assert "0 + 1 stale" in out
    assert "890" in out


def test_what_deserves_attention_stands_in_the_first_line():
    """A group that is paused is no alarm, but not well either."""
    now = replace(situation(), pauses={"engine-group": ["order.created"]})
    line = " ".join(shown(as_screen(now)).split("info ")[0].split())
    assert line == (
        "OK No alarm: 1 pod reports, lag 0. To note: engine-group is paused on order.created, by "
        "an operator."
    )


def test_pods_are_unknown_while_kafka_is_away():
    """They may well run: neither stale nor none."""
    now = situation(age_s=75, brokers=replace(WELL, at_s=NOW_S - 60, error="no route"))
    lines = shown(as_screen(now)).splitlines()
    assert lines[0].split() == ["FAILING", "Kafka", "does", "not", "answer:", "no", "route."]
    assert [line.split()[:2] for line in lines if line.startswith("engine")] == [
        ["engine-group", "?"],
        ["engine.1", "unknown"],
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_fits_any_width(width):
    """Long names are folded, numbers never cut."""
    topics = {"order.created": TopicReport(counters={"dead": 12_345_678})}
    pods = [report(f"a-service-with-a-long-name-{n}.1", topics=topics) for n in range(30)]
    out = shown(as_screen(situation(*pods)), width)
    assert max(map(len, out.splitlines())) <= width
    if width >= 80:
        assert "370,370,340" in out
    assert "and 10 more: trunkline workers" in out
    table = workers_table([Worker(pod, NOW_S) for pod in pods], NOW_S, details=True, width=width)
    assert max(map(len, shown(table, width).splitlines())) <= width


def test_hostile_names_are_harmless():
    """Anybody may write a report: nothing in it acts on the terminal, as text or as JSON."""
    pod = "pod\x1b[2J\n\u202e[red]x"
    said = report(pod, live=False, live_reason="\x1b]0;owned\x07", url="http://x/\x1b")
    now = situation(said)
    out = shown(as_screen(now)) + shown(
        workers_table(now.workers, NOW_S, details=True, width=200), 200
    )
    text = json.dumps(as_json(now))
    for printed in (out, text):
        assert "\x1b" not in printed
        assert "\x07" not in printed
        assert "\u202e" not in printed
    assert r"[red]x" in out


def test_json_has_everything():
    """Health, alarms, groups, pods with their whole reports."""
    now = situation(report(partitions=PARTITIONS))
    found = json.loads(json.dumps(as_json(now)))
    assert found["health"] == {"state": "ok", "text": "All is well: 1 pod reports, lag 0."}
    assert found["groups"][0]["topics"]["order.created"]["lag"] == 0
    [worker] = found["workers"]
    assert worker == workers_as_json(now.workers, NOW_S)[0]
    assert (worker["state"], worker["stale"]) == ("ready", False)
    assert worker["report"]["partitions"][0]["lag"] == 890
