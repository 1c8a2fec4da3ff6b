"""What stands in deploy/monitoring: rules, dashboard, and the expressions in them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.missing import unavailable

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
RULES = ("recording.yml", "alerts.yml")
DASHBOARD = MONITORING / "grafana" / "trunkline.json"

_NAME = re.compile(r"(?<![\w:])(?:trunkline|process|python)_[a-z0-9_]+")


def promtool() -> str:
    """Return the command; a test that needs it is skipped where it is not, but never in CI."""
    found = shutil.which("promtool")
    if found is None:
        unavailable("promtool is missing: install Debian's package prometheus.")
    return found


def rules() -> list[dict[str, Any]]:
    """Return all rules."""
    groups = [yaml.safe_load((MONITORING / name).read_text())["groups"] for name in RULES]
    return [rule for file in groups for group in file for rule in group["rules"]]


def dashboard_expressions() -> Iterator[str]:
    """Yield the queries of all panels, with Grafana's variables filled in."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"].replace("$__rate_interval", "5m")
            yield text.replace("$group", ".*").replace("$topic", ".*")


def names_in(expression: str) -> set[str]:
    """Return the metrics that an expression asks for."""
    without_labels = re.sub(r"\{[^}]*\}", "", expression)
    return set(_NAME.findall(without_labels))
