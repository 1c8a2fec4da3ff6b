"""Small workers for tests of the delivery core: real Faust processes with telling handlers."""

from __future__ import annotations

#: Group of the pods of ``journal.py``, before the namespace.
JOURNAL_GROUP = "journal-group"
