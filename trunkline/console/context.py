"""What pages and actions need: filled by ``app.py``, the only place that knows it all."""

from __future__ import annotations

from dataclasses import dataclass, field

from trunkline.settings import Settings
from trunkline.topology import Topology
from trunkline.web.safety.access import Access
from trunkline.web.safety.masking import Masking


@dataclass
class ConsoleContext:
    """All that pages read and actions use.

    A part that is None is not there on this worker: its pages say so instead of failing.

    Attributes:
        settings: What this process was told.
        topology: Services, groups and topics.
        access: Who may do what; the same object as the guard's.
        masking: Hides fields of payloads: put every payload that is shown or exported through it.

    """

    settings: Settings
    topology: Topology
    access: Access
    masking: Masking = field(init=False)

    def __post_init__(self) -> None:
        self.masking = Masking(self.settings.mask_fields)
