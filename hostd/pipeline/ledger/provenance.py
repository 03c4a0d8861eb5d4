"""Who parsed which bytes of which source: ranges, each made by one generation, kept as long as the source is known."""

import sqlite3
from collections.abc import Iterable, Sequence

from hostd.pipeline.ledger.rows import Letter, Result
from hostd.pipeline.spans import Span, minus

Range = tuple[int, int, str, int]
"""A row's number, where its range ends, and the plugin and generation that made it."""

NOTHING_TO_GO_ON: Range = (0, -1, "", 0)
"""In place of a source's last range: the next one is a row of its own."""
MOST_KEPT = 1024
"""Of how many sources the last range is remembered; of others the table is asked."""


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
            end = r.source.checkpoint.offset
            if r.start == end:
                continue  # the end of a stream
            last = ranges.get(r.source.id) or self._last(r.source.id)
            if last is not None and last[1:] == (r.start, r.plugin, r.generation):
                self._db.execute("UPDATE provenance SET end = ? WHERE id = ?", (end, last[0]))
                row_id = last[0]
            else:
                row_id = self._insert(r.source.id, r.start, end, r.plugin, r.generation)
            ranges[r.source.id] = row_id, end, r.plugin, r.generation
        return ranges

    def take_over(self, letter: Letter, plugin: str, generation: int, ranges: dict[int, Range]) -> None:
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
                self._insert(letter.source, start, letter.offset, *made_by)
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
            self._insert(letter.source, letter.offset, letter.end, plugin, generation)

    def accept(self, ranges: dict[int, Range]) -> None:
        """Take note that what was put is durable."""
        self._last_range.update(ranges)
        while len(self._last_range) > MOST_KEPT:
            del self._last_range[next(iter(self._last_range))]

    def replace(self, plugin: str, generation: int, results: Iterable[Result]) -> None:
        """Write that `results` are what counts now of what a generation parsed, inside the caller's transaction."""
        made: dict[int, list[tuple[Span, int]]] = {}
        for r in results:
            span, pieces = (r.start, r.source.checkpoint.offset), made.setdefault(r.source.id, [])
            if pieces and pieces[-1][0][1] == span[0] and pieces[-1][1] == r.generation:
                pieces[-1] = (pieces[-1][0][0], span[1]), r.generation
            else:
                pieces.append((span, r.generation))
        for source, pieces in made.items():
            self._last_range.pop(source, None)
            before = self._db.execute(
                "SELECT id, start, end FROM provenance WHERE source = ? AND plugin = ? AND generation = ?",
                (source, plugin, generation),
            ).fetchall()
            self._db.executemany("DELETE FROM provenance WHERE id = ?", [row[:1] for row in before])
            for start, end in minus([row[1:] for row in before], [span for span, _ in pieces]):
                self._insert(source, start, end, plugin, generation)
            for (start, end), by in pieces:
                self._insert(source, start, end, plugin, by)

    def forget(self, source: int) -> None:
        """Remove what is known of a source, inside the caller's transaction."""
        self._last_range.pop(source, None)
        self._db.execute("DELETE FROM provenance WHERE source = ?", (source,))

    def _last(self, source: int) -> Range | None:
        """Return the range of a source that ends last, as it was before this transaction or this start."""
        if source not in self._last_range:
            row = self._db.execute(
                "SELECT id, end, plugin, generation FROM provenance WHERE source = ?"
                " ORDER BY end DESC, id DESC LIMIT 1",
                (source,),
            ).fetchone()
            if row is None:
                return None
            self._last_range[source] = row
        return self._last_range[source]

    def _insert(self, source: int, start: int, end: int, plugin: str, generation: int) -> int:
        cursor = self._db.execute(
            "INSERT INTO provenance VALUES (NULL, ?, ?, ?, ?, ?)", (source, start, end, plugin, generation)
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid


def ranges_of(db: sqlite3.Connection, plugin: str, generation: int) -> dict[int, list[Span]]:
    """Return by source which bytes a generation parsed."""
    ranges: dict[int, list[Span]] = {}
    for source, start, end in db.execute(
        "SELECT source, start, end FROM provenance WHERE plugin = ? AND generation = ? ORDER BY source, start",
        (plugin, generation),
    ):
        ranges.setdefault(source, []).append((start, end))
    return ranges


def generations_of(db: sqlite3.Connection, plugin: str) -> list[int]:
    """Return which generations of a plugin parsed something that is known."""
    rows = db.execute("SELECT DISTINCT generation FROM provenance WHERE plugin = ? ORDER BY generation", (plugin,))
    return [row[0] for row in rows]
