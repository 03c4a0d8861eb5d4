"""Input that could not be parsed, kept with the reason."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from hostd.pipeline.faults import ledger_error
from hostd.pipeline.ledger.rows import Result
from hostd.workers.batch import DeadLetter

MAX_DEAD_BYTES = 64 << 10
"""How many bytes of one dead letter are kept; the rest is in the source, at its offset."""


class DeadLetters:
    """The table `dead_letters`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def counts(self) -> dict[str, int]:
        """Return how many dead letters there are, by plugin."""
        return dict(self._db.execute("SELECT plugin, count(*) FROM dead_letters GROUP BY plugin").fetchall())

    def of_source(self, source_id: int) -> list[DeadLetter]:
        """Return a source's dead letters in the order of their offsets; their bytes up to `MAX_DEAD_BYTES`."""
        rows = self._db.execute(
            "SELECT offset, raw, reason, traceback FROM dead_letters WHERE source = ? ORDER BY offset, id",
            (source_id,),
        )
        return [DeadLetter(*row) for row in rows]

    def put(self, results: Sequence[Result], now: str) -> None:
        """Write the dead letters of a group of results, inside the caller's transaction."""
        self._db.executemany(
            "INSERT INTO dead_letters VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    r.source.id,
                    r.source.name,
                    letter.offset,
                    len(letter.raw),
                    letter.raw[:MAX_DEAD_BYTES],
                    r.plugin,
                    r.generation,
                    letter.reason,
                    letter.traceback,
                    now,
                )
                for r in results
                for letter in r.dead
            ],
        )


def dead_counts(path: Path) -> dict[str, int]:
    """Return how many dead letters a ledger in use holds, by plugin, through a connection of its own.

    Raises LedgerError.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return DeadLetters(db).counts()
    except sqlite3.Error as error:
        raise ledger_error(error, path) from error
