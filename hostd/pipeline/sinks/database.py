"""The library that the database of a sink is written with: apsw where it is installed, else the standard library's.

apsw binds a row in half the time, and brings an SQLite of its own. In one process a file must never be open through
two copies of SQLite: each drops the other's locks. So whatever of the daemon opens a sink's database does so by
`connect`.
"""

import importlib.util
import math
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

Row = Sequence[Any]


class DatabaseError(Exception):
    """What SQLite refuses or cannot do. `code` is its primary result code."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


class Database:
    """A connection that begins no transactions by itself, and waits for no lock. Raises DatabaseError.

    Both libraries are called alike: `errors` is what theirs is called, `code` the name of its result code there.
    """

    def __init__(self, opened: Callable[[], Any], errors: type[Exception], code: str) -> None:
        self._errors = errors
        self._code = code
        self._db = self._do(opened)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return bool(self._db.in_transaction)

    def execute(self, sql: str, values: Row = ()) -> list[Row]:
        """Run a statement to its end; return all rows of its result."""
        rows: list[Row] = self._do(lambda: list(self._db.execute(sql, tuple(values))))
        return rows

    def insert(self, sql: str, rows: Iterable[Row]) -> None:
        """Run a statement for each row."""
        self._do(lambda: self._db.executemany(sql, rows))

    def close(self) -> None:
        """Close it. May be called twice."""
        self._do(self._db.close)

    def _do(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except self._errors as error:
            code = getattr(error, self._code, sqlite3.SQLITE_ERROR)
            raise DatabaseError(str(error), code & 0xFF) from error


def connect(path: Path | str) -> Database:
    """Open a database, or make one. Any thread may use it, one at a time. Raises DatabaseError."""
    if has_apsw():
        import apsw  # an extra, and only for those who have this sink

        return Database(lambda: apsw.Connection(str(path)), apsw.Error, "result")
    # The module looks for how to adapt None in three places, in vain, whenever it binds one: a microsecond each time.
    # To SQLite what is not a number is null.
    sqlite3.register_adapter(type(None), {None: math.nan}.__getitem__)
    return Database(
        lambda: sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0),
        sqlite3.Error,
        "sqlite_errorcode",
    )


def has_apsw() -> bool:
    """Tell whether the library is installed."""
    return importlib.util.find_spec("apsw") is not None
