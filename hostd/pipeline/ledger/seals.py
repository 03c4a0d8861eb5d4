"""What is known of files beside what was committed of them: copies, and archives that were read to their end."""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager

from hostd.pipeline.ledger.rows import SourceRow, as_row, stored


class Seals:
    """The table `seals`, and rows of `sources` that no batch has put there. What is put is durable on return."""

    def __init__(self, db: sqlite3.Connection, transaction: Callable[[], AbstractContextManager[None]]) -> None:
        self._db = db
        self._transaction = transaction

    def all(self) -> dict[int, tuple[bytes, int]]:
        """Return by each archive's source how to know its bytes again, and how many came of them."""
        rows = self._db.execute("SELECT source, seal, length FROM seals")
        return {source: (seal, length) for source, seal, length in rows}

    def put(self, row: SourceRow, seal: tuple[bytes, int] | None) -> None:
        """Write up to where a file was read, here or as another, and its seal if it is an archive read to its end.

        What a batch has said of it since is further on, and stays.
        """
        with self._transaction():
            self._db.execute(
                "INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                (row.id, row.name, stored(row.path), row.device, row.inode, *as_row(row.checkpoint)),
            )
            if seal is not None:
                self._db.execute("INSERT OR REPLACE INTO seals VALUES (?, ?, ?)", (row.id, *seal))
