"""Alert rules and dashboard: valid, tested by promtool, and with runbooks that are there."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import yaml

from tests.support.monitoring import (
    DASHBOARD,
    MONITORING,
    ROOT,
    RULES,
    dashboard_expressions,
    promtool,
    rules,
)

ALERTS = [rule for rule in rules() if "alert" in rule]


def run(*arguments):
    done = subprocess.run(
        [promtool(), *map(str, arguments)],
        cwd=MONITORING,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules_and_the_configuration():
    """As Prometheus would at its start."""
    assert "rules found" in run("check", "rules", *RULES)
    assert "prometheus.yml is valid" in run("check", "config", "prometheus.yml")


def test_alerts_fire_when_they_should_and_only_then():
    """The tests stand in deploy/monitoring/tests."""
    assert "SUCCESS" in run("test", "rules", "tests/alerts_test.yml")


def test_every_alert_has_a_test():
    """One that never fired in a test may never fire."""
    tests = yaml.safe_load((MONITORING / "tests" / "alerts_test.yml").read_text())["tests"]
    fired = {
        case["alertname"]
        for test in tests
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }
    assert fired == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_it_is_and_where_its_runbook_stands(rule):
    """The section is there."""
    assert rule["labels"]["severity"] in ("page", "warning")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    path, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert anchor in anchors((ROOT / path).read_text())


def test_promtool_takes_every_query_of_the_dashboard(tmp_path):
    """Grafana shows a wrong one only to who looks at its panel."""
    found = [{"record": f"panel_{i}", "expr": e} for i, e in enumerate(dashboard_expressions())]
    assert len(found) > 30
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": found}]}))
    assert f"{len(found)} rules found" in run("check", "rules", file)


def test_the_dashboard_asks_for_its_data_source():
    """It can be imported anywhere: no data source of ours is written into it."""
    board = json.loads(DASHBOARD.read_text())
    variables = {v["name"]: v for v in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    assert all(panel["description"] for panel in panels)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


#: What Grafana's schema demands of a panel's options (grafana-foundation-sdk 0.0.22, strict).
_OPTIONS = {
    "timeseries": {"legend", "tooltip"},
    "stat": {
        *("colorMode", "graphMode", "justifyMode", "orientation", "percentChangeColorMode"),
        *("reduceOptions", "showPercentChange", "textMode", "wideLayout"),
    },
}


def test_the_panels_say_all_that_grafanas_schema_demands():
    """It would fill in what is missing as it likes: a legend may be shown or not."""
    panels = [p for p in json.loads(DASHBOARD.read_text())["panels"] if p["type"] != "row"]
    for panel in panels:
        assert panel["options"].keys() >= _OPTIONS[panel["type"]], panel["title"]
        if panel["type"] == "timeseries":
            assert panel["options"]["legend"]["showLegend"] is True, panel["title"]


def anchors(text):
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings}
