"""The durable account of what was read, by which generation, and what was written: one SQLite database.

One transaction moves the checkpoints, the sinks' lengths, the provenance and the dead letters together, after
the sinks are durable: the ledger is never ahead of a sink. All calls block, and come from one thread at a time.
"""

import contextlib
import errno
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hostd import clock
from hostd.errors import LedgerError, StateError
from hostd.pipeline.faults import RECOVER, ledger_error
from hostd.pipeline.ledger.book import Book
from hostd.pipeline.ledger.dead import DeadLetters
from hostd.pipeline.ledger.expiry import Expiry
from hostd.pipeline.ledger.places import Keep, Placed, Places
from hostd.pipeline.ledger.provenance import Provenance
from hostd.pipeline.ledger.received import ReceivedKeys
from hostd.pipeline.ledger.replacing import Replacing
from hostd.pipeline.ledger.rows import Checkpoint, Copy, Replay, Result, SinkMark, SourceRow, as_row, stored
from hostd.pipeline.ledger.schema import SCHEMA_VERSION, SCHEMAS
from hostd.pipeline.ledger.seals import Seals
from hostd.pipeline.ledger.streams import StreamStates

CHECKED_BYTES = 16 << 20
"""A ledger up to this size is looked through when it is opened, in some 20 ms at most; `hostd doctor` always does."""

CACHE_KIB = 512
"""How much of it is held in memory: a commit is about its last pages."""

RECOVERED = "ledger.db.recovered"
"""What a recovery has saved, until it has taken the place of the broken ledger."""


class Ledger:
    """The ledger of one state folder."""

    def __init__(self, path: Path, keep: Keep | None = None) -> None:
        self.path = path
        if path.with_name(RECOVERED).exists():
            raise LedgerError(
                str(path), "a recovery of the ledger was begun and not finished", "finish it: hostd doctor --recover"
            )
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise ledger_error(error, path) from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._db.close()
            raise ledger_error(error, path) from error
        except StateError:
            self._db.close()
            raise
        self._identity = identity(path)
        self.book = Book(self._db, self._transaction)
        self.dead = DeadLetters(self._db, self._transaction)
        self.provenance = Provenance(self._db)
        self.streams = StreamStates(self._db)
        self.places = Places(self._db, keep or Keep())
        self.replacing = Replacing(self._db, self._transaction, self.places, self.provenance, self.dead)
        self.expiry = Expiry(self._db, self._transaction, self.places, self.provenance)
        self.seals = Seals(self._db, self._transaction)
        self.received = ReceivedKeys(self._db)

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version < SCHEMA_VERSION:
            news = "".join(SCHEMAS[version:])
            self._db.executescript(f"BEGIN; {news} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
            # From here on the file alone is a ledger, if an old one: a log that is lost or broken costs the commits in
            # it, whose bytes the sinks are cut back by, and not the whole account.
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if version > SCHEMA_VERSION:
            raise LedgerError(
                str(self.path),
                f"the ledger is of version {version}, and this hostd knows {SCHEMA_VERSION}",
                "run the newer hostd that wrote it",
            )
        pages, page_size = (self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        if pages * page_size <= CHECKED_BYTES:
            self._check()

    def _check(self) -> None:
        """Look through all of it: what a first look finds is refused before anything is written after it."""
        found = [row[0] for row in self._db.execute("PRAGMA quick_check(1)")]
        if found != ["ok"]:
            raise LedgerError(str(self.path), f"the ledger is broken: {' '.join(found[0].split())}", RECOVER)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def sources(self) -> list[SourceRow]:
        """Return all sources."""
        return [source_row(row) for row in self._db.execute("SELECT * FROM sources")]

    def source(self, source_id: int) -> SourceRow | None:
        """Return one source, or None when it is not known."""
        row = self._db.execute("SELECT * FROM sources WHERE id = ?", (source_id,)).fetchone()
        return source_row(row) if row else None

    def sink_mark(self, folder: str, processor: str) -> SinkMark | None:
        """Return the mark of a sink's file, or None when it has none."""
        row = self._db.execute("SELECT * FROM sinks WHERE folder = ? AND processor = ?", (folder, processor)).fetchone()
        return SinkMark(*row) if row else None

    def sink_processors(self, folder: str) -> list[str]:
        """Return the processors that a sink has files of."""
        return [row[0] for row in self._db.execute("SELECT processor FROM sinks WHERE folder = ?", (folder,))]

    def put_sink_mark(self, mark: SinkMark) -> None:
        """Write a mark, durable on return, and in the database itself: without its log, too, a sink can be cut back."""
        self._db.execute("INSERT OR REPLACE INTO sinks VALUES (?, ?, ?, ?, ?)", as_row(mark))
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def forget_sink_file(self, device: int, inode: int) -> None:
        """Have no mark be of a file that was removed: its number is now that of a new one. Durable on return."""
        self._db.execute(
            "UPDATE sinks SET length = 0, device = 0, inode = 0 WHERE device = ? AND inode = ?", (device, inode)
        )

    def note(self, row: SourceRow, seal: tuple[bytes, int] | None, copy: Copy | None = None) -> None:
        """Write of a source what no batch tells: as `Seals.put`, and the stream that a copy goes on with."""
        with self._transaction():
            self.seals.put(row, seal)
            if copy is not None:
                self.streams.hand_on(copy, row)

    def commit(
        self,
        outcomes: Sequence[Result | Replay],
        marks: Iterable[SinkMark],
        placed: Iterable[Placed] = (),
        writes: Iterable[Callable[[], None]] = (),
    ) -> None:
        """Account for a group of results, and of dead letters parsed again, in one transaction, durable on return.

        `placed` says where their records lie. What `writes` write comes before them.
        """
        self._check_in_place()
        results = [outcome for outcome in outcomes if isinstance(outcome, Result)]
        latest = {result.source.id: result.source for result in results}
        with self._transaction():
            for write in writes:
                write()
            self._db.executemany(
                "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(s.id, s.name, stored(s.path), s.device, s.inode, *as_row(s.checkpoint)) for s in latest.values()],
            )
            self._db.executemany("INSERT OR REPLACE INTO sinks VALUES (?, ?, ?, ?, ?)", map(as_row, marks))
            self._db.executemany(
                "UPDATE generations SET records = records + ?, rejected = rejected + ? WHERE plugin = ? AND number = ?",
                [(o.records, len(o.dead) * isinstance(o, Result), o.plugin, o.generation) for o in outcomes],
            )
            ranges = self.provenance.put(results)
            self.dead.put(results, clock.timestamp())
            self.streams.put(results)
            for replay in outcomes:
                if isinstance(replay, Replay):
                    for letter in self.dead.settle(replay):
                        self.provenance.take_over(letter, replay.plugin, replay.generation, ranges)
            self.places.put(placed)
            self.expiry.put(latest)
        self.provenance.accept(ranges)
        self.places.accept()
        self.expiry.accept()
        self.dead.say_given_up()

    def _check_in_place(self) -> None:
        """Raise OSError when the file lies elsewhere: what is written to it would be lost with the next restart."""
        if identity(self.path) != self._identity:
            raise OSError(errno.ESTALE, "It was moved away while hostd had it open", str(self.path))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Have all that the block writes be durable after it, or none of it. Inside another it is part of that."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def source_row(row: Sequence[Any]) -> SourceRow:
    """Return a row of the table `sources` as what it is."""
    return SourceRow(row[0], row[1], row[2], row[3], row[4], Checkpoint(*row[5:]))


def identity(path: Path) -> tuple[int, int] | None:
    """Return which file lies at a path, None when there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
