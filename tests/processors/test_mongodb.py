"""The processor `mongodb`."""

import pytest

from tests.processors.support import parse, record

TIME = "2018-05-17T10:05:03.143+0000"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("I ACCESS   [conn1] done", {"severity_number": 9, "component": "ACCESS", "context": "conn1", "body": "done"}),
        ("D5 QUERY    [conn1] done", {"severity_text": "D5", "severity_number": 8}),
        ("F -        [main] no", {"severity_number": 21, "component": None}),
        ("I NETWORK  [listener] connection accepted from [::1]:5 #1", {"client": "[::1]:5"}),
        ("I WRITE    [conn2] update shop.a.b query: { } 7ms", {"namespace": "shop.a.b", "duration_ms": 7}),
    ],
)
def test_what_a_line_says_is_found(line: str, expected: dict[str, object]) -> None:
    one = record("mongodb", f"{TIME} {line}")
    assert {name: one.get(name) for name in expected} == expected


def test_the_times_of_2_4_have_a_year_with_the_option() -> None:
    line = "Thu May 17 10:05:03.143 [initandlisten] MongoDB starting"
    assert record("mongodb", line)["time"] == "Thu May 17 10:05:03.143"
    assert record("mongodb", line, options={"year": 2018})["timestamp"] == "2018-05-17T10:05:03.143Z"


def test_lines_that_follow_belong_to_a_record_and_others_are_rejected_alone() -> None:
    outcome = parse("mongodb", f"said\n{TIME} I - [a] b\n c\n".encode())
    assert [one["body"] for one in outcome.records] == ["b\n c"]
    assert outcome.rejected == [(b"said\n", "ValueError: not TIME [SEVERITY COMPONENT] [CONTEXT] MESSAGE")]
