"""Blocks of columns: what is stored from them is what would be stored from JSON lines, whoever made them."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.rows import Rows
from hostd.workers import block, columns
from hostd.workers.block import MARK, Block, count_records, pack_rows, split, windows
from hostd.workers.encode import Encoder

pa = pytest.importorskip("pyarrow", reason="hostd[parquet] is not installed")
from hostd.pipeline.sinks import arrow  # noqa: E402
from hostd.pipeline.sinks.arrow import Schema, read_table  # noqa: E402

SOURCE = "logs/é.log"
NAMES = ["a", "é", "c d", '"']


def encoded(records: Any, *, blocks: bool, field: str = "@source") -> bytes:
    return b"".join(Encoder(field).encode(records, SOURCE, 1 << 30, blocks=blocks)[1])


def stored(folder: Path, content: bytes, schema: Schema) -> list[dict[str, Any]]:
    """Return the rows of a file that holds this content, without what is missing."""
    path = folder / "staged"
    path.write_bytes(content)
    return [
        {key: value for key, value in row.items() if value is not None} for row in read_table(path, schema).to_pylist()
    ]


def as_kept(schema: Schema) -> dict[str, str]:
    return {key: kind for key, kind in schema.types.items() if kind != "null"}


@pytest.fixture(autouse=True)
def _few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (block, columns):
        monkeypatch.setattr(module, "LEAST_ROWS", 1)


TEXTS = st.text(max_size=5) | st.sampled_from(["", "\0", "\n", MARK.decode("latin-1"), '"\\', "x" * 300])
INTS = st.integers(-(1 << 63), (1 << 63) - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = (TEXTS, INTS, FLOATS, st.booleans(), INTS | FLOATS, TEXTS | INTS, st.none())
ODD = st.one_of(*PLAIN, st.integers(), st.floats(), st.lists(st.integers(), max_size=2), st.binary(max_size=3))


@st.composite
def tables(draw: st.DrawFn, values: tuple[st.SearchStrategy[Any], ...] = PLAIN) -> Rows:
    """Draw rows of some columns, each of one kind of values, some of them missing."""
    columns = [draw(st.sampled_from(values)) | st.none() for _ in NAMES]
    some = [draw(st.sampled_from([each, each, st.none()])) for each in columns]
    rows = draw(st.lists(st.tuples(*some), max_size=8))
    return Rows(NAMES, rows, optional=draw(st.sets(st.sampled_from(NAMES))))


@settings(max_examples=100, deadline=None)
@given(batches=st.lists(tables(), min_size=1, max_size=4))
def test_what_is_stored_of_rows_is_the_same_as_of_lines(
    tmp_path_factory: pytest.TempPathFactory, batches: list[Rows]
) -> None:
    """Of all values that a block holds, with those that are missing, in several batches that widen the types."""
    folder = tmp_path_factory.mktemp("same")
    by_lines, by_blocks = Schema({}), Schema({})
    lines = [encoded(rows, blocks=False) for rows in batches]
    blocks = [encoded(rows, blocks=True) for rows in batches]
    assert [count_records(each) for each in blocks] == [each.count(b"\n") for each in lines]
    expected = stored(folder, b"".join(lines), by_lines)
    found = stored(folder, b"".join(blocks), by_blocks)
    assert as_kept(by_blocks) == as_kept(by_lines)
    assert found == expected


@settings(max_examples=100, deadline=None)
@given(rows=tables(), data=st.data())
def test_what_is_stored_of_dicts_is_the_same_as_of_lines(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows, data: st.DataObject
) -> None:
    """Whatever the order of their keys; where some lack a key, or have one more, they are lines."""
    records = [dict(data.draw(st.permutations(list(record.items())))) for record in rows]
    folder = tmp_path_factory.mktemp("dicts")
    by_lines, by_blocks = Schema({}), Schema({})
    lines = encoded([dict(record) for record in records], blocks=False)
    content = encoded(records, blocks=True)
    assert count_records(content) == lines.count(b"\n")
    assert stored(folder, content, by_blocks) == stored(folder, lines, by_lines)
    assert as_kept(by_blocks) == as_kept(by_lines)


@settings(max_examples=100, deadline=None)
@given(rows=tables((ODD, *PLAIN)))
def test_what_no_block_holds_is_lines_or_fails_as_ever(rows: Rows) -> None:
    """An integer of more than 64 bits, one that is not finite, bytes, what nests: as without blocks."""
    try:
        lines = encoded(rows, blocks=False)
    except (TypeError, ValueError) as error:
        with pytest.raises(type(error)):
            encoded(rows, blocks=True)
        return
    content = encoded(rows, blocks=True)
    if any(isinstance(part, Block) for part in split(content)):
        assert count_records(content) == lines.count(b"\n")
    else:
        assert content == lines


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (["a", "a"], [(1, 2)]),
        (["a", "b"], [(1, 2), (1,)]),
        (["a", "@source"], [(1, 2)]),
        ([1, "b"], [(1, 2)]),
        (["\ud800", "b"], [(1, 2)]),
        (["a", "b"], [("\ud800", 2)]),
        (["a"], [(1 << 63,)]),
        (["a"], [(1.5,), (1,)]),
        (["a"], [(float("nan"),)]),
        (["a"], [(True,), (1,)]),
        (["a"], [("x",), (1,)]),
        (["a"], [([1],)]),
        ([], [()]),
        (["a"], []),
    ],
)
def test_rows_that_are_no_block(names: list[Any], rows: list[Any]) -> None:
    assert pack_rows(names, rows, ("@source", SOURCE)) is None


def test_few_rows_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    rows = Rows(["n"], [(number,) for number in range(block.LEAST_ROWS)])
    assert encoded(rows, blocks=True).startswith(MARK)
    fewer = Rows(["n"], rows.rows[1:])
    assert encoded(fewer, blocks=True) == encoded(fewer, blocks=False)


def test_records_rows_and_columns_keep_their_order(tmp_path: Path) -> None:
    """Also where what comes from somewhere is lines, and where a block lacks what others have."""
    mixed = [
        {"n": 0, "t": "first"},
        Rows(["n", "t"], [(1, "é"), (2, None)]),
        Rows(["n"], [(3,)]),
        {"n": 4, "list": [1]},
        pa.table({"n": [5, 6], "t": pa.array(["x", None]).dictionary_encode()}),
        "only text",
        Rows(["n", "more"], [(7.5, True), (None, False)]),
    ]
    content = encoded(mixed, blocks=True)
    assert [isinstance(part, Block) for part in split(content)] == [True, True, True, False, True, False, True]
    rows = stored(tmp_path, content, Schema({}))
    assert [row.pop("@source") for row in rows] == [SOURCE] * 10
    assert rows == [
        {"n": 0.0, "t": "first"},
        {"n": 1.0, "t": "é"},
        {"n": 2.0},
        {"n": 3.0},
        {"n": 4.0, "list": "[1]"},
        {"n": 5.0, "t": "x"},
        {"n": 6.0},
        {"message": "only text"},
        {"n": 7.5, "more": True},
        {"more": False},
    ]


COLUMNS = {
    "text": pa.array(["a", None, 'é"\n', ""]),
    "large": pa.array(["a", "b", "c", "d"], pa.large_string()),
    "words": pa.array(["x", "y", None, "x"]).dictionary_encode(),
    "small": pa.array([1, -1, None, 127], pa.int8()),
    "unsigned": pa.array([1, 2, 3, (1 << 63) - 1], pa.uint64()),
    "half": pa.array([0.1, None, 2.0, float("inf")], pa.float32()),
    "double": pa.array([0.1, float("nan"), -0.0, 1e300]),
    "flag": pa.array([True, None, False, True]),
    "at": pa.array([0, 1_500_000, None, -1], pa.timestamp("us", "UTC")),
    "none": pa.nulls(4),
    "no number": pa.array([float("nan"), float("inf"), None, float("nan")]),
    "no word": pa.array(["a"]).dictionary_encode().take(pa.array([None] * 4, pa.int32())),
}


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("names", [*([name] for name in COLUMNS), list(COLUMNS)], ids=str)
def test_what_is_stored_of_columns_is_the_same_as_of_lines(tmp_path: Path, names: list[str], start: int) -> None:
    table = pa.table({name: COLUMNS[name] for name in names}).slice(start, 3)
    content = encoded([table], blocks=True)
    assert content.startswith(MARK)
    by_lines, by_blocks = Schema({}), Schema({})
    assert stored(tmp_path, content, by_blocks) == stored(tmp_path, encoded([table], blocks=False), by_lines)
    assert as_kept(by_blocks) == as_kept(by_lines)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1], [2]]),
        pa.array([1, 1 << 63], pa.uint64()),
        pa.array([b"a", b"b"]),
        pa.array([1, 2], pa.timestamp("s", "Europe/Paris")),
    ],
    ids=str,
)
def test_columns_that_no_block_holds_are_lines(column: Any) -> None:
    table = pa.table({"n": [1, 2], "v": column})
    assert encoded([table], blocks=True) == encoded([table], blocks=False)


def test_text_that_is_none_fails_as_ever() -> None:
    broken = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    for blocks in (False, True):
        with pytest.raises(ValueError, match="field 'v'"):
            encoded([pa.table({"v": broken})], blocks=blocks)


@pytest.mark.parametrize("other", [{"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 2}, {"a": 1, "b": [2]}], ids=str)
def test_dicts_that_are_not_alike_are_lines(other: Any) -> None:
    alike: list[Any] = [{"a": 1, "b": 2}, {"b": 3, "a": 4}]
    assert encoded(alike, blocks=True).startswith(MARK)
    assert not encoded([*alike, other], blocks=True).startswith(MARK)


def numbered(count: int, start: int = 0) -> Rows:
    rows = [(number, f"line {number}", number / 2 if number % 3 else None) for number in range(start, start + count)]
    return Rows(["n", "text", "half"], rows)


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=8), window=st.sampled_from([16, 100, 4096])
)
def test_a_file_is_read_in_pieces_that_cut_nothing(sizes: list[tuple[bool, int]], window: int) -> None:
    content, count = b"", 0
    for blocks, size in sizes:
        content += encoded(numbered(size, count), blocks=blocks)
        count += size
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(block, "WINDOW_BYTES", window)
        pieces = [bytes(piece[:end]) for piece, end in windows(io.BytesIO(content))]  # type: ignore[arg-type]
    assert b"".join(pieces) == content
    assert sum(map(count_records, pieces)) == count


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_block_that_is_broken_stops_nothing_that_comes_after_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Foreign code made it, so it may be anything. What is around it is there, but for what a wrong length swallows."""
    good = encoded(numbered(5), blocks=True)
    whole = encoded(numbered(4, 100), blocks=True)
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(broken) - 1))
        broken[place] = data.draw(st.integers(0, 255))
    keeps_length = data.draw(st.booleans())
    if not keeps_length:
        broken[:] = b'{"cut":"' + bytes(broken[len(MARK) : data.draw(st.integers(len(MARK), len(broken)))]) + b'"}'
    after = b"\n" + good + b'{"n":7}\n'
    rows = stored(tmp_path_factory.mktemp("broken"), good + bytes(broken) + after, Schema({}))
    texts = [f"line {number}" for number in range(5)]
    assert [row.get("text") for row in rows[:5]] == texts
    if not keeps_length or broken[: block.HEAD.size] == whole[: block.HEAD.size]:
        assert [row.get("text") for row in rows[-6:-1]] == texts
        assert str(rows[-1]["n"]) in ("7", "7.0")


def test_a_broken_block_is_a_row_with_what_came(tmp_path: Path) -> None:
    """Its lengths are not those of its texts."""
    good = encoded(numbered(3), blocks=True)
    at = good.index(b"line 0") - 16
    broken = good[:at] + bytes([200]) + good[at + 1 :]
    rows = stored(tmp_path, good + broken + good, Schema({}))
    assert [row.get("n") for row in rows] == [0, 1, 2, None, 0, 1, 2]
    assert "line 1" in rows[3]["_record"]


def test_marks_without_end_cost_no_more_than_their_length() -> None:
    """Each of them could claim all the rest for its head, which would be looked through again and again."""
    head = block.HEAD.pack(MARK, 1 << 20, 1)
    content = (head + b"[" * 4 + b"\n") * 200_000
    assert [type(part) for part in split(content)] == [memoryview]


def test_heads_are_short(tmp_path: Path) -> None:
    """While one is decoded no other thread of the daemon runs."""
    many = ["c" * 100 + str(number) for number in range(1000)]
    assert pack_rows(many, [tuple(range(1000))], None) is None
    for named in (b"[]," * 50_000 + b"[]", b'["a","int",false,8],' * 2_000 + b'["a","int",false,8]'):
        head = b"[1,[" + named + b"]]"
        content = block.HEAD.pack(MARK, len(head), 1) + head + b"\n"
        assert [type(part) for part in split(content)] == [memoryview]
    assert stored(tmp_path, content, Schema({})) != []


def test_wide_blocks_of_which_each_has_other_columns_are_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "MOST_COLUMNS", 10_000)
    names = [[f"c{number}_{column}" for column in range(500)] for number in range(6)]
    content = b"".join(encoded(Rows(each, [tuple(range(500))]), blocks=True) + b"{}\n" for each in names)
    rows = stored(tmp_path, content, Schema({}))
    expected = [{**dict(zip(each, range(500), strict=True)), "@source": SOURCE} for each in names]
    assert rows == [row for record in expected for row in (record, {})]


def test_a_later_file_has_the_columns_of_the_earlier_ones(tmp_path: Path) -> None:
    """Of the types that they have by then, as files of lines do."""
    for blocks in (False, True):
        schema = Schema({})
        stored(tmp_path, encoded(Rows(["n", "gone"], [(1, "x")]), blocks=blocks), schema)
        path = tmp_path / "staged"
        path.write_bytes(encoded(Rows(["n", "new"], [(2.5, None), (3.5, True)]), blocks=blocks))
        table = read_table(path, schema)
        assert {field.name: str(field.type) for field in table.schema} == {
            "n": "double",
            "gone": "string",
            "@source": "string",
            "new": "bool",
        }
        assert table.column("gone").null_count == 2


def test_random_bytes_are_rows_of_some_kind(tmp_path: Path) -> None:
    chosen = random.Random(7)
    for _ in range(50):
        content = b"".join(
            chosen.choice(
                [MARK, b"\n", b"{}\n", chosen.randbytes(9), json.dumps([1, [["a", "int", False, 8]]]).encode()]
            )
            for _ in range(30)
        )
        path = tmp_path / "random"
        path.write_bytes(content + b"\n")
        assert read_table(path, Schema({})).num_rows >= 1
