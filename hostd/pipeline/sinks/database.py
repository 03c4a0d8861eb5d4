"""The library that the database of a sink is written with: apsw where it is installed, else the standard library's.

apsw binds a row in half the time, and brings an SQLite of its own. In one process a file must never be open through
two copies of SQLite: each drops the other's locks. So whatever of the daemon opens a sink's database does so by
`connect`.
"""

import importlib.util
import math
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

Row = Sequence[Any]


class DatabaseError(Exception):
    """What SQLite refuses or cannot do. `code` is its primary result code."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


class Database(Protocol):
    """A connection that begins no transactions by itself, and waits for no lock. Raises DatabaseError."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    def execute(self, sql: str, values: Row = ()) -> list[Row]:
        """Run a statement to its end; return all rows of its result."""
        ...

    def insert(self, sql: str, rows: Iterable[Row]) -> None:
        """Run a statement for each row."""
        ...

    def close(self) -> None:
        """Close it. May be called twice."""
        ...


def connect(path: Path | str) -> Database:
    """Open a database, or make one. Any thread may use it, one at a time. Raises DatabaseError."""
    if has_apsw():
        from hostd.pipeline.sinks.fast_database import FastDatabase  # an extra, and only for those who have this sink

        return FastDatabase(path)
    return StandardDatabase(path)


def has_apsw() -> bool:
    """Tell whether the library is installed."""
    return importlib.util.find_spec("apsw") is not None


class StandardDatabase:
    """By the module `sqlite3`."""

    def __init__(self, path: Path | str) -> None:
        # It looks for how to adapt None in three places, in vain, whenever it binds one: a microsecond each time. To
        # SQLite what is not a number is null.
        sqlite3.register_adapter(type(None), {None: math.nan}.__getitem__)
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        except sqlite3.Error as error:
            raise _refused(error) from error

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def execute(self, sql: str, values: Row = ()) -> list[Row]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _refused(error) from error

    def insert(self, sql: str, rows: Iterable[Row]) -> None:
        try:
            self._db.executemany(sql, rows)
        except sqlite3.Error as error:
            raise _refused(error) from error

    def close(self) -> None:
        try:
            self._db.close()
        except sqlite3.Error as error:
            raise _refused(error) from error


def _refused(error: sqlite3.Error) -> DatabaseError:
    return DatabaseError(str(error), getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF)
