"""The durable table of failed events: a Faust table that is written in fenced transactions.

Reading it is Faust's (``table[key]``, ``table.items()``, its web page): keys and values are those
of ``models/failures.py``, and the partitions are those that this pod has open. What Faust's own way
lacks is done here:

- Faust sends its changelog record by record, and a worker that was thought dead goes on writing.
  Here all that one step changes is one Kafka transaction, and who opens a partition fences the
  owner before; the files follow only after the commit was acknowledged.
- Faust recovers all tables before any partition goes on, at every rebalance. Here each partition is
  opened by itself, when its owner wants it (see ``trunkline/delivery/faust_tables.py``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import faust
from aiokafka import TopicPartition

from tables.retry_cache import EntryCache
from tables.retry_changelog import ChangelogReader, open_changelog
from tables.retry_files import (
    MIB,
    ROCKSDB_OPTIONS,
    FilesInUseError,
    RetryFiles,
    RetryOptions,
)
from tables.retry_partition import RetriesPartition
from tables.retry_staleness import why_stale
from tables.retry_store import RetriesStore, refuse_write
from trunkline.delivery.app import DeliveryApp
from trunkline.delivery.faust_tables import TableManager
from trunkline.delivery.fenced import FencedTransactions
from trunkline.errors import ConfigurationError
from trunkline.topology import RETRIES_TABLE, Topology

logger = logging.getLogger(__name__)

#: Half of the time for which Kafka keeps a tombstone at least (``delete.retention.ms``).
MAX_AGE_S = 12 * 3600.0
#: A process that was told to end may need this long to let go of its files.
_LOCK_PATIENCE_S = 3.0
_LOCK_POLL_S = 0.1
CACHE_BYTES = 32 * MIB


class RetriesTable(faust.Table[bytes, bytes]):
    """The retries table of a group, as far as this pod has its partitions: a ``RetryStore``.

    Made by :func:`retries_table`.

    Args:
        app: The app; its id is the group, and its settings say where Kafka and the data are.
        max_request_bytes: Largest record of the changelog, of dead letters and releases.
        max_age_s: Files that were not in step for longer are made anew.
        cache_bytes: About how much memory recently used entries may take.
        options: Faust's, for a table.

    """

    #: For the table manager.
    recovers_itself = True

    def __init__(
        self,
        app: DeliveryApp,
        *,
        max_request_bytes: int = 3 * MIB,
        max_age_s: float = MAX_AGE_S,
        cache_bytes: int = CACHE_BYTES,
        **options: Any,
    ) -> None:
        super().__init__(app, **options)
        self._settings = app.trunkline
        self._group = app.conf.id
        self._max_request_bytes = max_request_bytes
        self._max_age_s = max_age_s
        self._files_options = RetryOptions(**ROCKSDB_OPTIONS)
        self._cache = EntryCache(cache_bytes)
        self._open: dict[int, RetriesPartition] = {}

    # -- as a RetryStore

    async def open(self, partition: int) -> RetriesPartition:
        """Take a partition over: fence its earlier owner, and recover what waits.

        Raises:
            BrokerError: Kafka is away.
            FilesInUseError: Another pod has the same folder.
            UnreadableFilesError: The folder cannot be written.

        """
        if partition in self._open:
            await self._open[partition].close()
        transactions = self._transactions(partition)
        files: RetryFiles | None = None
        try:
            # First: from here on nothing can be added to what is read.
            await transactions.open()
            files = await self._open_files(self.folder(partition))
            await self._recover(partition, files)
            opened = RetriesPartition(
                self._place(partition), files, transactions, self._cache, on_close=self._forget
            )
        except BaseException:
            if files is not None:
                files.close()
            await transactions.close()
            raise
        self._open[partition] = opened
        self.data.show(partition, files.db)
        return opened

    def folder(self, partition: int) -> Path:
        """Return the folder of a partition's files."""
        path: Path = self.data.partition_path(partition)
        return path.absolute()

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self.changelog_topic_name, partition)

    def _transactions(self, partition: int) -> FencedTransactions:
        return FencedTransactions(
            self._settings.connection,
            f"{self._settings.pod_name}.{self.name}-{partition}",
            f"{self._group}.{self.name}-{partition}",
            max_request_bytes=self._max_request_bytes,
            metadata_max_age_s=self._settings.metadata_max_age_s,
        )

    async def _open_files(self, folder: Path) -> RetryFiles:
        give_up_at = time.monotonic() + _LOCK_PATIENCE_S
        while True:
            try:
                return await asyncio.to_thread(RetryFiles, folder, self._files_options)
            except FilesInUseError:
                if time.monotonic() > give_up_at:
                    raise
                await asyncio.sleep(_LOCK_POLL_S)

    async def _recover(self, partition: int, files: RetryFiles) -> None:
        began_at = time.monotonic()
        async with open_changelog(
            self._settings.connection,
            f"{self._settings.pod_name}.{self.name}-{partition}",
            self._place(partition),
        ) as changelog:
            self._clear_if_stale(files, changelog)
            records = 0
            async for batch in changelog.read(files.offset + 1):
                files.apply(batch)
                records += len(batch)
            files.note_in_step(changelog.range.topic_id)
        logger.info(
            "%s[%s]: recovered, %s record(s) read in %.2f s",
            self.changelog_topic_name,
            partition,
            records,
            time.monotonic() - began_at,
        )

    def _clear_if_stale(self, files: RetryFiles, changelog: ChangelogReader) -> None:
        if files.is_new:
            return
        now_ms = int(time.time() * 1000)
        reason = why_stale(files.mark, files.offset, changelog.range, now_ms, self._max_age_s)
        if reason is not None:
            logger.info("%s is read anew from Kafka: %s", files.folder, reason)
            files.clear()

    def _forget(self, partition: RetriesPartition) -> None:
        if self._open.get(partition.partition) is partition:
            del self._open[partition.partition]
            self.data.hide(partition.partition)

    # -- as a Faust table

    def _new_store_by_url(self, url: Any) -> RetriesStore:
        return RetriesStore(
            url,
            self.app,
            self,
            table_name=self.name,
            key_type=self.key_type,
            key_serializer=self.key_serializer,
            value_type=self.value_type,
            value_serializer=self.value_serializer,
            options={},
        )

    async def on_rebalance(self, *_: Any) -> None:
        """Do nothing: the partitions' owner opens and closes them."""

    def on_key_set(self, key: bytes, value: bytes) -> None:
        """Refuse to be written through the mapping."""
        refuse_write()

    def on_key_del(self, key: bytes) -> None:
        """Refuse to be written through the mapping."""
        refuse_write()

    def on_clear(self) -> None:
        """Refuse to be written through the mapping."""
        refuse_write()


def retries_table(app: DeliveryApp, topology: Topology, group: str) -> RetriesTable:
    """Make the retries table of the app's group, and add it to the app's tables.

    Raises:
        ConfigurationError: The app has another group, or not our table manager.

    """
    topic = topology.retries_changelog(group)
    manager = app.tables
    if not isinstance(manager, TableManager):
        raise ConfigurationError(
            f"The app {app.conf.id} must be made with TableManager={TableManager.__module__}."
            "TableManager, so that Faust leaves the retries table alone."
        )
    table = RetriesTable(
        app,
        name=RETRIES_TABLE,
        key_type=bytes,
        value_type=bytes,
        store="rocksdb://",
        partitions=topic.partitions,
        max_request_bytes=topic.max_message_bytes,
        help="Failed events that wait to be tried again",
        beacon=manager.beacon,
    )
    if table.changelog_topic_name != topic.name:
        raise ConfigurationError(
            f"The changelog of the app {app.conf.id} is {table.changelog_topic_name}, and the "
            f"topology declares {topic.name}: make the app of the group {group}."
        )
    manager.add(table)
    return table
