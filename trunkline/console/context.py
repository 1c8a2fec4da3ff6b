"""What pages and actions need: filled by ``app.py``, the only place that knows it all."""

from __future__ import annotations

from dataclasses import dataclass, field

from trunkline.audit import AuditLog
from trunkline.audit.trail import AuditTrail
from trunkline.dead_letters.index import DeadLetterIndex
from trunkline.dead_letters.runs import Runs
from trunkline.retries.live import LiveRetries
from trunkline.settings import Settings
from trunkline.system.view import SystemView
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
        retries: What waits.
        dead_letters: The index of the dead letters.
        runs: Redrives and discards of this process.
        audit: Where actions are noted.
        trail: What has been noted.
        view: The whole system, as its pods report it.

    """

    settings: Settings
    topology: Topology
    access: Access
    masking: Masking = field(init=False)
    retries: LiveRetries | None = None
    dead_letters: DeadLetterIndex | None = None
    runs: Runs | None = None
    audit: AuditLog | None = None
    trail: AuditTrail | None = None
    view: SystemView | None = None

    def __post_init__(self) -> None:
        self.masking = Masking(self.settings.mask_fields)
