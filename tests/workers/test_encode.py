"""Records to JSON lines: what is taken, and what is not."""

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostd.workers.encode import Encoder, as_mapping

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
records = st.dictionaries(st.text(max_size=5), json_values, max_size=4)


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
    count, lines = Encoder("").encode(iter(given), "a.log")
    assert count == len(given)
    assert [json.loads(line) for line in lines.split(b"\n")[:-1]] == expected
    assert lines.count(b"\n") == count
    assert lines == b"" or lines.endswith(b"\n")


def test_source_is_named_in_each_record_and_wins() -> None:
    """A record cannot say that it came from elsewhere."""
    count, lines = Encoder("@source").encode([{"@source": "forged"}, "text", {}], "real.log")
    assert count == 3
    assert [json.loads(line) for line in lines.splitlines()] == [
        {"@source": "real.log"},
        {"message": "text", "@source": "real.log"},
        {"@source": "real.log"},
    ]


@pytest.mark.parametrize("record", [MappingProxyType({"a": 1}), OrderedDict(a=1), Fixed()])
def test_any_mapping_is_a_record(record: Mapping[str, Any]) -> None:
    """And is left as it is."""
    assert Encoder("s").encode([record], "x") == (1, b'{"a":1,"s":"x"}\n')
    assert dict(record) == {"a": 1}


@pytest.mark.parametrize("record", [None, 7, b"raw", ["a"], object(), ("a", 1)])
def test_anything_else_is_refused_by_its_type(record: Any) -> None:
    """The message names what was yielded."""
    with pytest.raises(TypeError) as caught:
        Encoder("@source").encode([{"fine": 1}, record], "x")
    assert str(caught.value) == f"a record must be a mapping or a string, not {type(record).__name__}"


def test_no_records_are_no_lines() -> None:
    """Not even an empty one."""
    assert Encoder("@source").encode([], "x") == (0, b"")
    assert Encoder("").encode([{}], "x") == (1, b"{}\n")


def cycle() -> dict[str, Any]:
    """Return a record that holds itself."""
    record: dict[str, Any] = {}
    record["self"] = record
    return record


@pytest.mark.parametrize(
    "record", [{"x": "\ud800"}, {"x": object()}, cycle(), {("a",): 1}], ids=["surrogate", "object", "cycle", "key"]
)
def test_what_json_cannot_hold_is_an_error(record: Any) -> None:
    """It fails its record; it never becomes a broken line."""
    with pytest.raises((TypeError, ValueError, RecursionError)):
        Encoder("").encode([record], "x")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (2**64 - 1, 2**64 - 1),
        (-(2**63), -(2**63)),
        (1e308, 1e308),
        ("\x00\u2028\n", "\x00\u2028\n"),
    ],
)
def test_what_is_encoded_is_json_that_any_reader_takes(value: Any, expected: Any) -> None:
    """No NaN, no Infinity, no line feed: a strict reader gets one value."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    _, lines = Encoder("").encode([{"x": value}], "x")
    assert lines.count(b"\n") == 1
    assert json.loads(lines, parse_constant=refuse)["x"] == expected


def test_long_form_of_a_string() -> None:
    """A str is short for a message."""
    assert as_mapping("x") == {"message": "x"}
