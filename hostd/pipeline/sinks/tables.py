"""One processor's table: made with its first record, and changed as records bring other keys and other types."""

import errno
from collections.abc import Sequence

from hostd.pipeline.sinks.columns import ANY, ID, INTEGER, REAL, RECORD, TEXT, Changed, Columns, Row, is_ordinary
from hostd.pipeline.sinks.database import Database


def quoted(name: str) -> str:
    """Return a name as SQL."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def table_name(processor: str) -> str:
    """Return what a processor's table is called: like it, but for a name that SQLite keeps for itself."""
    return f"_{processor}" if processor.startswith("sqlite_") else processor


class Table:
    """A table as it is now. `last` is the number of its last committed row. Raises DatabaseError."""

    def __init__(self, db: Database, path: str, processor: str) -> None:
        self.columns = Columns()
        self.last = 0
        self._db = db
        self._path = path
        self._name = table_name(processor)
        self._quoted = quoted(self._name)
        self._insert = ""
        self._exists = False
        self._version = -1
        self.look()

    def cut(self, last: int) -> int:
        """Delete the rows after `last`; return how many."""
        if not self._exists:
            return 0
        self._db.execute(f"DELETE FROM {self._quoted} WHERE {ID} > ?", (last,))  # noqa: S608
        return int(self._db.execute("SELECT changes()")[0][0])

    def highest(self) -> int:
        """Return the number of the last row that is there."""
        if not self._exists:
            return 0
        return int(self._db.execute(f"SELECT ifnull(max({ID}), 0) FROM {self._quoted}")[0][0])  # noqa: S608

    def rows(self, lines: bytes | bytearray, first: int) -> list[Row]:
        """Return records as rows, numbered from `first`, for `insert`; the columns are changed where they need it."""
        while True:
            try:
                return self.columns.rows(lines, first)
            except Changed as change:
                self.change(change)

    def insert(self, rows: Sequence[Row]) -> None:
        """Add rows that the columns have made."""
        if not self._exists:
            self.change(Changed({}, []))
        if not self._insert:
            names = self.columns.names
            self._insert = (
                f"INSERT INTO {self._quoted} ({', '.join(map(quoted, names))})"  # noqa: S608
                f" VALUES ({', '.join('?' * len(names))})"
            )
        self._db.insert(self._insert, rows)

    def change(self, change: Changed) -> None:
        """Change the columns as a chunk of records needs it; the first time, make the table."""
        if self._exists:
            for name, declared in change.added.items():
                self._db.execute(f"ALTER TABLE {self._quoted} ADD COLUMN {_declaration(name, declared)}")
            if change.loosened:
                self._loosen(change.loosened)
        else:
            columns = [f"{ID} INTEGER PRIMARY KEY"]
            columns += [_declaration(name, declared) for name, declared in change.added.items()]
            columns.append(f"{RECORD} TEXT")
            separator = ",\n  "
            self._db.execute(f"CREATE TABLE {self._quoted} (\n  {separator.join(columns)}\n)")
        self.look()
        self.columns.types.update(dict.fromkeys(change.loosened, ANY))  # also where somebody keeps their own type

    def _loosen(self, names: Sequence[str]) -> None:
        """Take the declared type from columns.

        SQLite has no statement for it, and documents this way: no row changes, only what is converted from now on.
        Every connection reads the schema anew, since its version is another.
        """
        [(sql,)] = self._db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (self._name,))
        for name in names:
            before = _declaration(name, self.columns.types[name])
            if sql.count(before) == 1:  # else somebody has altered the table, and their type stays
                sql = sql.replace(before, _declaration(name, ANY))
        [(version,)] = self._db.execute("PRAGMA schema_version")
        self._db.execute("PRAGMA writable_schema = ON")
        try:
            self._db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, self._name))
            self._db.execute(f"PRAGMA schema_version = {version + 1}")
        finally:
            self._db.execute("PRAGMA writable_schema = OFF")

    def look(self) -> None:
        """See what the table is like, unless nobody has changed the schema since."""
        [(version,)] = self._db.execute("PRAGMA schema_version")
        if version == self._version:
            return
        self._version = version
        found = self._db.execute("SELECT name, type, hidden FROM pragma_table_xinfo(?)", (self._name,))
        self._insert = ""
        self._exists = bool(found)
        names = {name for name, _, _ in found}
        if found and not {ID, RECORD} <= names:
            raise OSError(
                errno.EEXIST,
                f"It has a table {self._name!r} that hostd has not made, without {ID} and {RECORD}; rename that table,"
                " or set another path",
                self._path,
            )
        # A type that somebody else has declared: what SQLite makes of the values is theirs to say.
        types = {
            name: kind if kind in (INTEGER, REAL, TEXT) else ANY
            for name, kind, hidden in found
            if name not in (ID, RECORD) and is_ordinary(name) and not hidden
        }
        self.columns.become(types, names - types.keys())


def _declaration(name: str, declared: str) -> str:
    return f"{quoted(name)} {declared}".rstrip()
