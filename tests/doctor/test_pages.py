"""Rows are read from the pages of a database as SQLite reads them through its trees, from its log too."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostd.doctor.pages import Pages

VALUES = st.one_of(
    st.none(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.sampled_from([0, 1, 127, 128, -129, 1 << 15, 1 << 23, 1 << 31, 1 << 47]),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.binary(max_size=30),
    st.integers(0, 20_000).map(lambda size: b"x" * size),  # on pages of its own
)
ROWS = st.dictionaries(
    st.integers(-(1 << 63), (1 << 63) - 1), st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=40
)


def rows_of(path: Path) -> dict[int, tuple[Any, ...]]:
    """Return the rows of three values: those of the schema have five."""
    return {row.rowid: row.values for row in Pages(path).rows() if len(row.values) == 3}


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, deleted=st.sets(st.integers(0, 39)), page=st.sampled_from([512, 4096]), in_log=st.booleans())
def test_every_row_is_read_and_none_that_is_not_there(
    tmp_path_factory: Any, rows: dict[int, tuple[Any, ...]], deleted: set[int], page: int, in_log: bool
) -> None:
    """Of any size and kind, also after others were deleted; what was committed to the log alone, too."""
    path = tmp_path_factory.mktemp("pages") / "some.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size={page}")
        db.execute(f"PRAGMA journal_mode={'WAL' if in_log else 'DELETE'}")
        db.execute("CREATE TABLE t (a, b, c)")
        db.executemany("INSERT INTO t (rowid, a, b, c) VALUES (?, ?, ?, ?)", [(k, *row) for k, row in rows.items()])
        gone = [rowid for number, rowid in enumerate(rows) if number in deleted]
        db.executemany("DELETE FROM t WHERE rowid = ?", [(rowid,) for rowid in gone])
        expected = {k: row for k, *row in db.execute("SELECT rowid, * FROM t")}
        if in_log:
            assert Path(f"{path}-wal").stat().st_size
            found = rows_of(path)
    if not in_log:
        found = rows_of(path)
    assert {k: list(row) for k, row in found.items()} == expected


def test_what_was_not_committed_to_the_log_is_not_read(tmp_path: Path) -> None:
    """A torn end of the log is what a power loss leaves: SQLite does not read it, and neither is it here."""
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t (a, b, c)")
        db.execute("INSERT INTO t VALUES (1, 2, 3)")
        db.execute("INSERT INTO t VALUES (4, 5, 6)")
        log = Path(f"{path}-wal")
        content = log.read_bytes()
        assert rows_of(path) == {1: (1, 2, 3), 2: (4, 5, 6)}
        log.write_bytes(content[:-100])
        assert rows_of(path) == {1: (1, 2, 3)}
        log.write_bytes(content[:-10] + b"\xa5" * 10)
        assert rows_of(path) == {1: (1, 2, 3)}
        log.write_bytes(content)


@pytest.fixture(scope="module", name="sixty")
def _sixty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of sixty rows."""
    path = tmp_path_factory.mktemp("pages") / "sixty.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE t (a, b, c)")
        db.executemany("INSERT INTO t VALUES (?, ?, ?)", [(n, "y" * 100, n) for n in range(60)])
    assert len(rows_of(path)) == 60
    return path


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=512), at=st.integers(0, 3), into=st.sampled_from([0, 96, 2048]))
def test_nonsense_is_no_row_and_no_error(sixty: Path, content: bytes, at: int, into: int) -> None:
    """Whatever was written over a part of a page, its head above all: nothing raises."""
    whole = bytearray(sixty.read_bytes())
    start = at * 4096 + into
    whole[start : start + len(content)] = content
    broken = sixty.with_name("broken.db")
    broken.write_bytes(whole)
    list(Pages(broken).rows())


def test_a_file_that_is_no_database_holds_no_rows(tmp_path: Path) -> None:
    """Empty, short, or text."""
    path = tmp_path / "some.db"
    for content in (b"", b"x", b"this is no database" * 1000):
        path.write_bytes(content)
        assert list(Pages(path).rows()) == []
