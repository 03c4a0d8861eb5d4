"""Who parsed which bytes of which source: ranges, each made by one generation."""

import sqlite3
from collections.abc import Sequence

from hostd.pipeline.ledger.rows import Result

Range = tuple[int, int, str, int]
"""A row's number, where its range ends, and the plugin and generation that made it."""


class Provenance:
    """The table `provenance`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._last_range: dict[int, Range] = {}

    def put(self, results: Sequence[Result]) -> dict[int, Range]:
        """Write who parsed which range, inside the caller's transaction; return what to `accept` after it.

        One that goes on where the last one ended only makes that longer.
        """
        ranges: dict[int, Range] = {}
        for r in results:
            if r.start == r.source.checkpoint.offset:
                continue  # the end of a stream: no bytes
            end = r.source.checkpoint.offset
            last = ranges.get(r.source.id) or self._last_range.get(r.source.id)
            if last is not None and last[1:] == (r.start, r.plugin, r.generation):
                self._db.execute("UPDATE provenance SET end = ? WHERE id = ?", (end, last[0]))
                row_id = last[0]
            else:
                cursor = self._db.execute(
                    "INSERT INTO provenance VALUES (NULL, ?, ?, ?, ?, ?)",
                    (r.source.id, r.start, end, r.plugin, r.generation),
                )
                assert cursor.lastrowid is not None
                row_id = cursor.lastrowid
            ranges[r.source.id] = row_id, end, r.plugin, r.generation
        return ranges

    def accept(self, ranges: dict[int, Range]) -> None:
        """Take note that what was put is durable."""
        self._last_range.update(ranges)
