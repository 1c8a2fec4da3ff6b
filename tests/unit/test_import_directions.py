"""Imports point one way: models <- trunkline <- tables <- agents <- app (DESIGN section 1)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("models", "trunkline", "tables", "agents", "app")
#: Entry points that start `app` as a process import nothing of it.
MODULES = sorted(
    path
    for layer in LAYERS
    for path in ((ROOT / layer).rglob("*.py") if layer != "app" else [ROOT / "app.py"])
)


def imported_layers(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names & set(LAYERS)


def forbidden(layer: str) -> set[str]:
    return set(LAYERS[LAYERS.index(layer) + 1 :])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_what_stands_before_it(path):
    """A module imports nothing from a layer outside of its own."""
    layer = path.relative_to(ROOT).parts[0].removesuffix(".py")
    wrong = imported_layers(path.read_text()) & forbidden(layer)
    assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


def test_sees_an_import_that_points_the_wrong_way():
    """The test itself can fail."""
    assert imported_layers("from agents.fan_out import x\nimport app") & forbidden("tables")


def test_only_faust_internals_reaches_into_faust_and_aiokafka():
    """Private names of the two libraries stand in few modules, which the contract test covers."""
    allowed = {
        "consumer_thread.py",
        "faust_internals.py",
        "producer_link.py",
        "transactions.py",
        "protocol.py",
        "tail.py",
    }
    for path in MODULES:
        if path.name in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                ("faust", "mode")
            ):
                private = [alias.name for alias in node.names if alias.name.startswith("_")]
                assert not private, f"{path.relative_to(ROOT)} imports {private} of {node.module}"
