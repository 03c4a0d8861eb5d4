"""JSON lines are the records that they are, and nothing else passes for them."""

import json
import math
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract import JsonLines
from contract import json_lines as module
from contract.testing import as_json

MEMBERS = [b'"a":1', b'"a" : [1, {"b": null}]', b'"\\u00e9":"x"', '"ä":"ö\\n"'.encode(), b'"n":1e999', b'"":{}']
PARTS = [
    *[b"{" + member + b"}" for member in MEMBERS],
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b"\n",
        b"\r\n",
        b" ",
        b",",
        b'"',
        b"{}",
        b'{"',
        b'}\n{"',
        b'"a"',
        b":",
        b"1",
        b"\\",
        b"\xff",
    ),
    *(b"null", b'"\\ud83e"', b"01", b"NaN", b"\x01", b"\xef\xbb\xbf"),
]


@pytest.fixture(params=["msgspec", "standard library"], autouse=True)
def _counting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Look through the text with either; a plugin's own environment need not have msgspec."""
    if request.param != "msgspec":
        monkeypatch.setitem(sys.modules, "msgspec", None)
    module._count_objects.cache_clear()
    yield
    module._count_objects.cache_clear()


def refuse(name: str) -> None:
    raise ValueError(name)


def objects_of(text: bytes) -> list[dict[str, Any]] | None:
    """Return the object of each line, by another way; None where a line is not just one, from brace to brace."""
    found = []
    for line in text.removesuffix(b"\n").split(b"\n"):
        try:
            value = json.loads(line.decode(), parse_constant=refuse)
            json.dumps(value, ensure_ascii=False).encode()
        except ValueError:
            return None
        if not isinstance(value, dict) or not line.startswith(b'{"') or not line.endswith(b"}"):
            return None
        found.append(value)
    return found


@given(st.lists(st.sampled_from(PARTS), max_size=8).map(b"".join))
@example(b'{"a":{}\n}{"b":1}\n')
@example(b'{"a":\n1}{"b":2}')
@example(b'{"a":1}{"b":2}\n{"c":3\n}')
@example(b'{"a":1}\n\n{"b":2}\n')
@example(b'{"a":1}\n{"b":2}\n\n')
@example(b'{"a":1}\n{}\n')
def test_whatever_is_lines_of_objects_is_taken_and_nothing_else(text: bytes) -> None:
    expected = objects_of(text)
    try:
        lines = JsonLines(text)
    except ValueError:
        assert expected is None
        return
    assert list(lines) == expected
    assert len(lines) == len(expected)
    assert lines.text == text


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(), VALUES, min_size=1, max_size=3), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from(["", "\n"]),
)
def test_objects_are_there_as_they_were_written_with_a_member_more(
    objects: list[dict[str, Any]], ascii_only: bool, end: str
) -> None:
    written = [json.dumps(each, ensure_ascii=ascii_only) for each in objects]
    lines = JsonLines(("\n".join(written) + end).encode())
    assert list(lines) == objects
    assert lines.with_last(b"") == "".join(f"{each}\n" for each in written).encode()
    assert lines.with_last(b'"at":"x"') == "".join(f'{each[:-1]},"at":"x"}}\n' for each in written).encode()


def test_numbers_stay_as_they_are_written() -> None:
    text = b'{"a":0.10000000000000000555,"b":12345678901234567890123,"c":1e999,"d":' + b"9" * 5000 + b"}\n"
    assert JsonLines(text).with_last(b"") == text
    assert list(JsonLines(b'{"c":1e999}')) == [{"c": math.inf}]


def test_what_is_nested_too_deeply_is_an_error() -> None:
    depth = 100_000
    with pytest.raises(ValueError, match="nested too deeply"):
        JsonLines(b'{"a":' + b"[" * depth + b"]" * depth + b"}")


def test_a_test_compares_the_records_that_lines_stand_for() -> None:
    assert as_json([{"n": 1}, JsonLines(b'{"n":2}\n{"n":3}'), "four"]) == [
        *[{"n": number} for number in (1, 2, 3)],
        {"message": "four"},
    ]
