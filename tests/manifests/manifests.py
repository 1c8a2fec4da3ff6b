"""What ships for running Trunkline elsewhere, read as its tools read it."""

from __future__ import annotations

import copy
import functools
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import AliasChoices

from tests.support.missing import unavailable
from trunkline.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ROOT / "deploy/k8s/overlays"
OVERLAY = OVERLAYS / "example"
_OURS = re.compile(r"^(TRUNKLINE_|KAFKA_|DATABASE_URL$|POD_NAME$)")


@functools.cache
def kustomize() -> list[str] | None:
    """Return the command that builds a kustomization; None where there is none."""
    built = ROOT / ".trunkline/tools/kustomize"
    for name, command in (
        ("kustomize", ["kustomize", "build"]),
        (str(built), [str(built), "build"]),
        ("kubectl", ["kubectl", "kustomize"]),
    ):
        if shutil.which(name):
            return command
    return None


@functools.cache
def _built(folder: Path) -> list[dict[str, Any]]:
    command = kustomize()
    if command is None:
        unavailable(
            "Neither kustomize nor kubectl is there (scripts/ci/kustomize makes the first)."
        )
    assert command is not None
    done = subprocess.run([*command, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def resources(folder: Path = OVERLAY) -> list[dict[str, Any]]:
    """Return what ``kubectl apply -k`` would send; a copy that the caller may break."""
    return copy.deepcopy(_built(folder))


def of_kind(*kinds: str, folder: Path = OVERLAY) -> dict[str, dict[str, Any]]:
    """Return the resources of some kinds by their names."""
    found = [r for r in resources(folder) if r["kind"] in kinds]
    return {resource["metadata"]["name"]: resource for resource in found}


def compose() -> dict[str, Any]:
    """Return compose.yaml."""
    read: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    return read


def settings_named_in(variables: Iterator[str] | set[str]) -> set[str]:
    """Return those of the variables that must be settings of ours."""
    return {name for name in variables if _OURS.match(name)}


def known_settings() -> set[str]:
    """Return the name of every variable that is read."""
    names: set[str] = set()
    for field, info in Settings.model_fields.items():
        alias = info.validation_alias
        if isinstance(alias, AliasChoices):
            names |= {str(choice) for choice in alias.choices}
        else:
            names.add(str(alias or f"TRUNKLINE_{field.upper()}"))
    return names
