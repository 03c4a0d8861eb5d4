"""One table for each processor in a SQLite database. What is beyond the ledger's account is deleted on start.

Rows are numbered in the order of their commits, and the ledger has the last number of each table: it is to a table what
the length is to a file. Each commit is a transaction of the database, durable before the ledger's own. The two are not
one transaction: in WAL mode SQLite commits attached databases one after the other, so that a crash can come between
them all the same, and in any other mode readers would meet a lock.
"""

import errno
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from hostd import clock, events
from hostd.pipeline.ledger import Ledger, SinkMark
from hostd.pipeline.ledger.ledger import identity
from hostd.pipeline.sinks import Unit
from hostd.pipeline.sinks.columns import chunked
from hostd.pipeline.sinks.database import Database, DatabaseError, connect
from hostd.pipeline.sinks.tables import Table
from hostd.pipeline.sources.memory import find_in

LOCK_WAIT_S = 2.0
LOCK_LOOK_S = 0.02
CHUNK_BYTES = 64 << 10
PRAGMAS = (
    "page_size = 32768",  # of a new database: records are long, and each page costs its checksum and two writes
    "journal_mode = WAL",
    "synchronous = FULL",
    "cache_size = -16384",
    "wal_autocheckpoint = 256",
    "busy_timeout = 0",
)

_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_AUTH: errno.EACCES,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_LOCKED: errno.EBUSY,
    sqlite3.SQLITE_NOTADB: errno.EBADMSG,
}


class SqliteSink:
    """Appends to the tables of `path`. A database that was moved away is left, and a new one begun."""

    unit: Unit = "records"
    takes_blocks = False

    def __init__(self, path: Path, processors: tuple[str, ...], ledger: Ledger) -> None:
        self.name = str(path)
        self._path = path
        self._processors = processors
        self._ledger = ledger
        self._db: Database | None = None
        self._identity = (0, 0)
        self._tables: dict[str, Table] = {}
        self._written: dict[str, int] = {}
        self._stopped = threading.Event()

    def recover(self) -> None:
        """Delete what was written after the last commit. Raises OSError."""
        marks = [self._ledger.sink_mark(self.name, each) for each in self._ledger.sink_processors(self.name)]
        if not marks or not self._path.exists():
            return
        with self._naming():
            db = self._open()
            for mark in marks:
                if mark is not None and (mark.device, mark.inode) == self._identity:
                    self._begin(db)
                    cut = Table(db, self.name, mark.processor).cut(mark.length)
                    db.execute("COMMIT")
                    if cut:
                        events.emit(events.SINK_TRIMMED, sink="sqlite", path=self.name, length=mark.length, cut=cut)

    def takes(self, processor: str) -> bool:
        return any(fnmatchcase(processor, glob) for glob in self._processors)

    def write(self, processor: str, chunks: Sequence[bytes | bytearray]) -> None:
        with self._naming():
            db = self._open()
            if processor in self._written:
                self._take_back(db)
            self._begin(db)
            table = self._table(db, processor)
            table.look()
            self._written[processor] = table.last
            last = table.last
            for chunk in chunked(chunks, CHUNK_BYTES):
                rows = table.rows(chunk, last + 1)
                table.insert(rows)
                last += len(rows)
            self._written[processor] = last

    def place(self, processor: str) -> SinkMark:
        table = self._tables.get(processor)
        if table is not None and self._db is not None:
            return SinkMark(self.name, processor, table.last, *self._identity)
        mark = self._ledger.sink_mark(self.name, processor)
        if mark is not None and identity(self._path) == (mark.device, mark.inode):
            return mark
        return SinkMark(self.name, processor, 0, 0, 0)

    def sync(self) -> list[SinkMark]:
        with self._naming():
            if self._db is not None and self._db.in_transaction:
                self._db.execute("COMMIT")
        return [SinkMark(self.name, each, last, *self._identity) for each, last in self._written.items()]

    def abandon(self) -> None:
        with self._naming():
            if self._db is not None and self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def accept(self) -> None:
        for processor, last in self._written.items():
            self._tables[processor].last = last
        self._written.clear()

    def interrupt(self) -> None:
        """Wait for nobody's lock any more."""
        self._stopped.set()

    def leave(self) -> bool:
        self.close()
        return False

    def close(self) -> None:
        if self._db is not None:
            self._db.close()  # the last one to leave also empties the log beside the database
            self._db = None
        self._tables.clear()
        self._written.clear()

    def _open(self) -> Database:
        """Return the database at the path, another one than before when that was moved away."""
        if self._db is not None:
            if identity(self._path) == self._identity:
                return self._db
            self._leave(self._db)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = connect(self._path)
        try:
            for pragma in PRAGMAS:
                self._wait_for(db, f"PRAGMA {pragma}")
            found = identity(self._path)
            if found is None:
                raise OSError(errno.ENOENT, "It was removed while it was opened", self.name)
        except BaseException:
            db.close()
            raise
        self._db, self._identity = db, found
        events.emit(events.SINK_OPENED, sink="sqlite", path=self.name, length=self._path.stat().st_size)
        return db

    def _leave(self, db: Database) -> None:
        """Let go of a database that was moved away; what was not accepted goes to the new one alone."""
        if db.in_transaction:
            db.execute("ROLLBACK")
        # Closing would not: the log is beside the path, and the database is not there any more.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        where = find_in(self._path.parent, self._identity)
        beyond = {processor: self._tables[processor].last for processor in self._written}
        self.close()
        if where is None or not beyond:
            return
        with closing(connect(where)) as moved:
            for processor, last in beyond.items():
                Table(moved, str(where), processor).cut(last)

    def _table(self, db: Database, processor: str) -> Table:
        table = self._tables.get(processor)
        if table is None:
            table = Table(db, self.name, processor)
            mark = self._ledger.sink_mark(self.name, processor)
            if mark is not None and (mark.device, mark.inode) == self._identity:
                table.last = mark.length
                table.cut(table.last)
            else:
                table.last = table.highest()
                # Before the first row: after a crash it tells what was here already from what was never committed.
                self._ledger.put_sink_mark(SinkMark(self.name, processor, table.last, *self._identity))
            self._tables[processor] = table
        return table

    def _begin(self, db: Database) -> None:
        if not db.in_transaction:
            self._wait_for(db, "BEGIN IMMEDIATE")

    def _take_back(self, db: Database) -> None:
        """Undo a commit that was not accepted, whether it was made durable or not."""
        if db.in_transaction:
            db.execute("ROLLBACK")
        self._begin(db)
        for processor in self._written:
            # What a rollback has made of the columns is not known any more.
            last = self._tables[processor].last
            table = self._tables[processor] = Table(db, self.name, processor)
            table.last = last
            table.cut(last)
        self._written.clear()

    def _wait_for(self, db: Database, statement: str) -> None:
        """Execute what may find the database locked by somebody else; raise when that takes too long."""
        until = clock.monotonic() + LOCK_WAIT_S
        while True:
            try:
                db.execute(statement)
            except DatabaseError as error:
                is_locked = error.code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                if not is_locked or clock.monotonic() > until or self._stopped.wait(LOCK_LOOK_S):
                    raise
            else:
                return

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Have an error of SQLite be one of the system that names the database."""
        try:
            yield
        except DatabaseError as error:
            raise OSError(_ERRNO.get(error.code, errno.EIO), str(error), self.name) from error
