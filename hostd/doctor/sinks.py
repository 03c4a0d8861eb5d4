"""Sinks against the marks that the ledger has of them."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from hostd.config import Config, SqliteSink
from hostd.doctor.finding import Finding, note, ok, problem
from hostd.doctor.flow import select
from hostd.doctor.folders import check_room
from hostd.pipeline.ledger import SinkMark
from hostd.pipeline.ledger.ledger import identity
from hostd.pipeline.sinks.columns import ID
from hostd.pipeline.sinks.tables import quoted, table_name
from hostd.pipeline.sources.memory import find_in


def check_sinks(settings: Config, ledger: Path) -> Iterator[Finding]:
    """Yield how the sinks' files compare with what was committed."""
    for sink in settings.sinks:
        folder = sink.path.parent if isinstance(sink, SqliteSink) else next(iter(sink.own), None)
        if folder is not None and folder.exists():
            yield from check_room("sinks", folder)
        elif folder is not None:
            yield note("sinks", folder, "there is no such folder; it is made with the first record")
    databases = {sink.place for sink in settings.sinks if isinstance(sink, SqliteSink)}
    for mark in _marks(ledger):
        if not mark.inode:
            continue  # it was rotated, and a new one comes with the next record
        is_database = mark.folder in databases or Path(mark.folder).is_file()
        yield _compare_table(mark) if is_database else _compare_file(mark)


def _compare_file(mark: SinkMark) -> Finding:
    path = Path(mark.folder, f"{mark.processor}.ndjson")
    found = find_in(Path(mark.folder), (mark.device, mark.inode))
    if found is None:
        if path.exists():
            return note(
                "sinks",
                path,
                "it is another file than the one that was committed to: it is appended to as it is",
                "nothing, if it was rotated or replaced on purpose",
            )
        return note("sinks", path, "it is gone; a new one is begun", "nothing, if it was rotated or removed on purpose")
    size = found.stat().st_size
    if size < mark.length:
        return problem(
            "sinks",
            found,
            f"{mark.length} bytes were committed to it, and {size} are left: somebody cut it",
            "restore it if you need what was cut; hostd appends to it as it is",
        )
    if not _ends_a_line(found, mark.length):
        return problem(
            "sinks",
            found,
            f"the {mark.length} bytes that were committed do not end a line: somebody edited it",
            "restore it if you need it as it was; hostd keeps it whole, and appends to it",
        )
    if size > mark.length:
        return note(
            "sinks",
            found,
            f"{size - mark.length} bytes past the {mark.length} that were committed",
            "nothing: the next start cuts them off and parses their input again; save them first if they are yours",
        )
    return ok("sinks", found, f"{size} bytes, as committed")


def _ends_a_line(path: Path, length: int) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, length - 1))
        return length == 0 or file.read(1) == b"\n"


def _compare_table(mark: SinkMark) -> Finding:
    path, name = Path(mark.folder), table_name(mark.processor)
    where = f"{path}: table {name}"
    if identity(path) != (mark.device, mark.inode):
        what = "another database than the one that was committed to lies there" if path.exists() else "it is gone"
        return note("sinks", where, f"{what}; the next records begin anew", "nothing, if that is on purpose")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
            found = db.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
            sql = f"SELECT count(*) FROM {quoted(name)} WHERE {ID} > ?"  # noqa: S608
            (beyond,) = db.execute(sql, (mark.length,)).fetchone() if found else (0,)
    except sqlite3.Error as error:
        return problem("sinks", where, f"it cannot be read: {error}", "restore the database, or move it away")
    if beyond:
        return note(
            "sinks",
            where,
            f"{beyond} rows past the {mark.length} that were committed",
            "nothing: the next start deletes them and parses their input again",
        )
    return ok("sinks", where, f"{mark.length} records were committed, and none are beyond")


def _marks(ledger: Path) -> Iterable[SinkMark]:
    for row in select(ledger, "SELECT * FROM sinks ORDER BY folder, processor"):
        yield SinkMark(*row[:5])
