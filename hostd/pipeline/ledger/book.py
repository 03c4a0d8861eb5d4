"""The plugins' past: which generations served, what was decided of them, their recent input."""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from msgspec.structs import replace

from hostd.past import Hold, Past
from hostd.pipeline.ledger.rows import as_row


class Book:
    """The tables `generations`, `holds` and `recent`. What is put is durable on return, or with the transaction
    under way."""

    def __init__(self, db: sqlite3.Connection, transaction: Callable[[], AbstractContextManager[None]]) -> None:
        self._db = db
        self._transaction = transaction

    def generations(self, most: int) -> list[Past]:
        """Return the last `most` generations of each plugin, and the last of each that was proven."""
        rows = self._db.execute(
            "SELECT * FROM (SELECT g.*, row_number() OVER (PARTITION BY plugin ORDER BY number DESC) AS nth,"
            " row_number() OVER (PARTITION BY plugin, permanent ORDER BY number DESC) AS nth_alike FROM generations g)"
            " WHERE nth <= ? OR (permanent AND nth_alike = 1)",
            (most,),
        )
        return [replace(Past(*row[:12]), permanent=bool(row[10])) for row in rows]

    def put_generations(self, rows: Iterable[Past]) -> None:
        """Write that generations went live, live again after a restart, or that they were proven; durable on return."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO generations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (plugin, number)"
                " DO UPDATE SET path = excluded.path, kept = excluded.kept, since = excluded.since,"
                " permanent = max(permanent, excluded.permanent),"
                " proven_under = CASE excluded.proven_under WHEN '' THEN proven_under ELSE excluded.proven_under END",
                map(as_row, rows),
            )

    def streaming(self) -> set[str]:
        """Return the plugins that made the snapshots of streams that have not been told that they end."""
        return {row[0] for row in self._db.execute("SELECT DISTINCT plugin FROM streams WHERE NOT ended")}

    def holds(self) -> list[Hold]:
        """Return all holds."""
        return [Hold(*row) for row in self._db.execute("SELECT * FROM holds")]

    def put_hold(self, hold: Hold) -> None:
        """Write a hold, in place of any other of its plugin."""
        self._db.execute("INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?, ?, ?)", as_row(hold))

    def drop_hold(self, plugin: str) -> None:
        """Remove a plugin's hold."""
        self._db.execute("DELETE FROM holds WHERE plugin = ?", (plugin,))

    def recent(self) -> dict[str, str]:
        """Return the recent input that was kept of each plugin."""
        return dict(self._db.execute("SELECT plugin, pieces FROM recent").fetchall())

    def put_recent(self, pieces: dict[str, str]) -> None:
        """Write the recent input of some plugins."""
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO recent VALUES (?, ?)", pieces.items())
