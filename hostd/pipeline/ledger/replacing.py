"""The ledger's part of replacing what a generation made: the new account is written aside, then takes the old one's
place in one transaction, with the sink's marks, the provenance and the dead letters.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager

from msgspec import Struct

from hostd import clock
from hostd.pipeline.ledger.dead import DeadLetters
from hostd.pipeline.ledger.places import Packed, Places
from hostd.pipeline.ledger.provenance import Provenance
from hostd.pipeline.ledger.rows import Result, SinkMark, stored


class Intent(Struct, frozen=True):
    """A sink's file that is being replaced. Of inode 0: there was none before."""

    folder: str
    processor: str
    device: int
    inode: int
    new_device: int
    new_inode: int


class Account(Struct, frozen=True):
    """The account `new` that takes the place of `old`, in which rows up to `last_seq` were replaced already.

    Those after it move by `shift` bytes. `mark` is the new file's, None where no file is concerned.
    """

    old: int
    new: int
    last_seq: int
    shift: int
    mark: SinkMark | None


class Replacing:
    """The table `replacements`, and what moves when one is done. All methods are durable on return."""

    def __init__(
        self,
        db: sqlite3.Connection,
        transaction: Callable[[], AbstractContextManager[None]],
        places: Places,
        provenance: Provenance,
        dead: DeadLetters,
    ) -> None:
        self._db = db
        self._transaction = transaction
        self._places = places
        self._provenance = provenance
        self._dead = dead

    def begin(self, mark: SinkMark, base: int) -> int:
        """Return the number of a new account, which does not count before `finish`."""
        cursor = self._db.execute(
            "INSERT INTO sink_files (folder, processor, device, inode, base, coming) VALUES (?, ?, ?, ?, ?, 1)",
            (stored(mark.folder), mark.processor, mark.device, mark.inode, base),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def add(self, account: int, packs: Iterable[Packed]) -> None:
        """Write rows of a new account."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO packs VALUES (NULL, ?, ?, ?, ?, ?)", [(account, *ready) for ready in packs]
            )

    def abandon(self, accounts: Iterable[int]) -> None:
        """Remove new accounts again."""
        with self._transaction():
            for account in accounts:
                self._db.execute("DELETE FROM packs WHERE file = ?", (account,))
                self._db.execute("DELETE FROM sink_files WHERE id = ?", (account,))

    def abandon_all(self) -> None:
        """Remove the new accounts of a daemon that is no more."""
        # Only what is there: a start on a full disk must not fail for want of nothing.
        if accounts := [row[0] for row in self._db.execute("SELECT id FROM sink_files WHERE coming").fetchall()]:
            self.abandon(accounts)

    def intend(self, intents: Iterable[Intent]) -> None:
        """Write which files are about to be replaced."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO replacements VALUES (?, ?, ?, ?, ?, ?)",
                [(stored(i.folder), i.processor, i.device, i.inode, i.new_device, i.new_inode) for i in intents],
            )

    def intents(self) -> list[Intent]:
        """Return what was intended and neither finished nor given up."""
        return [Intent(*row) for row in self._db.execute("SELECT * FROM replacements")]

    def give_up(self) -> None:
        """Remove all intents: the files are as they were."""
        self._db.execute("DELETE FROM replacements")

    def finish(self, plugin: str, generation: int, accounts: Iterable[Account], results: Sequence[Result]) -> int:
        """Have the new accounts count, and `results` in place of what `generation` made of the same bytes.

        Return how many dead letters that has removed.
        """
        with self._transaction():
            for account in accounts:
                self._take_over(account)
            self._provenance.replace(plugin, generation, results)
            removed = self._dead.drop_ranges(plugin, results)
            self._dead.put(results, clock.timestamp())
            self._db.executemany(
                "UPDATE generations SET records = records + ?, rejected = rejected + ? WHERE plugin = ? AND number = ?",
                [(r.records, len(r.dead), r.plugin, r.generation) for r in results],
            )
            self._db.execute("DELETE FROM replacements")
        self._places.forget_all()
        return removed

    def _take_over(self, account: Account) -> None:
        self._db.execute(
            "UPDATE places SET file = ?, start = start + ?, end = end + ? WHERE file = ? AND seq > ?",
            (account.new, account.shift, account.shift, account.old, account.last_seq),
        )
        self._db.execute("DELETE FROM places WHERE file = ?", (account.old,))
        self._db.execute("DELETE FROM packs WHERE file = ?", (account.old,))
        self._db.execute("DELETE FROM sink_files WHERE id = ?", (account.old,))
        self._db.execute("UPDATE sink_files SET coming = 0 WHERE id = ?", (account.new,))
        if (mark := account.mark) is not None:
            self._db.execute(
                "INSERT OR REPLACE INTO sinks VALUES (?, ?, ?, ?, ?)",
                (stored(mark.folder), mark.processor, mark.length, mark.device, mark.inode),
            )
