"""deploy/systemd: a unit that systemd takes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.manifests.manifests import (
    ROOT,
    known_settings,
    settings_named_in,
)
from tests.support.missing import unavailable

UNIT = ROOT / "deploy/systemd/trunkline@.service"


def verify(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        unavailable("systemd-analyze is missing. Debian: apt-get install systemd.")
    # It must find the program; /opt/trunkline is the host's.
    unit = folder / "trunkline@engine-1.service"
    unit.write_text(text.replace("/opt/trunkline/.venv/bin/faust", "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Not a word of complaint; and one about a broken unit."""
    text = UNIT.read_text()

    taken = verify(tmp_path, text)
    broken = verify(tmp_path, text.replace("KillMode=mixed", "KillMood=mixed"))

    assert (taken.returncode, taken.stdout + taken.stderr) == (0, "")
    assert "KillMood" in broken.stderr


def test_every_setting_that_is_given_exists() -> None:
    """A misspelt variable would be passed over without a word."""
    lines = [line for line in UNIT.read_text().splitlines() if line.startswith("Environment=")]
    named = settings_named_in({line.split("=")[1] for line in lines})

    assert {"TRUNKLINE_POD", "TRUNKLINE_DATA_DIR"} <= named <= known_settings()
