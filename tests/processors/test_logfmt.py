"""The processor `logfmt`."""

import pytest

from tests.processors.support import parse, record


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a=1 b= c", {"a": "1", "b": "", "c": True}),
        (r'a="x \"y\" \\ \n z"', {"a": 'x "y" \\ \n z'}),
        ("url=http://h/?a=b&c=d n=1", {"url": "http://h/?a=b&c=d", "n": "1"}),
        (
            "ts=1715940303 level=WARN msg=x",
            {"timestamp": "2024-05-17T10:05:03Z", "severity_text": "WARN", "severity_number": 13, "body": "x"},
        ),
        ("time=noon level=7", {"time": "noon", "severity_text": "7", "severity_number": None}),
        ("a=1 a=2 a=3", {"a": ["1", "2", "3"]}),
    ],
)
def test_a_line_becomes_its_pairs_and_the_normal_forms(line: str, expected: dict[str, object]) -> None:
    assert record("logfmt", line) == expected


@pytest.mark.parametrize(("line", "column"), [('a=1 b="never', 4), ("=1", 1), ('a"b', 1)])
def test_what_is_no_pair_rejects_its_line_and_says_where(line: str, column: int) -> None:
    outcome = parse("logfmt", f"x=1\n{line}\n".encode())
    assert outcome.records == [{"x": "1"}]
    ((raw, reason),) = outcome.rejected
    assert raw == line.encode()
    assert reason.startswith(f"ValueError: no key=value pair at column {column}")
