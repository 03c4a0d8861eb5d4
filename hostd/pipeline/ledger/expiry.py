"""What is forgotten: places that are too old, and sources whose file is gone and of which no place can be left.

The source with the highest number is kept, so that no number is given twice.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager

from hostd import clock
from hostd.pipeline.ledger.places import DAY_MS, Places
from hostd.pipeline.ledger.provenance import Provenance


class Expiry:
    """The table `source_days`: on which day something was last committed of each source."""

    def __init__(
        self,
        db: sqlite3.Connection,
        transaction: Callable[[], AbstractContextManager[None]],
        places: Places,
        provenance: Provenance,
    ) -> None:
        self._db = db
        self._transaction = transaction
        self._places = places
        self._provenance = provenance
        self._days: dict[int, int] = {}
        self._noted: dict[int, int] = {}

    def put(self, sources: Collection[int]) -> None:
        """Take note of what is committed today, inside the caller's transaction."""
        today = clock.epoch_ms() // DAY_MS
        new = [source for source in sources if self._days.get(source) != today]
        if new:
            self._db.executemany("INSERT OR REPLACE INTO source_days VALUES (?, ?)", [(id_, today) for id_ in new])
        self._noted = dict.fromkeys(new, today)

    def accept(self) -> None:
        """Take note that what was put is durable: it need not be written again today."""
        self._days.update(self._noted)
        self._noted.clear()

    def candidates(self) -> list[tuple[int, str, str, int, int]]:
        """Return number, name, path, device and inode of the sources that may be forgotten if their files are gone.

        Those that no day is known of get today's, as they are from before days were noted.
        """
        today = clock.epoch_ms() // DAY_MS
        self._db.execute(
            "INSERT INTO source_days SELECT id, ? FROM sources WHERE id NOT IN (SELECT source FROM source_days)",
            (today,),
        )
        return self._db.execute(
            "SELECT id, name, path, device, inode FROM sources JOIN source_days ON source = id"
            " WHERE day < ? AND id < (SELECT max(id) FROM sources)",
            (today - self._places.keep.days,),
        ).fetchall()

    def forget(self, sources: Iterable[int]) -> None:
        """Remove sources, and who parsed what of them; durable on return."""
        with self._transaction():
            for source in sources:
                self._provenance.forget(source)
                self._db.execute("DELETE FROM sources WHERE id = ?", (source,))
                self._db.execute("DELETE FROM source_days WHERE source = ?", (source,))
                self._db.execute("DELETE FROM streams WHERE source = ?", (source,))
                self._days.pop(source, None)

    def drop_places(self) -> int:
        """Drop the places that are older than is kept; return of how many rows and packs."""
        with self._transaction():
            return self._places.expire(clock.epoch_ms())
