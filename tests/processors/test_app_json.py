"""The processor `app_json`."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.processors.support import parse, record


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"level": 10, "time": 1715940303},
            {"severity_text": "trace", "severity_number": 1, "timestamp": "2024-05-17T10:05:03Z"},
        ),
        ({"level": "ERROR-2", "time": "2024-05-17T10:05:03Z"}, {"severity_text": "ERROR-2", "severity_number": 15}),
        ({"level": "dpanic", "ts": 1.5}, {"severity_number": 18, "timestamp": "1970-01-01T00:00:01.500000Z"}),
        ({"level": 35, "time": True}, {"level": 35, "time": True, "severity_text": None, "timestamp": None}),
        ({"level": None, "msg": 5, "message": "m"}, {"level": None, "msg": 5, "body": "m"}),
        ({"msg": "m", "body": "b", "timestamp": "t"}, {"body": "m", "body_": "b", "timestamp": "t"}),
        (
            {"s": "F", "c": "-", "ctx": "main", "t": {"$date": 7}},
            {"severity_number": 21, "component": "-", "context": "main"},
        ),
        ({"level": ["info"], "time": {}}, {"level": ["info"], "time": {}}),
    ],
)
def test_what_has_a_normal_form_takes_it_and_the_rest_stays(
    fields: dict[str, object], expected: dict[str, object]
) -> None:
    one = record("app_json", json.dumps(fields))
    assert {name: one.get(name) for name in expected} == expected


def test_other_lines_are_rejected_alone() -> None:
    outcome = parse("app_json", b'[]\n{"a":1} x\n\xff\n  \n{"msg":"m"}\n' + b"[" * 100_000)
    assert outcome.records == [{"body": "m"}]
    assert [reason for _, reason in outcome.rejected] == [
        "TypeError: a JSON list, where an object is expected",
        "ValueError: not one JSON value: column 8 begins something else",
        "JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
        "RecursionError: maximum recursion depth exceeded while decoding a JSON array from a unicode string",
    ]


_NAMES = ("time", "ts", "t", "level", "s", "msg", "message", "c", "ctx", "x", "timestamp", "body", "severity_text")
_VALUES = (
    *(1715940303, 1715940303.25, 1715940303123, "2024-05-17T10:05:03Z", {"$date": "2024-05-17T10:05:03Z"}, "noon"),
    *("info", "INFO+2", "D1", 30, 99, None, True, [1], {"a": 1}, "text"),
)


@given(st.data(), st.lists(st.sampled_from(_NAMES), unique=True), st.integers(1, 4), st.booleans())
@example(None, [], 2, False)  # objects without names are records too
def test_objects_with_the_same_names_come_out_as_each_does_alone(
    data: st.DataObject | None, names: list[str], count: int, has_another: bool
) -> None:
    values = st.sampled_from(_VALUES)
    objects = [{name: data.draw(values) for name in names} if data else {} for _ in range(count)]
    lines = [json.dumps(each).encode() + b"\n" for each in [*objects, *([{"q": 1}] if has_another else [])]]
    together = parse("app_json", b"".join(lines))
    alone = [parse("app_json", line) for line in lines]
    assert list(map(json.dumps, together.records)) == [json.dumps(each) for one in alone for each in one.records]
    assert not together.rejected
