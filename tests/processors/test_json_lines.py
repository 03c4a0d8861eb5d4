"""The processor `json_lines`."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import Context, JsonLines
from contract.testing import Outcome
from tests.processors.support import MODULES, parse


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1', "not JSON: Expecting ',' delimiter at column 8"),
        (b'{"a": NaN}', "not JSON: NaN is Python's, not JSON's"),
        (b'{"a": -Infinity}', "not JSON: -Infinity is Python's, not JSON's"),
        (b'{ "a": 1e999}', "not JSON: 1e999 is out of range"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 8"),
        (b'{"a": "\t"}', "not JSON: Invalid control character at at column 8"),
        (b"[1]", "a JSON array, where an object is expected"),
        (b"12", "a JSON number, where an object is expected"),
        (b"null", "a JSON null, where an object is expected"),
        (b'{"a": 1} {"b": 2}', "not one JSON value: column 9 begins something else"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_json_lines_rejects_a_bad_line_alone(line: bytes, reason: str) -> None:
    outcome = parse("json_lines", b'{"before": 1}\n' + line + b'\n{"after": 2}')
    assert outcome.records == [{"before": 1}, {"after": 2}]
    assert outcome.rejected == [(line, reason)]


def test_json_lines_replaces_half_a_surrogate_pair_at_any_depth() -> None:
    line = rb'{"whole \ud83e\udd25": "\ud83e\udd25", "\uDC00 key": ["x\ud800y", {"z": "\uDFFF\uD800"}, 1]}'
    assert parse("json_lines", line).records == [
        {"whole \U0001f925": "\U0001f925", "\ufffd key": ["x\ufffdy", {"z": "\ufffd\ufffd"}, 1]}
    ]


def parsed(data: bytes) -> list[Any]:
    processor = MODULES["json_lines"][1].new_processor()
    found = processor.parse(data, Context(source="x.log", reject=lambda raw, _: pytest.fail(f"{raw!r}"), say=print))
    return [found] if isinstance(found, JsonLines) else list(found)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("number", [b"0.10", b"1e999"])
def test_json_lines_are_records_as_they_are_written_whatever_lies_beside_them(number: bytes, end: bytes) -> None:
    """So that what is stored of a line does not depend on how batches are cut."""
    line = b'{"n": %s, "a": 1.10}' % number
    (alone,) = parsed(line + end)
    assert alone.with_last(b"") == line + b"\n"
    (together,) = parsed((line + end) * 40)
    assert together.with_last(b"") == (line + b"\n") * 40
    *before, other, after = parsed((line + end) * 40 + b'{ "b": 2}' + end + line)
    assert b"".join(each.with_last(b"") for each in before) == (line + b"\n") * 40
    assert (other, after.with_last(b"")) == ({"b": 2}, line + b"\n")


def test_json_lines_skips_blank_lines_and_a_byte_order_mark() -> None:
    outcome = parse("json_lines", b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n {"b": 2} \r\n')
    assert outcome == Outcome([{"a": 1}, {"b": 2}])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(), JSON_VALUES, max_size=4), max_size=6), st.booleans())
def test_json_lines_yields_what_was_written(objects: list[dict[str, Any]], ascii_only: bool) -> None:
    data = "\n".join(json.dumps(value, ensure_ascii=ascii_only) for value in objects).encode()
    assert parse("json_lines", data) == Outcome(objects)
