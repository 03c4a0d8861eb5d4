"""The durable account of what was read, by which generation, and what was written: one SQLite database.

One transaction moves the checkpoints, the sinks' lengths, the provenance and the dead letters together, after
the sinks are durable: the ledger is never ahead of a sink. All calls block, and come from one thread at a time.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hostd import clock
from hostd.errors import StateError
from hostd.past import Hold, Past
from hostd.workers.batch import DeadLetter

MAX_DEAD_BYTES = 64 << 10
"""How many bytes of one dead letter are kept; the rest is in the source, at its offset."""

_SCHEMAS = (
    """
CREATE TABLE sources (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, path TEXT NOT NULL,
    device INTEGER NOT NULL, inode INTEGER NOT NULL, offset INTEGER NOT NULL,
    fingerprint_length INTEGER NOT NULL, fingerprint BLOB NOT NULL,
    marker_length INTEGER NOT NULL, marker BLOB NOT NULL
) STRICT;
CREATE TABLE sinks (
    folder TEXT NOT NULL, processor TEXT NOT NULL, length INTEGER NOT NULL,
    device INTEGER NOT NULL, inode INTEGER NOT NULL, PRIMARY KEY (folder, processor)
) STRICT;
CREATE TABLE generations (
    plugin TEXT NOT NULL, number INTEGER NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL,
    key TEXT NOT NULL, path TEXT NOT NULL, kept TEXT NOT NULL, since TEXT NOT NULL,
    records INTEGER NOT NULL DEFAULT 0, rejected INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (plugin, number)
) STRICT;
CREATE TABLE provenance (
    id INTEGER PRIMARY KEY, source INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    plugin TEXT NOT NULL, generation INTEGER NOT NULL
) STRICT;
CREATE INDEX provenance_by_source ON provenance (source, end);
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY, source INTEGER NOT NULL, name TEXT NOT NULL, offset INTEGER NOT NULL,
    length INTEGER NOT NULL, raw BLOB NOT NULL, plugin TEXT NOT NULL, generation INTEGER NOT NULL,
    reason TEXT NOT NULL, traceback TEXT NOT NULL, at TEXT NOT NULL
) STRICT;
""",
    """
ALTER TABLE generations ADD COLUMN permanent INTEGER NOT NULL DEFAULT 1;
CREATE TABLE holds (
    plugin TEXT PRIMARY KEY, kind TEXT NOT NULL, path TEXT NOT NULL, digest TEXT NOT NULL,
    generation INTEGER NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE TABLE recent (plugin TEXT PRIMARY KEY, pieces TEXT NOT NULL) STRICT;
""",
)
"""What each version of the schema adds to the one before; a ledger of an older version is brought up to date."""

SCHEMA_VERSION = len(_SCHEMAS)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a source was read, and how to know it again.

    `fingerprint` is the hash of its first bytes, `marker` that of the bytes just before `offset`.
    """

    offset: int = 0
    fingerprint_length: int = 0
    fingerprint: bytes = b""
    marker_length: int = 0
    marker: bytes = b""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source as the ledger knows it."""

    id: int
    name: str
    path: str
    device: int
    inode: int
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class SinkMark:
    """How long a sink's file is, and which file it is."""

    folder: str
    processor: str
    length: int
    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one batch: bytes `start` to `source.checkpoint.offset` were parsed by one generation."""

    source: SourceRow
    start: int
    plugin: str
    generation: int
    records: int
    lines: bytes | bytearray
    dead: tuple[DeadLetter, ...]


class Ledger:
    """The ledger of one state folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise StateError(
                str(path),
                f"the ledger cannot be used: {error}",
                "restore it from a backup; or move it away: every source is then read again from its start",
            ) from error
        except StateError:
            self._db.close()
            raise
        self._last_range: dict[int, tuple[int, int, str, int]] = {}

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version < SCHEMA_VERSION:
            news = "".join(_SCHEMAS[version:])
            self._db.executescript(f"BEGIN; {news} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        if version > SCHEMA_VERSION:
            raise StateError(
                str(self.path),
                f"the ledger is of version {version}, and this hostd knows {SCHEMA_VERSION}",
                "run the newer hostd that wrote it",
            )

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def sources(self) -> list[SourceRow]:
        """Return all sources."""
        return [
            SourceRow(row[0], row[1], row[2], row[3], row[4], Checkpoint(*row[5:]))
            for row in self._db.execute("SELECT * FROM sources")
        ]

    def sink_mark(self, folder: str, processor: str) -> SinkMark | None:
        """Return the mark of a sink's file, or None when it has none."""
        row = self._db.execute("SELECT * FROM sinks WHERE folder = ? AND processor = ?", (folder, processor)).fetchone()
        return SinkMark(*row) if row else None

    def sink_processors(self, folder: str) -> list[str]:
        """Return the processors that a sink has files of."""
        return [row[0] for row in self._db.execute("SELECT processor FROM sinks WHERE folder = ?", (folder,))]

    def put_sink_mark(self, mark: SinkMark) -> None:
        """Write a mark, durable on return."""
        self._db.execute("INSERT OR REPLACE INTO sinks VALUES (?, ?, ?, ?, ?)", _row(mark))

    def generations(self, most: int) -> list[Past]:
        """Return the last `most` generations of each plugin, and the last of each that was proven."""
        rows = self._db.execute(
            "SELECT * FROM (SELECT g.*, row_number() OVER (PARTITION BY plugin ORDER BY number DESC) AS nth,"
            " row_number() OVER (PARTITION BY plugin, permanent ORDER BY number DESC) AS nth_alike FROM generations g)"
            " WHERE nth <= ? OR (permanent AND nth_alike = 1)",
            (most,),
        )
        return [replace(Past(*row[:10]), permanent=bool(row[10])) for row in rows]

    def put_generations(self, rows: Iterable[Past]) -> None:
        """Write that generations went live, live again after a restart, or that they were proven; durable on return."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO generations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (plugin, number)"
                " DO UPDATE SET path = excluded.path, kept = excluded.kept, since = excluded.since,"
                " permanent = max(permanent, excluded.permanent)",
                map(_row, rows),
            )

    def holds(self) -> list[Hold]:
        """Return all holds."""
        return [Hold(*row) for row in self._db.execute("SELECT * FROM holds")]

    def put_hold(self, hold: Hold) -> None:
        """Write a hold, in place of any other of its plugin."""
        self._db.execute("INSERT OR REPLACE INTO holds VALUES (?, ?, ?, ?, ?, ?)", _row(hold))

    def drop_hold(self, plugin: str) -> None:
        """Remove a plugin's hold."""
        self._db.execute("DELETE FROM holds WHERE plugin = ?", (plugin,))

    def recent(self) -> dict[str, str]:
        """Return the recent input that was kept of each plugin."""
        return dict(self._db.execute("SELECT plugin, pieces FROM recent").fetchall())

    def put_recent(self, pieces: dict[str, str]) -> None:
        """Write the recent input of some plugins."""
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO recent VALUES (?, ?)", pieces.items())

    def dead_letters(self) -> dict[str, int]:
        """Return how many dead letters there are, by plugin."""
        return dict(self._db.execute("SELECT plugin, count(*) FROM dead_letters GROUP BY plugin").fetchall())

    def dead_letters_of(self, source_id: int) -> list[DeadLetter]:
        """Return a source's dead letters in the order of their offsets; their bytes up to `MAX_DEAD_BYTES`."""
        rows = self._db.execute(
            "SELECT offset, raw, reason, traceback FROM dead_letters WHERE source = ? ORDER BY offset, id",
            (source_id,),
        )
        return [DeadLetter(*row) for row in rows]

    def commit(self, results: Sequence[Result], marks: Iterable[SinkMark]) -> None:
        """Account for a group of results in one transaction, durable on return."""
        db = self._db
        latest = {result.source.id: result.source for result in results}
        with self._transaction():
            db.executemany(
                "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(s.id, s.name, _stored(s.path), s.device, s.inode, *_row(s.checkpoint)) for s in latest.values()],
            )
            db.executemany("INSERT OR REPLACE INTO sinks VALUES (?, ?, ?, ?, ?)", map(_row, marks))
            db.executemany(
                "UPDATE generations SET records = records + ?, rejected = rejected + ? WHERE plugin = ? AND number = ?",
                [(r.records, len(r.dead), r.plugin, r.generation) for r in results],
            )
            ranges = self._put_provenance(results)
            now = clock.timestamp()
            db.executemany(
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
        self._last_range.update(ranges)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Have all that the block writes be durable after it, or none of it."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _put_provenance(self, results: Sequence[Result]) -> dict[int, tuple[int, int, str, int]]:
        """Write who parsed which range; one that goes on where the last one ended only makes that longer."""
        ranges: dict[int, tuple[int, int, str, int]] = {}
        for r in results:
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


def _row(record: Checkpoint | SinkMark | Past | Hold) -> tuple[object, ...]:
    return tuple(_stored(getattr(record, name)) for name in record.__slots__)


def _stored(value: object) -> object:
    """Return a value as SQLite can hold it. A path need not be UTF-8; `os.fsdecode` gave it lone surrogates then."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return value
