"""The snapshots of streams: what a source's stream needs to go on from its checkpoint, written together with that."""

import sqlite3
from collections.abc import Sequence

from hostd.pipeline.ledger.rows import Copy, Result, SourceRow, StreamState, stored

MAX_ENDED = 1000
"""How many streams that have ended are remembered, in case that their file goes on after all."""


class StreamStates:
    """The tables `streams`, and `stream_generations`: which generations have fed any, as long as the ledger lives."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def of(self, source_id: int) -> StreamState | None:
        """Return the state of a source's stream."""
        row = self._db.execute(
            "SELECT plugin, generation, offset, state, ended, origin_offset, origin_state FROM streams"
            " WHERE source = ?",
            (source_id,),
        ).fetchone()
        if row is None:
            return None
        plugin, generation, offset, state, ended, origin_offset, origin_state = row
        return StreamState(plugin, generation, offset, state, bool(ended), origin_offset, origin_state)

    def unended(self) -> set[int]:
        """Return the sources whose streams have not been told that they end."""
        return {row[0] for row in self._db.execute("SELECT source FROM streams WHERE NOT ended")}

    def is_unended(self, source_id: int) -> bool:
        """Tell whether a source has a stream that has not been told that it ends."""
        return bool(self._db.execute("SELECT 1 FROM streams WHERE source = ? AND NOT ended", (source_id,)).fetchone())

    def hand_on(self, copy: Copy, row: SourceRow) -> None:
        """Write that a copy goes on with a stream where its original was read to, inside the caller's transaction.

        Where a piece of it was committed already, that counts. An original that goes on by itself keeps its end.
        """
        if self.of(row.id) is not None:
            return
        self._end_in(row)
        handed_on = self._db.execute(
            "INSERT INTO streams SELECT ?, plugin, generation, offset, state, ?, origin_offset, origin_state"
            " FROM streams WHERE source = ? AND offset = ?",
            (row.id, not copy.is_left, copy.original, row.checkpoint.offset),
        ).rowcount
        if handed_on and copy.is_left:
            self._end(copy.original)

    def put(self, results: Sequence[Result]) -> None:
        """Write the states after a group of results, inside the caller's transaction."""
        for taken_over in [result.taken_over for result in results if result.taken_over is not None]:
            self._end(taken_over)
        fed = [result for result in results if result.stream is not None]
        self._db.executemany(
            "INSERT OR IGNORE INTO stream_generations VALUES (?, ?)",
            {(result.generation, stored(result.plugin)) for result in fed},
        )
        latest = {result.source.id: result for result in fed}
        for source_id, result in latest.items():
            state = result.stream
            assert state is not None
            if not self._db.execute("SELECT 1 FROM streams WHERE source = ?", (source_id,)).fetchone():
                self._end_in(result.source)
            self._db.execute(
                "INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    source_id,
                    stored(state.plugin),
                    state.generation,
                    state.offset,
                    state.state,
                    state.ended,
                    state.origin_offset,
                    state.origin_state,
                ),
            )
        if any(result.stream is not None and result.stream.ended for result in latest.values()):
            self._db.execute(
                "DELETE FROM streams WHERE ended AND source NOT IN"
                " (SELECT source FROM streams WHERE ended ORDER BY source DESC LIMIT ?)",
                (MAX_ENDED,),
            )

    def _end_in(self, row: SourceRow) -> None:
        """A stream begins: what its file held before it was rewritten has ended.

        Should a copy of that turn up, it goes on all the same.
        """
        self._db.execute(
            "UPDATE streams SET ended = 1 WHERE source IN (SELECT id FROM sources WHERE device = ? AND inode = ?)",
            (row.device, row.inode),
        )

    def _end(self, source_id: int) -> None:
        """Another source goes on with a stream."""
        self._db.execute("UPDATE streams SET ended = 1 WHERE source = ?", (source_id,))


def has_fed_streams(db: sqlite3.Connection, plugin: str, generation: int) -> bool:
    """Tell whether what a generation has made of its sources depends on what came before, in each."""
    row = db.execute("SELECT 1 FROM stream_generations WHERE plugin = ? AND generation = ?", (plugin, generation))
    return row.fetchone() is not None
