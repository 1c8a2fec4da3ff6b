"""What the audit topic holds."""

from __future__ import annotations

from tests.support.kafka import read_all
from trunkline.audit import AuditRecord
from trunkline.audit.records import read_audit
from trunkline.topology import Topology


async def audit_records(servers: str, topology: Topology) -> list[AuditRecord]:
    """Return the records of a namespace's audit topic, in their order; all of them must be ours."""
    records = await read_all(servers, topology.audit_topic().name)
    read = [read_audit(record.value) for record in records]
    assert None not in read
    return [record for record in read if record is not None]
