"""Faust's table manager, for tables that look after themselves beside Faust's own.

Faust recovers all tables of a worker together: at every rebalance it holds back every partition
until the last table is done. A table with ``recovers_itself = True`` is a table like any other to
its readers, but Faust neither consumes its changelog nor waits for it, and its changelog plays no
part in how partitions are given out. All other tables keep Faust's behaviour.
"""

from __future__ import annotations

from typing import Any

from faust.tables import TableManager as FaustTableManager


class TableManager(FaustTableManager):
    """Faust's manager; set as the app's ``TableManager``."""

    def __bool__(self) -> bool:
        """Whether Faust has tables to recover; without any it resumes the streams at once."""
        return bool(self._changelogs)

    async def on_start(self) -> None:
        """Register the tables, upon which the worker joins its group.

        Stock Faust sleeps for a second before, in which stock agents and their tables may still
        find topics to read. Ours have named theirs when this starts: they do not wait.
        """
        if self._changelogs or self.app.has_stock_agents:
            await super().on_start()
            return
        await self._update_channels()
        if not self.should_stop:
            await self.recovery.start()

    def add(self, table: Any) -> Any:
        """Add a table; one that recovers itself gets no changelog channel."""
        added = super().add(table)
        if getattr(table, "recovers_itself", False):
            # Whoever asks which topics are changelogs (assignor, recovery, consumer) asks this one.
            del self._changelogs[table.changelog_topic.get_topic_name()]
            # A table that has a channel already gets no other: nothing subscribes to the changelog.
            self._channels[table] = table.changelog_topic
        return added
