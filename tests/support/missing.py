"""What a test needs and this machine does not have: the test is skipped, but never in CI."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def unavailable(reason: str) -> NoReturn:
    """Skip the test that needs what is not there; fail it in CI, where nothing may be skipped.

    Args:
        reason: What is missing, and how to get it, in sentences.

    """
    if os.environ.get("CI"):
        pytest.fail(f"{reason} CI must run this test.", pytrace=False)
    pytest.skip(reason)


def needs(tool: str) -> None:
    """Need a foreign client's command."""
    if shutil.which(tool) is None:
        unavailable(f"{tool} is not installed: install it to try this foreign client.")
