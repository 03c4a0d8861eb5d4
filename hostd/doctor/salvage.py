"""What a broken ledger still holds, table by table.

First by SQLite, which reads what the trees lead to. Where that ends in an error, or the schema itself is broken, by the
pages: a row belongs to the table whose columns it fits. Of two copies of one row the one that is further counts, since
offsets and lengths only grow.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from msgspec import Struct, field

from hostd.doctor.pages import Pages, Row, Value
from hostd.doctor.reading import reading
from hostd.pipeline.ledger.schema import SCHEMA_VERSION, SCHEMAS

_TYPES: dict[str, type | tuple[type, ...]] = {"INTEGER": int, "TEXT": str, "BLOB": bytes, "REAL": (int, float)}
GROWS = {"sources": "offset", "sinks": "length", "provenance": "end"}
"""What tells which of two copies of a row is the later one."""


class Column(Struct, frozen=True):
    """A column of a table, as the schema declares it."""

    name: str
    type: str
    required: bool
    is_rowid: bool


class Table(Struct):
    """A table's columns, the rows that were saved, and whether all of it could be read."""

    name: str
    columns: tuple[Column, ...]
    rows: dict[int, tuple[Value, ...]] = field(default_factory=dict)
    is_whole: bool = True

    def named(self) -> list[dict[str, Value]]:
        """Return the rows by the names of their columns, in the order of their numbers."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, self.rows[rowid], strict=False)) for rowid in sorted(self.rows)]

    def fits(self, row: Row) -> bool:
        """Tell whether a row could be one of this table. An older schema has fewer columns."""
        values, columns = row.values, self.columns
        least = sum(column.required or column.is_rowid for column in columns)
        if not min(least, len(columns) - 1) <= len(values) <= len(columns):
            return False
        return all(_fits(value, column) for value, column in zip(values, columns, strict=False))

    def take(self, row: Row) -> None:
        """Keep a row, unless a later copy of it is there."""
        values = tuple(
            row.rowid if column.is_rowid else value for value, column in zip(row.values, self.columns, strict=False)
        )
        known = self.rows.get(row.rowid)
        grows = next((i for i, c in enumerate(self.columns) if c.name == GROWS.get(self.name)), None)
        if known is None or (grows is not None and values[grows] > known[grows]):
            self.rows[row.rowid] = values


def _fits(value: Value, column: Column) -> bool:
    if column.is_rowid:
        return value is None
    return not column.required if value is None else isinstance(value, _TYPES[column.type])


NOT_SAVED = frozenset({"sink_files", "places", "packs", "replacements", "source_days", "dead_totals", "dead_counters"})
"""Where records lie in sinks, which only `hostd explain` and `reparse` need, and what can be counted anew: their rows
look like those of others."""

_COUNT_ANEW = """
INSERT INTO dead_totals SELECT plugin, generation, count(*), sum(size) FROM dead_letters GROUP BY plugin, generation
"""


def salvage(path: Path) -> dict[str, Table]:
    """Return what can be read of each table that this hostd knows. Raises OSError."""
    tables = known_tables()
    try:
        with reading(path) as db:
            for table in tables.values():
                table.is_whole = _read(db, table)
    except (sqlite3.Error, UnicodeDecodeError):
        for table in tables.values():
            table.is_whole = False
    if not all(table.is_whole for table in tables.values()):
        for row in Pages(path).rows():
            fitting = [table for table in tables.values() if table.fits(row)]
            # A row that fits two tables is not guessed at; it stays in the broken ledger.
            if len(fitting) == 1 and not fitting[0].is_whole:
                fitting[0].take(row)
    return tables


def known_tables() -> dict[str, Table]:
    """Return the tables of this version's schema that are saved, empty."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript("".join(SCHEMAS))
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: Table(name, tuple(_column(*row) for row in db.execute(f"PRAGMA table_info({name})")))
            for name in names
            if not name.startswith("sqlite_") and name not in NOT_SAVED
        }


def _column(_: int, name: str, type_: str, not_null: int, default: object, key: int) -> Column:
    is_rowid = type_ == "INTEGER" and key == 1 and not not_null
    return Column(name, type_, bool(not_null) and default is None, is_rowid)


def _read(db: sqlite3.Connection, table: Table) -> bool:
    """Read a table as SQLite does, from its start and, after an error, from its end; tell whether that was all."""
    for order in ("ASC", "DESC"):
        try:
            for rowid, *values in db.execute(f"SELECT rowid, * FROM {table.name} ORDER BY rowid {order}"):  # noqa: S608
                table.take(Row(rowid, tuple(values)))
        except (sqlite3.Error, UnicodeDecodeError):
            continue
        return order == "ASC"
    return False


def build(path: Path, tables: Iterable[Table]) -> dict[str, int]:
    """Make a new ledger of what was saved, durable; return how many rows it did not take, by table."""
    refused: dict[str, int] = {}
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=FULL")
        db.executescript(f"BEGIN; {''.join(SCHEMAS)} COMMIT;")
        db.execute("BEGIN")
        for table in tables:
            for rowid in sorted(table.rows):
                values = table.rows[rowid]
                names = ", ".join(column.name for column in table.columns[: len(values)])
                marks = ", ".join("?" * len(values))
                try:
                    db.execute(f"INSERT OR REPLACE INTO {table.name} ({names}) VALUES ({marks})", values)  # noqa: S608
                except sqlite3.IntegrityError:
                    refused[table.name] = refused.get(table.name, 0) + 1
        db.execute(_COUNT_ANEW)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    return refused
