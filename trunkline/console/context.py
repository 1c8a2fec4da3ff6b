"""What pages and actions need: filled by ``app.py``, the only place that knows it all."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline.settings import Settings
from trunkline.topology import Topology


@dataclass
class ConsoleContext:
    """All that pages read and actions use.

    A part that is None is not there on this worker: its pages say so instead of failing.

    Attributes:
        settings: What this process was told.
        topology: Services, groups and topics.

    """

    settings: Settings
    topology: Topology
