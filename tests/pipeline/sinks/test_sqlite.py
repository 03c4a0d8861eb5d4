"""One table for each processor: columns by the types that are seen, nothing refused, nothing changed on its way."""

import errno
import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from hostd.pipeline.sinks import columns, database
from hostd.pipeline.sinks.columns import Changed, Columns, chunked
from hostd.pipeline.sinks.database import connect
from hostd.pipeline.sinks.tables import Table
from tests.pipeline.sinks.kinds import KINDS, Record, World, lines

SQLITE = next(kind for kind in KINDS if kind.name == "sqlite")


@pytest.fixture(params=["apsw", "sqlite3"])
def world(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """By both libraries: one is an extra."""
    if request.param == "apsw" and not database.has_apsw():
        pytest.skip("apsw is not installed")
    monkeypatch.setattr(database, "has_apsw", lambda: request.param == "apsw")
    world = World(SQLITE, tmp_path)
    yield world
    world.stop()


def select(world: World, sql: str) -> list[tuple[Any, ...]]:
    """Return rows as any other program reads them, while the sink has the database open."""
    with closing(connect(world.folder / "records.db")) as db:
        return [tuple(row) for row in db.execute(sql)]


def types(world: World, table: str = "demo") -> dict[str, str]:
    return dict(select(world, f"SELECT name, type FROM pragma_table_info('{table}')"))  # type: ignore[arg-type]


def test_what_sqlite_calls_the_number_of_a_row_is_no_column(world: World) -> None:
    """It refuses to add one of such a name, or would hide the number behind it; the record has it."""
    record = {"oid": "1.3.6.1", "RowID": 5, "_rowid_": None, "n": 1}
    world.commit(world.start(), "demo", record, {"_ROWID_": "x"})
    world.commit(world.start(), "demo", {"oid": 7})
    assert types(world) == {"_id": "INTEGER", "n": "INTEGER", "_record": "TEXT"}
    found = [json.loads(text) for (text,) in select(world, "SELECT _record FROM demo ORDER BY _id")]
    assert found == [record, {"_ROWID_": "x"}, {"oid": 7}]


def test_each_scalar_key_is_a_column_of_its_type_and_the_record_is_there_whole(world: World) -> None:
    """What is nested, or null, has none."""
    record = {"t": "x", "i": 5, "r": 1.5, "b": True, "n": None, "list": [1], "map": {"a": 1}, "@source": "logs/a"}
    world.commit(world.start(), "demo", record)
    assert types(world) == {
        "_id": "INTEGER",
        "t": "TEXT",
        "i": "INTEGER",
        "r": "REAL",
        "b": "INTEGER",
        "@source": "TEXT",
        "_record": "TEXT",
    }
    [row] = select(world, "SELECT * FROM demo")
    assert row == (1, "x", 5, 1.5, 1, "logs/a", json.dumps(record))
    assert select(world, "SELECT json_extract(_record, '$.map.a') FROM demo") == [(1,)]


def test_a_key_that_comes_later_adds_a_column(world: World) -> None:
    """Also one that was null or nested before; what was there has null in it."""
    sink = world.start()
    world.commit(sink, "demo", {"a": 1, "late": None, "deep": [1]})
    world.commit(sink, "demo", {"a": 2, "late": "x", "deep": 5, "new": 0.5})
    assert select(world, "SELECT a, late, deep, new FROM demo") == [(1, None, None, None), (2, "x", 5, 0.5)]
    world.commit(world.start(), "demo", {"again": 1})
    assert select(world, "SELECT a, again FROM demo WHERE _id = 3") == [(None, 1)]


CONFLICTS = [
    ([1, "0123"], [1, "0123"], ""),
    ([1, " 12 "], [1, " 12 "], ""),
    (["0123", 123], ["0123", 123], ""),
    ([1.5, 1 << 60], [1.5, 1 << 60], ""),
    ([1.5, 5], [1.5, 5.0], "REAL"),
    ([1, 1.5], [1, 1.5], "INTEGER"),
    ([1, True, None], [1, 1, None], "INTEGER"),
    ([1, 1 << 64], [1, str(1 << 64)], ""),
    ([1 << 64, 1], [str(1 << 64), 1], ""),
    (["x", {"a": [1]}], ["x", '{"a":[1]}'], ""),
    ([{"a": 1}, "x"], [None, "x"], "TEXT"),
    (["x", 1, "1", 2.5, None, [3]], ["x", 1, "1", 2.5, None, "[3]"], ""),
]


@pytest.mark.parametrize(("values", "expected", "declared"), CONFLICTS)
@pytest.mark.parametrize("together", [False, True])
def test_a_value_of_another_type_is_kept_as_it_is(
    world: World, values: list[Any], expected: list[Any], declared: str, together: bool
) -> None:
    """A column that would change it loses its type: SQLite converts what is put into a typed column."""
    sink = world.start()
    if together:
        world.commit(sink, "demo", *({"v": value} for value in values))
    else:
        for value in values:
            world.commit(sink, "demo", {"v": value})
    stored = [row[0] for row in select(world, "SELECT v FROM demo ORDER BY _id")]
    assert [(type(each), each) for each in stored] == [(type(each), each) for each in expected]
    assert types(world)["v"] == declared
    assert [json.loads(row[0])["v"] for row in select(world, "SELECT _record FROM demo ORDER BY _id")] == values
    assert select(world, "PRAGMA integrity_check") == [("ok",)]


def test_a_reader_that_was_there_before_sees_the_columns_that_came(world: World) -> None:
    """Its connection reads the schema anew, also where a column has lost its type."""
    sink = world.start()
    world.commit(sink, "demo", {"v": 1})
    with closing(connect(world.folder / "records.db")) as db:
        assert db.execute("SELECT * FROM demo") == [(1, 1, '{"v": 1}')]
        world.commit(sink, "demo", {"v": "01", "w": 2})
        assert db.execute("SELECT v, w FROM demo") == [(1, None), ("01", 2)]
        assert db.execute("SELECT count(*) FROM demo WHERE v = '1'") == [(0,)]


@pytest.mark.parametrize("key", ["_id", "_record", "_ID", "V", "", 'a"b', "a\\b", "a\nb", "\x00", "x" * 200], ids=repr)
def test_a_key_that_can_be_no_column_is_in_the_record_alone(world: World, key: str) -> None:
    """Our own, one that differs by case alone from another, and odd ones; the others of its record have theirs."""
    sink = world.start()
    world.commit(sink, "demo", {"v": 1})
    world.commit(sink, "demo", {key: 5, "v": 2, "w": 3}, {"v": 3, "z": 4})
    world.commit(sink, "demo", {key: "x", "y": 1})
    assert set(types(world)) == {"_id", "_record", "v", "w", "y", "z"}
    assert [json.loads(row[0]).get(key) for row in select(world, "SELECT _record FROM demo")] == [None, 5, None, "x"]
    assert select(world, "SELECT v, w, y, z FROM demo") == [
        (1, None, None, None),
        (2, 3, None, None),
        (3, None, None, 4),
        (None, None, 1, None),
    ]


def test_keys_that_are_data_do_not_make_columns_without_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MOST_COLUMNS", 5)
    sink = world.start()
    for number in range(20):
        world.commit(sink, "demo", {f"user{number}": number, "n": number})
    assert len(types(world)) == 2 + 5
    assert [row[0] for row in select(world, "SELECT n FROM demo")] == list(range(20))
    assert select(world, "SELECT json_extract(_record, '$.user19') FROM demo WHERE _id = 20") == [(19,)]


def test_what_is_no_object_or_too_deep_keeps_its_json(world: World) -> None:
    """Nothing that a worker hands over is refused."""
    sink = world.start()
    deep = b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}"
    sink.write("demo", [b"[1]\n" + deep + b"\n" + b'{"a":1}\n'])
    world.ledger.commit([], sink.sync())
    sink.accept()
    assert [row[0].encode() for row in select(world, "SELECT _record FROM demo ORDER BY _id")] == [
        b"[1]",
        deep,
        b'{"a":1}',
    ]


def test_a_column_or_an_index_of_somebody_else_stays(world: World) -> None:
    """A generated column is theirs too: a key of that name is in the record alone."""
    sink = world.start()
    world.commit(sink, "demo", {"v": 1, "m": {"a": 7}})
    with closing(connect(world.folder / "records.db")) as db:
        db.execute("ALTER TABLE demo ADD COLUMN a AS (json_extract(_record, '$.m.a'))")
        db.execute("CREATE INDEX by_v ON demo (v)")
        db.execute("ALTER TABLE demo ADD COLUMN theirs VARCHAR(5) DEFAULT 'x'")
    world.commit(sink, "demo", {"v": "02", "m": {"a": 8}, "a": "no", "theirs": 5})
    assert select(world, "SELECT v, a, theirs FROM demo") == [(1, 7, "x"), ("02", 8, "5")]
    assert select(world, "PRAGMA integrity_check") == [("ok",)]


def test_a_table_that_hostd_has_not_made_is_left_alone(world: World) -> None:
    with closing(connect(world.folder / "records.db")) as db:
        db.execute("CREATE TABLE demo (x)")
    sink = world.start()
    with pytest.raises(OSError, match="has a table 'demo' that hostd has not made, without _id and _record; rename"):
        sink.write("demo", lines({"x": 1}))
    world.commit(sink, "other", {"x": 1})
    assert select(world, "SELECT x FROM other") == [(1,)]


def test_a_table_that_was_dropped_is_made_again(world: World) -> None:
    sink = world.start()
    world.commit(sink, "demo", {"v": 1})
    with closing(connect(world.folder / "records.db")) as db:
        db.execute("DROP TABLE demo")
    world.commit(sink, "demo", {"v": 2})
    assert select(world, "SELECT v FROM demo") == [(2,)]


def test_rows_that_somebody_deletes_stay_deleted_and_numbers_are_not_used_again(world: World) -> None:
    """Old records are theirs to delete, the last ones too."""
    sink = world.start()
    world.commit(sink, "demo", *({"v": number} for number in range(4)))
    with closing(connect(world.folder / "records.db")) as db:
        db.execute("DELETE FROM demo WHERE v <> 1")
    world.commit(sink, "demo", {"v": 9})
    world.commit(world.start(), "demo", {"v": 10})
    assert select(world, "SELECT _id, v FROM demo") == [(2, 1), (5, 9), (6, 10)]


def test_a_processor_of_a_name_that_sqlite_keeps_has_another_table(world: World) -> None:
    world.commit(world.start(), "sqlite_log", {"v": 1})
    assert select(world, "SELECT v FROM _sqlite_log") == [(1,)]


def test_somebody_elses_lock_is_waited_for_and_then_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit is tried again; an interrupt ends the waiting."""
    sink = world.start()
    world.commit(sink, "demo", {"v": 1})
    monkeypatch.setattr("hostd.pipeline.sinks.sqlite.LOCK_WAIT_S", 0.05)
    with closing(connect(world.folder / "records.db")) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(OSError, match="database is locked") as raised:
            sink.write("demo", lines({"v": 2}))
        assert (raised.value.errno, raised.value.filename) == (errno.EBUSY, str(world.folder / "records.db"))
        monkeypatch.setattr("hostd.pipeline.sinks.sqlite.LOCK_WAIT_S", 600)
        timer = threading.Timer(0.05, sink.interrupt)
        timer.start()
        with pytest.raises(OSError, match="database is locked"):
            sink.write("demo", lines({"v": 2}))
        timer.join()
    world.commit(sink, "demo", {"v": 2})
    assert select(world, "SELECT v FROM demo") == [(1,), (2,)]


def test_a_database_that_is_broken_is_said(world: World) -> None:
    (world.folder / "records.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(OSError, match="file is not a database"):
        world.start().write("demo", lines({"v": 1}))


@pytest.mark.parametrize("accepted", [True, False])
def test_a_database_that_was_moved_away_is_left_and_a_new_one_begun(world: World, accepted: bool) -> None:
    """What was not accepted goes to the new one alone."""
    sink = world.start()
    world.commit(sink, "demo", {"v": 1})
    if not accepted:
        sink.write("demo", lines({"v": 2}))
        sink.sync()
    (world.folder / "records.db").rename(world.folder / "old.db")
    world.commit(sink, "demo", {"v": 2})
    assert select(world, "SELECT _id, v FROM demo") == [(1, 2)]
    with closing(connect(world.folder / "old.db")) as db:
        assert db.execute("SELECT v FROM demo") == [(1,)]


def test_what_is_beyond_the_account_is_said_when_it_is_deleted(world: World) -> None:
    sink = world.start()
    world.commit(sink, "demo", {"v": 1})
    sink.write("demo", lines({"v": 2}, {"v": 3}))
    sink.sync()
    with capture_logs() as logged:
        world.start()
    [trimmed] = [event for event in logged if event["event"] == "sink.trimmed"]
    assert (trimmed["sink"], trimmed["length"], trimmed["cut"]) == ("sqlite", 1, 2)


def test_columns_that_a_failed_commit_has_made_are_not_taken_for_there(world: World) -> None:
    """A rollback undoes them, the table too."""
    sink = world.start()
    sink.write("demo", lines({"v": 1}))
    sink.write("demo", lines({"v": 1}))
    sink.write("demo", lines({"v": 1, "w": 2}))
    world.commit(sink, "demo", {"v": 1, "w": 2, "x": 3})
    assert select(world, "SELECT v, w, x FROM demo") == [(1, 2, 3)]


SCALARS = (
    st.none() | st.booleans() | st.integers(-(1 << 65), 1 << 65) | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = SCALARS | st.text(max_size=5) | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=2), SCALARS)
RECORDS = st.lists(st.dictionaries(st.sampled_from(["a", "b", "A", "_id", 'q"', "d"]), VALUES), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(batches=st.lists(RECORDS, min_size=1, max_size=4))
def test_any_records_are_rows_that_say_the_same(batches: list[list[Record]]) -> None:
    """Each value is in its column as it is, as JSON where it is nested, as text where it is beyond 64 bits."""
    with closing(connect(":memory:")) as db:
        table = Table(db, ":memory:", "demo")
        written: list[Record] = []
        for batch in batches:
            chunk = b"".join(json.dumps(record).encode() + b"\n" for record in batch)
            while True:
                try:
                    table.insert(table.columns.rows(chunk, len(written) + 1))
                    break
                except Changed as change:
                    table.change(change)
            written += batch
        names = [name for (name,) in db.execute("SELECT name FROM pragma_table_info('demo')")]
        rows = [dict(zip(names, row, strict=True)) for row in db.execute("SELECT * FROM demo ORDER BY _id")]
        assert [json.loads(row["_record"]) for row in rows] == written
        for row, record in zip(rows, written, strict=True):
            for name in table.columns.types:
                value = row[name]
                if value is not None or record.get(name) is None:
                    assert value == columns.as_stored(record.get(name))
                else:
                    assert isinstance(record[name], list | dict)  # there was no column then


def test_a_chunk_is_cut_into_pieces_of_whole_lines() -> None:
    """A line that is longer than a piece is one piece."""
    lines = [b"1\n", b"22\n", b"x" * 50 + b"\n", b"3\n"]
    assert list(chunked([b"".join(lines), b"", b"4\n"], 6)) == [b"1\n22\n", lines[2], b"3\n", b"4\n"]
    assert list(chunked([b"".join(lines)], 1000)) == [b"".join(lines)]


def test_ordinary_records_are_not_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The speed of the sink depends on it: null in a whole chunk, missing keys and nested ones are ordinary."""
    table = Columns()
    chunk = b'{"a":1,"b":null,"c":[1]}\n{"a":2}\n'
    with pytest.raises(Changed) as raised:
        table.rows(chunk, 1)
    table.become(raised.value.added)
    table.rows(chunk, 1)
    monkeypatch.setattr(Columns, "_slow", lambda *_: pytest.fail("looked at one by one"))
    assert [row[:2] for row in table.rows(chunk * 2, 5)] == [(5, 1), (6, 2), (7, 1), (8, 2)]
