"""The ledger as others read it, beside the daemon that writes it or without one: nothing is changed."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from hostd.errors import StateError
from hostd.past import Past
from hostd.pipeline.ledger.ledger import source_row
from hostd.pipeline.ledger.rows import SourceRow
from hostd.pipeline.ledger.schema import SCHEMA_VERSION


class Reader:
    """A connection for reading alone. Each call sees what is committed by then."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def source(self, number: int) -> SourceRow | None:
        """Return a source, or None when it was forgotten."""
        row = self.db.execute("SELECT * FROM sources WHERE id = ?", (number,)).fetchone()
        return source_row(row) if row else None

    def generation(self, plugin: str, number: int) -> Past | None:
        """Return a generation that went live."""
        row = self.db.execute(
            "SELECT plugin, number, version, digest, key, path, kept, since, records, rejected FROM generations"
            " WHERE plugin = ? AND number = ?",
            (plugin, number),
        ).fetchone()
        return Past(*row) if row else None

    def dead_offsets(self, source: int, plugin: str, begin: int, until: int) -> list[int]:
        """Return where in some bytes of a source a plugin's dead letters begin."""
        rows = self.db.execute(
            "SELECT offset FROM dead_letters WHERE source = ? AND plugin = ? AND offset >= ? AND offset < ?",
            (source, plugin, begin, until),
        )
        return [row[0] for row in rows]

    def committed_length(self, device: int, inode: int, processor: str | None = None) -> int | None:
        """Return how long a sink's present file is by the ledger, None for one that is not written any more.

        Of a database it is how many records of a processor it has been given.
        """
        row = self.db.execute(
            "SELECT length FROM sinks WHERE device = ? AND inode = ? AND (processor = ? OR ? IS NULL)",
            (device, inode, processor, processor),
        ).fetchone()
        return None if row is None else int(row[0])


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Open a ledger for reading while the block runs; from whichever thread, one at a time.

    Raises StateError when there is none, or one of another version.
    """
    if not path.exists():
        raise StateError(str(path), "there is no ledger here", "start hostd once, or name its --config")
    try:
        db = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise StateError(str(path), f"the ledger cannot be opened: {error}", "run this as the daemon's user") from error
    try:
        _check_version(db, path)
        yield Reader(db)
    finally:
        db.close()


def _check_version(db: sqlite3.Connection, path: Path) -> None:
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise StateError(str(path), f"the ledger cannot be read: {error}", "run this as the daemon's user") from error
    if version != SCHEMA_VERSION:
        older = version < SCHEMA_VERSION
        raise StateError(
            str(path),
            f"the ledger is of version {version}, and this hostd knows {SCHEMA_VERSION}",
            "start the daemon once with this hostd" if older else "use the newer hostd that wrote it",
        )
