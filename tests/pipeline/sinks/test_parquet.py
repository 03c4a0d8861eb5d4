"""Parquet files: typed by what was seen, widening only, in folders by processor and date, and whole."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import force_setattr
from structlog.testing import capture_logs

from hostd.pipeline.sinks import arrow, parquet, staged
from hostd.pipeline.sinks.arrow import Schema, read_table
from hostd.pipeline.sinks.parquet import ParquetCarrier, write_file
from hostd.pipeline.sinks.staged import StagedSink
from hostd.workers.block import pack_rows
from tests.live.harness import eventually
from tests.pipeline.sinks.kinds import KINDS, Record, World, lines

PARQUET = next(kind for kind in KINDS if kind.name == "parquet")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(PARQUET, tmp_path)
    yield world
    world.stop()


def files(world: World) -> list[str]:
    found = (world.folder / "parquet").rglob("*")
    return sorted(str(path.relative_to(world.folder / "parquet")) for path in found if path.is_file())


def table(tmp_path: Path, schema: Schema, *records: Record) -> list[Record]:
    path = tmp_path / "staged"
    path.write_bytes(b"".join(json.dumps(record).encode() + b"\n" for record in records))
    rows: list[Record] = read_table(path, schema).to_pylist()
    return rows


def test_files_lie_in_folders_by_processor_and_by_the_date_of_each_record(world: World) -> None:
    """Of its `timestamp`; without one that is a date, of the day on which it was committed."""
    sink = world.start()
    days = ["2026-03-01T10:00:00Z", "2026-03-02T10:00:00Z", "2026-03-01T23:00:00Z", "soon", None]
    world.commit(sink, "demo", *({"timestamp": day, "n": n} for n, day in enumerate(days)))
    world.commit(sink, "other", {"n": 9})
    assert len(world.read()) == 5
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    assert [path.rpartition("/")[0] for path in files(world)] == [
        "processor=demo/date=2026-03-01",
        "processor=demo/date=2026-03-02",
        f"processor=demo/date={today}",
        f"processor=other/date={today}",
    ]
    found = ds.dataset(world.folder / "parquet", partitioning="hive").to_table(
        filter=(ds.field("processor") == "demo") & (ds.field("date") == "2026-03-01")
    )
    assert found["n"].to_pylist() == [0, 2]


WIDENING = [
    ([1, 2.5], [1.0, 2.5], "float"),
    ([1, "x"], ["1", "x"], "text"),
    ([True, 1], ["true", "1"], "text"),
    ([1, 1 << 64], ["1", str(1 << 64)], "text"),
    ([1, {"a": [1]}], ["1", '{"a":[1]}'], "text"),
    (["2026-03-01T10:00:00Z", "x"], ["2026-03-01T10:00:00Z", "x"], "text"),
    ([None, 5], [None, 5], "int"),
    ([[1], None], ["[1]", None], "text"),
    (["x" * (5 << 20), 1], ["x" * (5 << 20), "1"], "text"),
]


@pytest.mark.parametrize(("values", "expected", "kind"), WIDENING, ids=[str(i) for i in range(len(WIDENING))])
def test_a_type_widens_to_hold_what_comes(tmp_path: Path, values: list[Any], expected: list[Any], kind: str) -> None:
    schema = Schema({})
    rows = table(tmp_path, schema, *({"k": 0, "v": value} for value in values))
    assert [row["v"] for row in rows] == expected
    assert schema.types == {"k": "int", "v": kind}


def test_a_later_file_has_the_types_of_the_earlier_ones(world: World) -> None:
    """Also after a restart; a key that comes later is a column of the files from then on."""
    sink = world.start()
    world.commit(sink, "demo", {"v": "text"})
    assert world.read() == [{"v": "text"}]
    world.commit(world.start(), "demo", {"v": 5, "new": True})
    assert world.read() == [{"v": "text"}, {"v": "5", "new": True}]


def test_what_is_no_record_or_has_no_value_is_a_row(tmp_path: Path, world: World) -> None:
    assert table(tmp_path, Schema({}), {}, {"a": None}) == [{"_record": "{}"}] * 2
    sink = world.start()
    world.commit(sink, "demo", {"processor": "p", "date": "d", "date_": 1})
    assert world.read() == [{"processor_": "p", "date__": "d", "date_": 1}]


def test_ordinary_files_are_read_by_arrow_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The speed of the sink depends on it; a key that is always null is ordinary."""
    schema = Schema({})
    records: list[Record] = [{"a": 1, "b": "x", "c": None}, {"a": 2, "b": None}]
    table(tmp_path, schema, *records)
    monkeypatch.setattr(Schema, "observe", lambda *_: pytest.fail("looked at all records"))
    assert table(tmp_path, schema, *records) == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


def test_a_long_line_is_ordinary_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is longer than a block of Arrow's reader is read in larger ones."""
    monkeypatch.setattr(arrow, "build", lambda *_: pytest.fail("looked at all records"))
    records: list[Record] = [{"v": "x"}, {"v": "x" * (3 << 20)}]
    assert table(tmp_path, Schema({"v": "text"}), *records) == records


DAYS = ["2026-03-01T10", "2026-03-02T10", "2026-03-02T11", "2026-13-01", "soon", "", None]


@pytest.mark.parametrize("most_runs", [0, 1000])
@settings(max_examples=50, deadline=None)
@given(days=st.lists(st.sampled_from(DAYS), min_size=1, max_size=12))
def test_each_row_is_in_the_part_of_its_date_once_and_in_order(most_runs: int, days: list[str | None]) -> None:
    """However often the dates change from one to the next."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parquet, "MOST_RUNS", most_runs)
        half = len(days) // 2
        column = pa.chunked_array([days[:half], days[half:]], pa.string())
        found = list(parquet.by_date(pa.table({"timestamp": column, "n": range(len(days))}), 0))
    dates = [day[:10] if day is not None and day.startswith("2026-03") else "1970-01-01" for day in days]
    assert [date for date, _ in found] == sorted(set(dates))
    for date, part in found:
        assert part["n"].to_pylist() == [number for number, each in enumerate(dates) if each == date]


def test_files_tell_the_least_and_greatest_of_times_and_numbers(tmp_path: Path) -> None:
    """So that a reader can skip them; a file of texts alone is written too."""
    rows = [{"timestamp": f"2026-03-01T10:00:0{n}Z", "n": n, "text": str(n)} for n in range(3)]
    write_file(pa.Table.from_pylist(rows), tmp_path / "all")
    group = pq.ParquetFile(tmp_path / "all").metadata.row_group(0)
    columns = {column.path_in_schema: column.statistics for column in map(group.column, range(3))}
    said = {name: (found.min, found.max) for name, found in columns.items() if found is not None and found.has_min_max}
    assert said == {"timestamp": ("2026-03-01T10:00:00Z", "2026-03-01T10:00:02Z"), "n": (0, 2)}
    write_file(pa.table({"text": ["a"]}), tmp_path / "texts")
    assert pq.read_table(tmp_path / "texts").to_pylist() == [{"text": "a"}]


def beyond(row: Record) -> Record:
    found: Record = json.loads(row.get(arrow.MORE) or "{}")
    return found


def test_keys_beyond_the_limit_share_a_column(world: World) -> None:
    """Records whose keys are data make no ever wider files; what has a column keeps it, and a restart knows."""
    sink = world.start()
    many: list[Record] = [{"n": n, f"key {n}": n, "old": "x"} for n in range(arrow.MOST_COLUMNS + 50)]
    sink.write("demo", lines(*many))  # of many keys workers make no block
    world.ledger.commit([], sink.sync())
    sink.accept()
    world.commit(world.start(), "demo", {"n": -1, "new": [1], "old": "y", "gone": None})
    rows = world.read()
    assert len(rows[0]) <= arrow.MOST_COLUMNS + 1
    assert [{key: row[key] for key in ("n", "old")} for row in rows] == [
        {key: record[key] for key in ("n", "old")} for record in [*many, {"n": -1, "old": "y"}]
    ]
    assert [row.get(f"key {n}", beyond(row).get(f"key {n}")) for n, row in enumerate(rows[:-1])] == list(
        range(len(many))
    )
    assert beyond(rows[-2]) == {f"key {len(many) - 1}": len(many) - 1}
    assert beyond(rows[-1]) == {"new": [1]}


def test_a_block_beyond_the_limit_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "MOST_COLUMNS", 3)
    names = ["a", "b", arrow.MORE, "c", "d"]
    rows = [(n, None if n % 2 else "x", f"own {n}", n / 2, n % 3 == 0) for n in range(100)]
    block, path = pack_rows(names, rows, ("@source", "log")), tmp_path / "staged"
    assert block is not None
    by_lines = Schema({})
    expected = table(tmp_path, by_lines, *({**dict(zip(names, row, strict=True)), "@source": "log"} for row in rows))
    path.write_bytes(block)
    schema = Schema({})
    assert read_table(path, schema).to_pylist() == expected
    assert schema == by_lines == Schema({"a": "int", "b": "text", arrow.MORE: "text", "c": "float"})
    assert beyond(expected[3]) == {arrow.MORE: "own 3", "d": True, "@source": "log"}


NUMBERS = st.integers(-(1 << 65), 1 << 65) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.none() | st.booleans() | NUMBERS | st.text(max_size=4) | st.lists(st.integers(), max_size=2)
BATCHES = st.lists(
    st.lists(st.dictionaries(st.sampled_from(["a", "b", "c", arrow.MORE]), VALUES, min_size=1), min_size=1, max_size=6),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("most_columns", [2, 1000])
@settings(max_examples=100, deadline=None)
@given(batches=BATCHES)
def test_any_records_are_rows_that_say_the_same(
    tmp_path_factory: pytest.TempPathFactory, most_columns: int, batches: Any
) -> None:
    """Each value is there, as a float where it was an integer at most, or as text that is its JSON."""
    folder, schema = tmp_path_factory.mktemp("any"), Schema({})
    for records in batches:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(arrow, "MOST_COLUMNS", most_columns)
            rows = table(folder, schema, *records)
        assert len(rows) == len(records)
        for row, record in zip(rows, records, strict=True):
            without = {key: value for key, value in record.items() if not schema.has_column(key)}
            assert beyond(row) == {key: value for key, value in without.items() if value is not None}
            for key, value in ((key, value) for key, value in record.items() if key not in without):
                found = row.get(key)
                if value is None:
                    assert found is None
                elif schema.types[key] == "text" and not isinstance(value, str):
                    assert json.loads(found) == value
                else:
                    assert found == pytest.approx(value) if isinstance(found, float) else found == value


def test_a_kill_between_the_file_and_the_end_of_its_stage_makes_the_same_file_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the same name; half a file of a kill before that is removed."""
    unlink = Path.unlink

    def keep(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".sealed":
            raise OSError(5, "killed", str(path))
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched, capture_logs() as logged:
        patched.setattr(Path, "unlink", keep)
        world.commit(world.start(), "demo", {"v": 1}, {"v": 2})
        eventually("it is there, and staged", lambda: any(each["event"] == "sink.undelivered" for each in logged))
        world.stop()
    before = files(world)
    assert len(before) == 1
    half = world.folder / "parquet" / Path(before[0]).parent / ".part-half.parquet.hostd-new"
    half.write_bytes(b"PAR1")
    world.start()
    assert world.read() == [{"v": 1}, {"v": 2}]
    assert files(world) == before


def test_a_disk_that_is_full_is_said_and_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged, "RETRY_S", (0.01, 0.02))
    write, broken = pq.write_table, [1, 1]

    def fail(*arguments: Any, **keys: Any) -> None:
        if broken:
            broken.pop()
            raise OSError(28, "No space left on device", "x")
        write(*arguments, **keys)

    monkeypatch.setattr(pq, "write_table", fail)
    with capture_logs() as logged:
        world.commit(world.start(), "demo", {"v": 1})
        eventually("it is delivered", lambda: any(each["event"] == "sink.delivered" for each in logged))
    reasons = [each["reason"] for each in logged if each["event"] == "sink.undelivered"]
    assert reasons == ["[Errno 28] No space left on device: 'x'; free space on its disk, and it goes on"] * 2
    assert world.read() == [{"v": 1}]


def test_what_cannot_be_made_a_table_is_said_and_holds_up_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that delivers goes on, whatever a plugin has made."""
    read = parquet.read_table

    def fail(path: Path, schema: Schema) -> Any:
        if path.name.startswith("odd."):
            raise RecursionError("nested too deeply")
        return read(path, schema)

    monkeypatch.setattr(parquet, "read_table", fail)
    sink = world.start()
    with capture_logs() as logged:
        world.commit(sink, "odd", {"v": 1})
        eventually("it is said", lambda: any(each["event"] == "sink.undelivered" for each in logged))
        world.commit(sink, "demo", {"v": 2})
        eventually("the other is there", lambda: any("processor=demo" in name for name in files(world)))
    reasons = [each["reason"] for each in logged if each["event"] == "sink.undelivered"]
    assert "it cannot be delivered: RecursionError: nested too deeply" in reasons[0]


def test_what_may_be_staged_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond, a commit fails and is tried again, so that reading waits."""
    sink = world.start()
    assert isinstance(sink, StagedSink)
    monkeypatch.setattr(ParquetCarrier, "deliver", lambda *_: (_ for _ in ()).throw(OSError(5, "no")))
    force_setattr(sink._stage, "backlog_bytes", 10)
    world.commit(sink, "demo", {"v": "more than ten bytes"})
    eventually("it waits", lambda: sink._waiting > 10)
    with pytest.raises(OSError, match="0 MiB wait to be delivered: reading waits until some of it is"):
        sink.write("demo", lines({"v": 1}))
