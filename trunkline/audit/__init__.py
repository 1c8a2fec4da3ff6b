"""The audit trail: who did what to the system, and when, as records of a topic."""

from trunkline.audit.log import AuditError, AuditLog, Note, audited
from trunkline.audit.records import Actor, AuditRecord, operator

__all__ = ["Actor", "AuditError", "AuditLog", "AuditRecord", "Note", "audited", "operator"]
