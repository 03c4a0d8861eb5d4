"""Columns to JSON lines: the same records as by a dict each, the same refusals, and nothing of another batch."""

import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.columns import as_records, is_columns
from contract.testing import as_json
from hostd.workers import columns as module
from hostd.workers.encode import CHUNK_RECORDS, Encoder, TooMuchError, encode_by_standard_library

pa = pytest.importorskip("pyarrow", reason="hostd[parquet] is not installed")

ENCODERS: dict[str, tuple[Any, ...]] = {"msgspec": (), "standard library": (encode_by_standard_library,)}


@pytest.fixture(params=ENCODERS)
def make(request: pytest.FixtureRequest) -> Callable[[str], Encoder]:
    """Make an encoder whose values that Arrow has no function for go by one library or the other."""
    kind = ENCODERS[request.param]
    return lambda field: Encoder(field, *kind)


def encode(encoder: Encoder, records: Any, source: str = "a.log", most_bytes: int = 1 << 20) -> list[Any]:
    """Return what the lines hold, which are as many as the encoder says."""
    count, pieces = encoder.encode(records, source, most_bytes)
    lines = b"".join(pieces)
    assert lines == b"" or lines.endswith(b"\n")
    found = lines.decode().split("\n")[:-1]
    assert len(found) == count
    return [json.loads(line, parse_constant=_refuse) for line in found]


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def batch(**columns: Any) -> Any:
    return pa.RecordBatch.from_pydict(columns)


STORED: list[tuple[Any, list[Any]]] = [
    (pa.array(["a", None, "", 'x"\\\n\x01\x1f\x7fé\u2028']), ["a", None, "", 'x"\\\n\x01\x1f\x7fé\u2028']),
    (pa.array(["a", None, '"'], pa.large_string()), ["a", None, '"']),
    (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    (pa.array([1, None, -(2**63)]), [1, None, -(2**63)]),
    (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
    (pa.array([1, None], pa.int8()).dictionary_encode(), [1, None]),
    (pa.array([True, None, False]), [True, None, False]),
    (pa.array([1.0, None, math.nan, -math.inf, 1e30, -0.5]), [1.0, None, None, None, 1e30, -0.5]),
    (pa.array([0.1, 3], pa.float32()), [0.10000000149011612, 3.0]),
    (pa.array([0, None, 86_399], pa.timestamp("s")), ["1970-01-01T00:00:00", None, "1970-01-01T23:59:59"]),
    (pa.array([0, 1], pa.timestamp("s", "UTC")), ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"]),
    (pa.array([0, 120], pa.timestamp("ms", "UTC")), ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00.120000Z"]),
    (pa.array([1, -1], pa.timestamp("us")), ["1970-01-01T00:00:00.000001", "1969-12-31T23:59:59.999999"]),
    (
        pa.array([0, 1, 1000, -1], pa.timestamp("ns", "UTC")),
        [
            "1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00.000000001Z",
            "1970-01-01T00:00:00.000001Z",
            "1969-12-31T23:59:59.999999999Z",
        ],
    ),
    (pa.array([0], pa.timestamp("s", "+02:00")), ["1970-01-01T02:00:00+02:00"]),
    (pa.array([1, None], pa.timestamp("ns", "+02:00")), ["1970-01-01T02:00:00.000000001+02:00", None]),
    (pa.array([b"raw", None]), ["cmF3", None]),
    (pa.array([Decimal("1.10"), None]), ["1.10", None]),
    (pa.array([date(2026, 1, 2)]), ["2026-01-02"]),
    (pa.array([time(3, 4, 5)], pa.time32("s")), ["03:04:05"]),
    (pa.array([timedelta(days=1, microseconds=5)]), ["P1DT0.000005S"]),
    (pa.array([[1, None], [], None]), [[1, None], [], None]),
    (pa.array([{"a": 1, "b": "x"}, None]), [{"a": 1, "b": "x"}, None]),
    (pa.nulls(2), [None, None]),
    (pa.nulls(2, pa.string()), [None, None]),
]


@pytest.mark.parametrize(("column", "expected"), STORED, ids=lambda value: str(getattr(value, "type", ""))[:30])
def test_what_is_stored_of_a_column_is_what_the_rule_says(
    make: Callable[[str], Encoder], column: Any, expected: list[Any]
) -> None:
    """In a worker, and in a test of an author's own; numbers keep their kind, whatever lies beside them."""
    whole = batch(x=column, n=pa.array(range(len(column))))
    for part, start in ((whole, 0), (whole.slice(1), 1), (whole.slice(0, 1), 0)):
        wanted = [{"x": value, "n": number} for number, value in enumerate(expected)][start : start + len(part)]
        found = encode(make(""), part)
        assert found == wanted
        assert [list(map(type, record.values())) for record in found] == [
            list(map(type, record.values())) for record in wanted
        ]
        assert as_json(part) == wanted


def _bad_text() -> Any:
    return pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer("é".encode())]
    )


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: batch(x=pa.array([10**15], pa.timestamp("s"))), "field 'x': a time outside of the years 1 to 9999"),
    (lambda: batch(x=pa.array([253_402_300_800], pa.timestamp("s", "UTC"))), "field 'x': a time outside of the years"),
    (lambda: batch(x=_bad_text()), "field 'x': Invalid UTF8 sequence at string index 0"),
    (lambda: batch(x=pa.array([[10**15]], pa.list_(pa.timestamp("s")))), "field 'x': "),
    (
        lambda: pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]),
        "field 'x': two columns have this name",
    ),
]


@pytest.mark.parametrize(("make_columns", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_stored_is_an_error_that_names_the_field(
    make: Callable[[str], Encoder], make_columns: Callable[[], Any], message: str
) -> None:
    """Also in a test of an author's own, if in other words."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        encode(make("@source"), [make_columns()])
    with pytest.raises(ValueError, match=r"^field 'x': "):
        as_json([make_columns()])


texts = st.text(st.characters(codec="utf-8"), max_size=8)
KINDS = [
    (pa.string(), texts),
    (pa.large_string(), texts),
    (pa.dictionary(pa.int32(), pa.string()), texts),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint8(), st.integers(0, 255)),
    (pa.bool_(), st.booleans()),
    (pa.float64(), st.floats()),
    (pa.float32(), st.floats(width=32)),
    (pa.timestamp("s"), st.integers(-62_135_596_800, 253_402_300_799)),
    (pa.timestamp("ms", "UTC"), st.integers(-62_135_596_800_000, 253_402_300_799_999)),
    (pa.timestamp("us", "UTC"), st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)),
    (pa.timestamp("ns"), st.integers(-(2**63) + 1, 2**63 - 1)),
    (pa.binary(), st.binary(max_size=4)),
    (pa.date32(), st.dates()),
    (pa.list_(pa.string()), st.lists(texts, max_size=2)),
]


@st.composite
def batches(draw: st.DrawFn) -> Any:
    rows = draw(st.integers(0, 6))
    names = draw(st.lists(texts, unique=True, max_size=4))
    arrays = []
    for _ in names:
        kind, values = draw(st.sampled_from(KINDS))
        arrays.append(pa.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind))
    start = draw(st.integers(0, rows))
    made = pa.RecordBatch.from_arrays(arrays, names=names) if names else pa.RecordBatch.from_pydict({})
    return made.slice(start, draw(st.integers(0, rows))) if names else made


@settings(max_examples=100, deadline=None)
@given(columns=batches())
def test_columns_are_stored_as_the_records_that_they_stand_for(columns: Any) -> None:
    """Whatever they hold: by both encoders, record by record, and of the same kind of number."""
    expected = [{**record, "@source": "a.log"} for record in as_json(as_records(columns))]
    for kind in ENCODERS.values():
        found = encode(Encoder("@source", *kind), [columns])
        assert json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)


def test_a_source_is_named_in_each_row_and_wins(make: Callable[[str], Encoder]) -> None:
    """Rows cannot say that they came from elsewhere; one encoder names many sources."""
    encoder = make("@source")
    forged = batch(**{"@source": ["forged", None], "n": [1, 2]})
    for number in range(3):
        source = f'a"{number}.log'
        assert encode(encoder, forged, source) == [{"n": 1, "@source": source}, {"n": 2, "@source": source}]
    assert encode(encoder, batch(**{"@source": ["forged"]})) == [{"@source": "a.log"}]
    assert encode(encoder, batch(n=pa.nulls(2))) == [{"n": None, "@source": "a.log"}] * 2
    assert encode(make(""), batch(n=pa.nulls(1), m=pa.nulls(1))) == [{"n": None, "m": None}]


def test_columns_come_among_records_in_their_order(make: Callable[[str], Encoder]) -> None:
    """A list, a generator and a table bare are all taken; the order is that in which they were yielded."""
    two = batch(n=[1, 2])
    mixed = [{"n": 0}, two, pa.Table.from_batches([two, two]), "text", {"n": 9}, batch(n=pa.array([], pa.int64()))]
    expected = [{"n": 0}, {"n": 1}, {"n": 2}, *[{"n": 1}, {"n": 2}] * 2, {"message": "text"}, {"n": 9}]
    assert encode(make(""), list(mixed)) == expected
    assert encode(make(""), iter(mixed)) == expected
    assert as_json(mixed) == expected
    assert encode(make(""), two) == encode(make(""), pa.Table.from_batches([two])) == as_json(two) == expected[1:3]


def test_columns_without_columns_are_records_without_keys(make: Callable[[str], Encoder]) -> None:
    bare = batch(n=[1, 2]).select([])
    assert bare.num_rows == 2
    assert encode(make("@source"), bare) == [{"@source": "a.log"}] * 2
    assert encode(make(""), bare) == as_json(bare) == [{}, {}]


def test_a_large_batch_is_encoded_in_parts(make: Callable[[str], Encoder], monkeypatch: pytest.MonkeyPatch) -> None:
    """By rows and by bytes; nothing is lost where they meet."""
    wide = batch(n=pa.array(range(20_000)), text=pa.array(["x" * 20] * 20_000))
    count, pieces = make("").encode([wide], "a.log", 1 << 30)
    assert (count, len(pieces)) == (20_000, -(-20_000 // module.MOST_ROWS))
    assert [record["n"] for record in map(json.loads, b"".join(pieces).splitlines())] == list(range(20_000))
    monkeypatch.setattr(module, "MOST_BYTES", 1 << 10)
    assert len(make("").encode([wide.slice(0, 1000)], "a.log", 1 << 30)[1]) > 20


def test_columns_without_an_end_are_stopped(make: Callable[[str], Encoder]) -> None:
    """After the batch that is over the limit, not after as many batches as there would be records."""
    taken = 0

    def endless() -> Iterator[Any]:
        nonlocal taken
        while True:
            taken += 1
            yield batch(n=pa.array(range(1000)))

    with pytest.raises(TooMuchError, match=r"over the limit \(limits\.output_mib\), \d+ bytes so far"):
        make("").encode(endless(), "a.log", 100_000)
    assert taken < 20 < CHUNK_RECORDS


def test_what_is_between_columns_is_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source has texts of its own, and there may be any number of them."""
    monkeypatch.setattr(module, "MOST_LITERALS", 10)
    encoder = Encoder("@source")
    for number in range(50):
        assert encode(encoder, batch(a=["x"], b=[1]), f"{number}.log") == [
            {"a": "x", "b": 1, "@source": f"{number}.log"}
        ]
    assert len(encoder._columns._literals) <= 10


def test_only_what_pyarrow_has_made_is_columns() -> None:
    """An array alone has no names."""
    assert is_columns(batch(n=[1]))
    assert is_columns(pa.table({"n": [1]}))
    assert not any(is_columns(value) for value in ({"n": [1]}, pa.array([1]), "text", None, [batch(n=[1])]))
    with pytest.raises(TypeError, match=r"^a record must be a mapping or a string, not Int64Array$"):
        encode(Encoder(""), [pa.array([1])])


def test_times_end_with_the_year_9999(make: Callable[[str], Encoder]) -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    first = datetime(1, 1, 1, tzinfo=UTC)
    column = pa.array([first, last], pa.timestamp("us", "UTC"))
    assert encode(make(""), batch(x=column)) == [{"x": "0001-01-01T00:00:00Z"}, {"x": "9999-12-31T23:59:59.999999Z"}]
