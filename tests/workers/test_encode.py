"""Records to JSON lines: what is taken, what is not, and that both encoders do the same."""

import json
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.testing import as_json
from hostd.workers.encode import CHUNK_RECORDS, Encoder, TooMuchError, as_mapping, encode_by_standard_library

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
records = st.dictionaries(st.text(max_size=5), json_values, max_size=4)


ENCODERS = {"msgspec": (), "standard library": (encode_by_standard_library,)}


@pytest.fixture(params=ENCODERS)
def make(request: pytest.FixtureRequest) -> Callable[[str], Encoder]:
    """Make an encoder of one kind or the other."""
    kind = ENCODERS[request.param]
    return lambda field: Encoder(field, *kind)


def encode(encoder: Encoder, records: Any, source: str = "x", most_bytes: int = 1 << 20) -> tuple[int, bytes]:
    """Return how many records there are, and their lines in one piece."""
    count, pieces = encoder.encode(records, source, most_bytes)
    return count, b"".join(pieces)


class Fixed(Mapping[str, Any]):
    """A mapping that is no dict."""

    def __getitem__(self, key: str) -> Any:
        return {"a": 1}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


@settings(max_examples=100, deadline=None)
@given(given=st.lists(records | st.text(max_size=10), max_size=5))
def test_each_record_is_one_line_of_json(given: list[Any]) -> None:
    """What comes out is what went in, in its order, a line each, whatever is in it."""
    expected = [{"message": record} if isinstance(record, str) else dict(record) for record in given]
    for kind in ENCODERS.values():
        count, lines = encode(Encoder("", *kind), iter(given))
        assert count == len(given)
        assert [json.loads(line) for line in lines.split(b"\n")[:-1]] == expected
        assert lines.count(b"\n") == count
        assert lines == b"" or lines.endswith(b"\n")


def test_source_is_named_in_each_record_and_wins(make: Callable[[str], Encoder]) -> None:
    """A record cannot say that it came from elsewhere."""
    count, lines = encode(make("@source"), [{"@source": "forged"}, "text", {}], "real.log")
    assert count == 3
    assert [json.loads(line) for line in lines.splitlines()] == [
        {"@source": "real.log"},
        {"message": "text", "@source": "real.log"},
        {"@source": "real.log"},
    ]


@pytest.mark.parametrize("record", [MappingProxyType({"a": 1}), OrderedDict(a=1), Fixed()])
def test_any_mapping_is_a_record(record: Mapping[str, Any]) -> None:
    """And is left as it is."""
    assert encode(Encoder("s"), [record]) == (1, b'{"a":1,"s":"x"}\n')
    assert dict(record) == {"a": 1}


@pytest.mark.parametrize("record", [None, 7, b"raw", ["a"], object(), ("a", 1)])
def test_anything_else_is_refused_by_its_type(record: Any) -> None:
    """The message names what was yielded."""
    with pytest.raises(TypeError) as caught:
        encode(Encoder("@source"), [{"fine": 1}, record])
    assert str(caught.value) == f"a record must be a mapping or a string, not {type(record).__name__}"


def test_no_records_are_no_lines() -> None:
    """Not even an empty one."""
    assert encode(Encoder("@source"), []) == (0, b"")
    assert encode(Encoder(""), [{}]) == (1, b"{}\n")


def cycle() -> dict[str, Any]:
    """Return a record that holds itself."""
    record: dict[str, Any] = {}
    record["self"] = record
    return record


class Text(str):
    """A str by another name."""


class Number(int):
    """An int by another name."""


class Colour(Enum):
    """An enumeration."""

    RED = "red"


class Level(IntEnum):
    """An enumeration of numbers."""

    HIGH = 3


class Word(StrEnum):
    """An enumeration of words."""

    YES = "yes"


@dataclass
class Point:
    """A dataclass."""

    x: int
    tag: Any = None


STORED: list[tuple[Any, Any]] = [
    (math.nan, None),
    (math.inf, None),
    ([-math.inf, {"a": math.nan}], [None, {"a": None}]),
    (2**64 - 1, 2**64 - 1),
    (-(2**63), -(2**63)),
    (10**100, 10**100),
    (1e308, 1e308),
    ("\x00\u2028\n", "\x00\u2028\n"),
    ((1, (2,)), [1, [2]]),
    ({7}, [7]),
    (frozenset(["a"]), ["a"]),
    (b"raw", "cmF3"),
    (bytearray(b"raw"), "cmF3"),
    (memoryview(b"raw"), "cmF3"),
    (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
    (datetime(2026, 1, 2, 3, 4, 5, 60), "2026-01-02T03:04:05.000060"),  # noqa: DTZ001
    (datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T00:00:00+02:00"),
    (date(2026, 1, 2), "2026-01-02"),
    (time(3, 4, 5, tzinfo=UTC), "03:04:05Z"),
    (timedelta(days=10, seconds=20, microseconds=100), "P10DT20.0001S"),
    (timedelta(seconds=-10.5), "-PT10.5S"),
    (timedelta(), "P0D"),
    (Decimal("1.10"), "1.10"),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Colour.RED, "red"),
    (Level.HIGH, 3),
    (Word.YES, "yes"),
    (Text("text"), "text"),
    (Number(7), 7),
    (MappingProxyType({"a": 1}), {"a": 1}),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (Point(1, b"raw"), {"x": 1, "tag": "cmF3"}),
    ({1: 2, 1.5: 3, -(2**70): 4, 1e30: 5}, {"1": 2, "1.5": 3, str(-(2**70)): 4, "1e30": 5}),
    ({Colour.RED: 1, UUID(int=1): 2, b"raw": 3}, {"red": 1, "00000000-0000-0000-0000-000000000001": 2, "cmF3": 3}),
    ({date(2026, 1, 2): 1, Text("t"): 2, Level.HIGH: 3}, {"2026-01-02": 1, "t": 2, "3": 3}),
]


@pytest.mark.parametrize(("value", "expected"), STORED, ids=lambda value: re.sub(" at 0x.*", "", repr(value))[:30])
def test_what_is_stored_is_json_that_any_reader_takes(
    make: Callable[[str], Encoder], value: Any, expected: Any
) -> None:
    """No NaN, no Infinity, no line feed; and a test of an author's own sees the same values."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    _, lines = encode(make(""), [{"x": value}])
    assert lines.count(b"\n") == 1
    assert json.loads(lines, parse_constant=refuse) == {"x": expected}
    assert as_json([{"x": value}]) == [{"x": expected}]


REFUSED: list[tuple[Any, str]] = [
    ({"x": object()}, "field 'x': object is no JSON value"),
    ({"x": [{"y": 1j}]}, "field 'x[0].y': complex is no JSON value"),
    ({"x": range(2)}, "field 'x': range is no JSON value"),
    ({"x": iter([])}, "field 'x': list_iterator is no JSON value"),
    ({"x": Point}, "field 'x': type is no JSON value"),
    ({"x": "\ud800"}, "field 'x': text with a lone surrogate, which UTF-8 cannot hold"),
    ({"x": {"\udcff": 1}}, "field 'x.\\udcff': text with a lone surrogate, which UTF-8 cannot hold"),
    ({"x": 10**5000}, "field 'x': Exceeds the limit (4300 digits) for integer string conversion"),
    (cycle(), "field 'self': holds itself, or is nested too deeply"),
    ({("a",): 1}, "a record: a key is ('a',), not text"),
    ({"x": {None: 1}}, "field 'x': a key is None, not text"),
    ({"x": {True: 1}}, "field 'x': a key is True, not text"),
]


@pytest.mark.parametrize(("record", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_json_cannot_hold_is_an_error_that_names_the_field(
    make: Callable[[str], Encoder], record: Any, message: str
) -> None:
    """It fails its record; it never becomes a broken line, and a test of an author's own fails likewise."""
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        encode(make("@source"), [{"fine": 1}, record])
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        as_json([{"fine": 1}, record])


any_text = st.text(st.characters(codec="utf-8") | st.characters(categories=["Cs"]), max_size=5)
odd_keys = any_text | st.integers() | st.dates() | st.uuids() | st.binary(max_size=3) | st.none() | st.booleans()
odd_values = st.recursive(
    json_values
    | st.floats()
    | st.integers()
    | any_text
    | st.binary(max_size=5)
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | st.sampled_from([Colour.RED, Level.HIGH, Text("t"), Number(7), object(), 1j]),
    lambda inner: st.tuples(inner, inner) | st.lists(inner, max_size=2) | st.dictionaries(odd_keys, inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(record=st.dictionaries(st.text(max_size=5), odd_values, max_size=3))
def test_both_encoders_store_the_same_and_refuse_the_same(record: dict[str, Any]) -> None:
    """Which of them a worker has is nothing that a record shows."""
    outcomes: list[Any] = []
    for kind in ENCODERS.values():
        try:
            _, lines = encode(Encoder("", *kind), [dict(record)])
            outcomes.append(json.loads(lines))
        except (TypeError, ValueError) as error:
            outcomes.append((type(error), str(error)))
    assert outcomes[0] == outcomes[1]


def test_a_generator_without_an_end_is_stopped(make: Callable[[str], Encoder]) -> None:
    """After a chunk more than the limit, whatever it would yield then."""
    taken = 0

    def endless() -> Iterator[dict[str, int]]:
        nonlocal taken
        while True:
            taken += 1
            yield {"n": taken}

    with pytest.raises(TooMuchError, match=r"over the limit \(limits\.output_mib\), \d+ bytes so far"):
        encode(make(""), endless(), most_bytes=100_000)
    assert taken <= 100_000 // len('{"n":1}') + CHUNK_RECORDS
    assert encode(make(""), iter([{"n": 1}] * 2 * CHUNK_RECORDS))[0] == 2 * CHUNK_RECORDS


def test_long_form_of_a_string() -> None:
    """A str is short for a message."""
    assert as_mapping("x") == {"message": "x"}
