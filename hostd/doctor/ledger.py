"""Is the ledger whole, of a version that this hostd knows, and does each row of it refer to something?"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from hostd.doctor.finding import Finding, note, ok, problem
from hostd.doctor.reading import columns, reading
from hostd.doctor.salvage import known_tables
from hostd.pipeline.faults import is_corrupt, ledger_error
from hostd.pipeline.ledger import SCHEMA_VERSION
from hostd.pipeline.ledger.ledger import RECOVERED

CHECK = "ledger"
SHOWN = 3
SAVE = "save what is left with hostd doctor --recover, or restore a backup of it together with the sinks' folders"
_FOREIGN_SOURCES = "SELECT DISTINCT source FROM {} WHERE source NOT IN (SELECT id FROM sources)"
_FOREIGN_GENERATIONS = (
    "SELECT DISTINCT plugin || ' ' || generation FROM {} t WHERE NOT EXISTS"
    " (SELECT 1 FROM generations g WHERE g.plugin = t.plugin AND g.number = t.generation)"
)
_FOREIGN = (
    ("provenance", "source", _FOREIGN_SOURCES.format("provenance")),
    ("provenance", "generation", _FOREIGN_GENERATIONS.format("provenance")),
    ("dead_letters", "source", _FOREIGN_SOURCES.format("dead_letters")),
)
_AHEAD = (
    "SELECT s.name, s.offset, max(p.end) FROM sources s JOIN provenance p ON p.source = s.id"
    " GROUP BY s.id HAVING max(p.end) > s.offset"
)


def check_ledger(path: Path) -> Iterator[Finding]:
    """Yield what is to be said of the ledger; what cannot be read any more is said once."""
    if path.with_name(RECOVERED).exists():
        yield problem(
            CHECK,
            path.with_name(RECOVERED),
            "a recovery was begun and not finished",
            "finish it: hostd doctor --recover",
        )
    if not path.exists():
        yield note(CHECK, path, "there is none; it is made at the first start")
        return
    try:
        with reading(path) as db:
            yield from _check(db, path)
    except UnicodeDecodeError as error:
        yield problem(CHECK, path, f"it is broken: a name in it is no text ({error})", SAVE)
    except sqlite3.Error as error:
        said = ledger_error(error, path)
        yield problem(CHECK, path, said.problem, SAVE if is_corrupt(error) else said.remedy)


def _check(db: sqlite3.Connection, path: Path) -> Iterator[Finding]:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    found = [" ".join(row[0].split()) for row in db.execute("PRAGMA integrity_check")]
    if found != ["ok"]:
        more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
        yield problem(CHECK, path, f"it is broken: {'; '.join(found[:SHOWN])}{more}", SAVE)
        return
    if version > SCHEMA_VERSION:
        yield problem(
            CHECK, path, f"it is of version {version}, and this hostd knows {SCHEMA_VERSION}", "run the newer hostd"
        )
        return
    if version == SCHEMA_VERSION and (strange := _strange(db)):
        yield problem(CHECK, path, f"it is broken: the table {strange} has other columns than it should", SAVE)
        return
    if version < SCHEMA_VERSION:
        yield note(CHECK, path, f"it is of version {version}; the next start brings it up to {SCHEMA_VERSION}")
    else:
        size = path.stat().st_size
        yield ok(CHECK, path, f"it is whole, of version {version}, {size / (1 << 20):.1f} MiB")
    yield from _check_rows(db, path)


def _strange(db: sqlite3.Connection) -> str | None:
    """Return the name of a table whose columns are not those of this version's schema."""
    return next(
        (
            table.name
            for table in known_tables().values()
            if [column.name for column in table.columns] != list(columns(db, table.name))
        ),
        None,
    )


def _check_rows(db: sqlite3.Connection, path: Path) -> Iterator[Finding]:
    for table, column, query in _FOREIGN:
        if column in columns(db, table) and (strangers := [str(row[0]) for row in db.execute(query)]):
            shown = ", ".join(strangers[:SHOWN])
            yield note(
                CHECK,
                f"{path}: {table}",
                f"it has rows of a {column} that the ledger does not know: {shown}",
                "nothing: they are kept, and change nothing for what is read",
            )
    if {"source", "end"} <= set(columns(db, "provenance")):
        for name, offset, end in db.execute(_AHEAD):
            yield problem(
                CHECK,
                f"{path}: sources",
                f"{name} was parsed up to byte {end}, and its checkpoint is {offset}: it would be read twice",
                SAVE,
            )
