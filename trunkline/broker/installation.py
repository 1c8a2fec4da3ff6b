"""What a node is started from: the jars, and Java's flags for a quick start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trunkline.broker.jars import Say, class_path
from trunkline.broker.quickstart import quick_start_flags


@dataclass(frozen=True)
class Installation:
    """Kafka as it lies on this machine."""

    jars: list[Path]
    flags: list[str]


def install(say: Say) -> Installation:
    """Return Kafka, downloaded and prepared when this is the first time.

    Raises:
        BrokerError: It could not be downloaded or kept.

    """
    jars = class_path(say)
    return Installation(jars, quick_start_flags(jars, say))
