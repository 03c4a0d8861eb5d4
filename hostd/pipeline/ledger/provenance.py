"""Who parsed which bytes of which source: ranges, each made by one generation."""

import sqlite3
from collections.abc import Sequence

from hostd.pipeline.ledger.rows import Letter, Result

Range = tuple[int, int, str, int]
"""A row's number, where its range ends, and the plugin and generation that made it."""

NOTHING_TO_GO_ON: Range = (0, -1, "", 0)
"""In place of a source's last range: the next one is a row of its own."""

_INSERT = "INSERT INTO provenance VALUES (NULL, ?, ?, ?, ?, ?)"


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
                cursor = self._db.execute(_INSERT, (r.source.id, r.start, end, r.plugin, r.generation))
                assert cursor.lastrowid is not None
                row_id = cursor.lastrowid
            ranges[r.source.id] = row_id, end, r.plugin, r.generation
        return ranges

    def replace(self, letter: Letter, plugin: str, generation: int, ranges: dict[int, Range]) -> None:
        """Write that another generation parsed a dead letter, inside the caller's transaction, after `put`.

        The range that it lies in is split around it, and goes on to have its number where anything is left behind it.
        """
        row = self._db.execute(
            "SELECT id, start, end, plugin, generation FROM provenance WHERE source = ? AND end >= ? AND start <= ?"
            " ORDER BY end LIMIT 1",
            (letter.source, letter.end, letter.offset),
        ).fetchone()
        if row is not None:
            row_id, start, end, *made_by = row
            if start < letter.offset:
                self._db.execute(_INSERT, (letter.source, start, letter.offset, *made_by))
            if letter.end < end:
                self._db.execute("UPDATE provenance SET start = ? WHERE id = ?", (letter.end, row_id))
            else:
                self._db.execute("DELETE FROM provenance WHERE id = ?", (row_id,))
                ranges[letter.source] = NOTHING_TO_GO_ON
        before = self._db.execute(
            "UPDATE provenance SET end = ? WHERE source = ? AND end = ? AND plugin = ? AND generation = ? RETURNING id",
            (letter.end, letter.source, letter.offset, plugin, generation),
        ).fetchall()
        last = ranges.get(letter.source) or self._last_range.get(letter.source, NOTHING_TO_GO_ON)
        if (last[0],) in before:
            ranges[letter.source] = NOTHING_TO_GO_ON  # it ends somewhere else now
        if not before:
            self._db.execute(_INSERT, (letter.source, letter.offset, letter.end, plugin, generation))

    def accept(self, ranges: dict[int, Range]) -> None:
        """Take note that what was put is durable."""
        self._last_range.update(ranges)
