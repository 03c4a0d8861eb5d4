"""A ledger to look into: opened read-only, whatever it is, so that looking changes nothing of it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a ledger that nobody has open. Raises sqlite3.Error, now or at any look."""
    wal, shm = Path(f"{path}-wal"), Path(f"{path}-shm")
    # A log beside it has what is not in the file yet. Without one there is nothing to share, and nothing to be made.
    mode = "mode=ro" if wal.exists() and wal.stat().st_size else "mode=ro&immutable=1"
    had_shm = shm.exists()
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)) as db:
            yield db
    finally:
        if not had_shm:
            shm.unlink(missing_ok=True)


def columns(db: sqlite3.Connection, table: str) -> list[str]:
    """Return the names of a table's columns, none when it is not there."""
    return [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
