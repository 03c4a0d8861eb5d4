"""The idempotency keys of what was received: which bytes of which source came under which key, and how many of them.

A key is written in the transaction that commits the first of its bytes, or in one before it. So when they are known to
be there, the key is.
"""

import sqlite3

from msgspec import Struct

from hostd import clock

KEEP_KEYS = 100_000
"""How many keys of a source are kept; beyond, the oldest are forgotten."""
KEEP_MS = 24 * 3600 * 1000
PRUNE_EVERY = 500


class Received(Struct, frozen=True):
    """What came under a key: a body of this digest, of which the bytes from `done` on are the source's from `start` to
    `end`. Those before were committed by an earlier daemon, that did not come to the end of it.
    """

    digest: bytes
    done: int
    start: int
    end: int


class ReceivedKeys:
    """The table `received_keys`. All but `find` are called inside a transaction of the ledger."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._puts = 0

    def put(self, source: str, key: bytes, received: Received) -> None:
        """Write a key, in place of what is known of it."""
        self._db.execute("DELETE FROM received_keys WHERE source = ? AND key = ?", (source, key))
        self._db.execute(
            "INSERT INTO received_keys (source, key, digest, done, start, end, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (source, key, received.digest, received.done, received.start, received.end, clock.epoch_ms()),
        )
        self._puts += 1
        if self._puts % PRUNE_EVERY == 1:
            self._prune(source)

    def recover(self, source: str, committed: int) -> None:
        """Take note that what the spool of a source held beyond `committed` was cut off.

        A key of which nothing was committed is forgotten; of one that was committed in part it is known how far.
        """
        self._db.execute(
            "UPDATE received_keys SET done = done + max(0, min(end, ?) - start), start = -1, end = -1"
            " WHERE source = ? AND end > ?",
            (committed, source, committed),
        )
        self._db.execute("DELETE FROM received_keys WHERE source = ? AND end = -1 AND done = 0", (source,))

    def _prune(self, source: str) -> None:
        self._db.execute("DELETE FROM received_keys WHERE at < ?", (clock.epoch_ms() - KEEP_MS,))
        self._db.execute(
            "DELETE FROM received_keys WHERE source = ? AND id <= ("
            "SELECT id FROM received_keys WHERE source = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (source, source, KEEP_KEYS),
        )


def find(db: sqlite3.Connection, source: str, key: bytes) -> Received | None:
    """Return what came under a key, from a connection of whoever asks."""
    row = db.execute(
        "SELECT digest, done, start, end FROM received_keys WHERE source = ? AND key = ?", (source, key)
    ).fetchone()
    return Received(*row) if row else None
