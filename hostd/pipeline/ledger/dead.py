"""Input that could not be parsed, kept with the reason."""

import sqlite3
from collections.abc import Sequence

from hostd.pipeline.ledger.rows import Result
from hostd.pipeline.spans import Span, union
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

    def drop_ranges(self, plugin: str, generation: int, results: Sequence[Result]) -> int:
        """Remove a generation's dead letters of the bytes of `results`, inside the caller's transaction; count them."""
        removed = 0
        spans: dict[int, list[Span]] = {}
        for r in results:
            spans.setdefault(r.source.id, []).append((r.start, r.source.checkpoint.offset))
        for source, found in spans.items():
            for start, end in union(found):
                removed += self._db.execute(
                    "DELETE FROM dead_letters WHERE source = ? AND plugin = ? AND generation = ? AND offset >= ?"
                    " AND offset < ?",
                    (source, plugin, generation, start, end),
                ).rowcount
        return removed

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
