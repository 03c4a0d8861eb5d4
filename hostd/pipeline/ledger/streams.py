"""The snapshots of streams: what a source's stream needs to go on from its checkpoint, written together with that."""

import sqlite3
from collections.abc import Sequence

from hostd.pipeline.ledger.rows import Result, StreamState, stored

MAX_ENDED = 1000
"""How many streams that have ended are remembered, in case that their file goes on after all."""


class StreamStates:
    """The table `streams`."""

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

    def put(self, results: Sequence[Result]) -> None:
        """Write the states after a group of results, inside the caller's transaction."""
        latest = {result.source.id: result for result in results if result.stream is not None}
        for source_id, result in latest.items():
            state = result.stream
            assert state is not None
            if not self._db.execute("SELECT 1 FROM streams WHERE source = ?", (source_id,)).fetchone():
                self._end_before(result)
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

    def _end_before(self, result: Result) -> None:
        """A stream begins: what its file held before it was rewritten has ended, and what it is a copy of.

        Should a copy of the former turn up, it goes on all the same.
        """
        self._db.execute(
            "UPDATE streams SET ended = 1 WHERE source IN (SELECT id FROM sources WHERE device = ? AND inode = ?)",
            (result.source.device, result.source.inode),
        )
        if result.taken_over is not None:
            self._db.execute("UPDATE streams SET ended = 1 WHERE source = ?", (result.taken_over,))
