"""Reading dead letters, a bounded number of rows at a time, in the daemon and beside it."""

import sqlite3
import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec import Struct

from hostd.errors import StateError
from hostd.pipeline.faults import ledger_error
from hostd.pipeline.ledger.rows import Letter
from hostd.pipeline.ledger.schema import SCHEMA_VERSION
from hostd.pipeline.ledger.selection import Selection

SCANNED_ROWS = 20_000
"""How many rows are looked through for one page: commits wait behind it, for some 10 ms."""
PAGE_LETTERS = 1000
PAGE_BYTES = 4 << 20
"""How much one page holds at most; a letter over it comes alone."""

_COLUMNS = (
    "id, source, name, offset, length, raw, plugin, generation, reason, traceback, at, digest, header, framing, tried,"
    " note, packed"
)


class Page(Struct, frozen=True):
    """Some letters in the order of their numbers; more may follow number `next`, unless that is None."""

    letters: tuple[Letter, ...]
    next: int | None


class Total(Struct, frozen=True):
    """How many letters there are of one plugin, what they take, and what has become of others so far."""

    letters: int = 0
    bytes: int = 0
    replayed: int = 0
    expired: int = 0
    dropped: int = 0


class Shelf:
    """The dead letters of a ledger, to read."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def page(
        self, selection: Selection, after: int = 0, most: int = PAGE_LETTERS, most_bytes: int = PAGE_BYTES
    ) -> Page:
        """Return the first letters of a selection with a number over `after`.

        A page may be empty although more follow: only so many rows are looked through for each.
        """
        rows, until, is_last = self._select(_COLUMNS, selection, after, most)
        letters: list[Letter] = []
        headers: dict[int | None, bytes | None] = {0: b"", None: None}
        size = 0
        for row in rows:
            if len(letters) == most or (letters and size >= most_bytes):
                rows.close()
                return Page(tuple(letters), letters[-1].id)
            letters.append(self._letter(row, headers))
            size += len(letters[-1].raw)
        return Page(tuple(letters), None if is_last else until)

    def ids(self, selection: Selection, after: int, most: int) -> tuple[list[int], int | None]:
        """Return the numbers alone of a page, and the number after which more may follow."""
        rows, until, is_last = self._select("id", selection, after, most)
        ids = [row[0] for row in rows]
        return (ids[:most], ids[most - 1]) if len(ids) > most else (ids, None if is_last else until)

    def _select(self, columns: str, selection: Selection, after: int, most: int) -> tuple[sqlite3.Cursor, int, bool]:
        """Return the rows of a page and one more, the number up to which was looked, and whether that is the last."""
        until, is_last = self._reach(selection, after)
        conditions, values = selection.clauses()
        where = "".join(f" AND {condition}" for condition in conditions)
        rows = self._db.execute(
            f"SELECT {columns} FROM dead_letters WHERE id > ? AND id <= ?{where} ORDER BY id LIMIT ?",  # noqa: S608 - constants
            (after, until, *values, most + 1),
        )
        return rows, until, is_last

    def last_id(self) -> int:
        """Return the highest number of a letter, 0 when there is none."""
        return int(self._db.execute("SELECT coalesce(max(id), 0) FROM dead_letters").fetchone()[0])

    def totals(self) -> dict[str, Total]:
        """Return what there is of each plugin, and was."""
        found: dict[str, Counter[str]] = {}
        for plugin, letters, size in self._db.execute(
            "SELECT plugin, sum(letters), sum(bytes) FROM dead_totals GROUP BY plugin"
        ):
            found.setdefault(plugin, Counter()).update(letters=letters, bytes=size)
        for plugin, replayed, expired, dropped in self._db.execute("SELECT * FROM dead_counters"):
            found.setdefault(plugin, Counter()).update(replayed=replayed, expired=expired, dropped=dropped)
        return {plugin: Total(**counts) for plugin, counts in sorted(found.items())}

    def generations(self) -> dict[str, list[int]]:
        """Return the generations that left dead letters behind, by plugin."""
        found: dict[str, list[int]] = {}
        for plugin, generation in self._db.execute("SELECT plugin, generation FROM dead_totals ORDER BY 1, 2"):
            found.setdefault(plugin, []).append(generation)
        return found

    def _reach(self, selection: Selection, after: int) -> tuple[int, bool]:
        """Return the number up to which to look for one page, and whether there are none beyond it."""
        if selection.plugin is not None and selection.generation is not None:
            row = self._db.execute(
                "SELECT max(id), count(*) FROM (SELECT id FROM dead_letters WHERE plugin = ? AND generation = ?"
                " AND id > ? ORDER BY id LIMIT ?)",
                (selection.plugin, selection.generation, after, SCANNED_ROWS),
            ).fetchone()
        else:
            row = self._db.execute(
                "SELECT max(id), count(*) FROM (SELECT id FROM dead_letters WHERE id > ? ORDER BY id LIMIT ?)",
                (after, SCANNED_ROWS),
            ).fetchone()
        return row[0] or after, row[1] < SCANNED_ROWS

    def _letter(self, row: Sequence[Any], headers: dict[int | None, bytes | None]) -> Letter:
        *values, packed = row
        if packed:
            values[5] = zlib.decompress(values[5])
        header: int | None = values[12]
        if header not in headers:
            found = self._db.execute("SELECT packed FROM dead_headers WHERE id = ?", (header,)).fetchone()
            headers[header] = zlib.decompress(found[0]) if found else None
        values[12] = headers[header]
        return Letter(*values)


def open_shelf(path: Path) -> tuple[sqlite3.Connection, Shelf]:
    """Open the ledger at `path` to read, while a daemon writes it or not. The caller closes it. Raises StateError."""
    if not path.exists():
        raise StateError(str(path), "there is no ledger", "name the --config of a hostd that has run; or run it first")
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        db.close()
        raise StateError(str(path), f"the ledger cannot be read: {error}", "restore it from a backup") from error
    if version != SCHEMA_VERSION:
        db.close()
        raise StateError(
            str(path),
            f"the ledger is of version {version}, and this hostd knows {SCHEMA_VERSION}",
            "start this hostd once, which brings it up to date" if version < SCHEMA_VERSION else "use the newer hostd",
        )
    return db, Shelf(db)


def dead_counts(path: Path) -> dict[str, int]:
    """Return how many dead letters a ledger in use holds, by plugin, through a connection of its own.

    Raises LedgerError.
    """
    return {plugin: total.letters for plugin, total in dead_totals(path).items() if total.letters}


def dead_totals(path: Path) -> dict[str, Total]:
    """Return what a ledger in use holds of each plugin's dead letters, and held, through a connection of its own.

    Raises LedgerError.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return Shelf(db).totals()
    except sqlite3.Error as error:
        raise ledger_error(error, path) from error
