"""The processor `json_documents`."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processors.support import parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.text('{}[]",\\\\: '),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(st.text().filter(lambda name: name != "Records"), JSON, max_size=4), max_size=5)


@given(
    OBJECTS, st.sampled_from([None, 2]), st.sampled_from(["", "\n", ",\n"]), st.lists(st.integers(1, 300), max_size=5)
)
def test_objects_are_read_however_they_are_laid_out_and_cut(
    objects: list[dict[str, Any]], indent: int | None, between: str, cuts: list[int]
) -> None:
    one_by_one = between.join(json.dumps(value, indent=indent) for value in objects).encode()
    for data in (one_by_one, json.dumps(objects, indent=indent).encode(), json.dumps({"Records": objects}).encode()):
        outcome = parse("json_documents", data, cuts=tuple(cut for cut in cuts if cut < len(data)))
        assert outcome.rejected == []
        assert outcome.records == objects


@given(
    st.binary(max_size=60) | st.text('{}[]",\\\\:1a ', max_size=60).map(str.encode),
    st.lists(st.integers(1, 59), max_size=3),
)
def test_any_bytes_are_the_same_wherever_they_are_cut(data: bytes, cuts: list[int]) -> None:
    whole = parse("json_documents", data)
    assert parse("json_documents", data, cuts=tuple(cut for cut in cuts if cut < len(data))) == whole


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("7", "not a JSON object"),
        ('{"a": NaN}', "not JSON: NaN is Python's, not JSON's"),
        ('{"a" 1}', "not JSON: Expecting ':' delimiter at line 1 column 6"),
        ("word", "not JSON: Expecting value at line 1 column 1"),
    ],
)
def test_what_is_no_object_is_rejected_alone(bad: str, reason: str) -> None:
    outcome = parse("json_documents", f'[{{"a": 1}}, {bad}, {{"b": 2}}]'.encode())
    assert outcome.records == [{"a": 1}, {"b": 2}]
    assert outcome.rejected == [(bad.encode(), reason)]


def test_an_object_that_never_closes_is_rejected_at_the_end() -> None:
    outcome = parse("json_documents", b'{"a": 1}\n{\n"b": [1')
    assert outcome.records == [{"a": 1}]
    assert outcome.rejected == [(b'{\n"b": [1', "the source ends inside this record, after 9 bytes of it")]
