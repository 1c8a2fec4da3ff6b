"""The retries table's files as Faust sees them: to be read, of the partitions that are open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from faust.stores.rocksdb import Store

from tables.retry_files import META_PREFIX


class RetriesStore(Store):
    """Faust's RocksDB store, to be read only: the files are opened and written by their owner."""

    def _set(self, key: bytes, value: bytes | None) -> None:
        refuse_write()

    def _del(self, key: bytes) -> None:
        refuse_write()

    def _get(self, key: bytes) -> bytes | None:
        found = (db.get(key) for db in self._dbs_for_actives())
        return next((value for value in found if value is not None), None)

    def _contains(self, key: bytes) -> bool:
        return self._get(key) is not None

    def _dbs_for_actives(self) -> Iterator[Any]:
        return iter(list(self._dbs.values()))

    def _visible_keys(self, db: Any) -> Iterator[bytes]:
        return (key for key in db.keys() if not key.startswith(META_PREFIX))  # noqa: SIM118  # no dict

    def _visible_items(self, db: Any) -> Iterator[tuple[bytes, bytes]]:
        return ((key, value) for key, value in db.items() if not key.startswith(META_PREFIX))

    def show(self, partition: int, db: Any) -> None:
        """Let readers see a partition's files."""
        self._dbs[partition] = db

    def hide(self, partition: int) -> None:
        """Let them see it no more, before it is closed."""
        self._dbs.pop(partition, None)


def refuse_write() -> NoReturn:
    """Raise for whoever writes through the mapping."""
    raise TypeError(
        "The retries table is written in transactions only: open its partition, and commit Changes "
        "(trunkline/retries/store.py)."
    )
