"""The processor `logcat`."""

import pytest

from tests.processors.support import parse, record


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2024-05-17 10:05:03.123  1234  1235 W Tag     : said: yes", ("W", 1234, 1235, "Tag", "said: yes")),
        ("2024-05-17 12:05:03.123 +0200  u0_a1  1234  1235 E Tag: said", ("E", 1234, 1235, "Tag", "said")),
        ("2024-05-17 10:05:03.123 I/Tag     ( 1234): said", ("I", 1234, None, "Tag", "said")),
        ("2024-05-17 10:05:03.123 I/Tag(1234:1235): said", ("I", 1234, 1235, "Tag", "said")),
    ],
)
def test_both_formats_are_read(line: str, expected: tuple[object, ...]) -> None:
    one = record("logcat", line)
    assert (one["severity_text"], one["pid"], one.get("tid"), one["tag"], one["body"]) == expected
    assert one["timestamp"] == "2024-05-17T10:05:03.123Z"


def test_a_year_is_never_guessed() -> None:
    line = "05-17 10:05:03.123  1234  1235 W Tag: said"
    assert record("logcat", line)["time"] == "05-17 10:05:03.123"
    assert (
        record("logcat", line, options={"year": 2024, "time_zone": "+02:00"})["timestamp"] == "2024-05-17T08:05:03.123Z"
    )


def test_the_start_of_a_buffer_is_no_record_and_other_lines_are_rejected() -> None:
    outcome = parse("logcat", b"--------- beginning of main\nsaid\n")
    assert outcome.records == []
    assert outcome.rejected == [(b"said\n", "ValueError: neither of logcat's format threadtime nor of its format time")]
