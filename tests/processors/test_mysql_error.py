"""The processor `mysql_error`."""

import pytest

from tests.processors.support import parse, record, records


@pytest.mark.parametrize(
    ("line", "utc", "body"),
    [
        ("2024-05-17T12:05:03.1+02:00 0 [Note] [MY-1] [InnoDB] said", "2024-05-17T10:05:03.1Z", "said"),
        ("2024-05-17 10:05:03 7 [Warning] said", "2024-05-17T10:05:03Z", "said"),
        ("2024-05-17  9:05:03 7 [ERROR] said", "2024-05-17T09:05:03Z", "said"),
        ("240517 10:05:03 [Note] said", "2024-05-17T10:05:03Z", "said"),
        ("240517  9:05:03 [Note] said", "2024-05-17T09:05:03Z", "said"),
        ("2024-05-17T10:05:03.1Z\t   14 Query\tSELECT 1", "2024-05-17T10:05:03.1Z", "SELECT 1"),
    ],
)
def test_the_times_of_every_version_are_read(line: str, utc: str, body: str) -> None:
    one = record("mysql_error", line)
    assert (one["timestamp"], one["body"]) == (utc, body)


def test_lines_that_follow_belong_to_the_message() -> None:
    found = records("mysql_error", "2024-05-17 10:05:03 7 [Note] a", "b", "2024-05-17 10:05:04 7 [Note] c")
    assert [one["body"] for one in found] == ["a\nb", "c"]


def test_what_has_a_time_alone_is_rejected() -> None:
    outcome = parse("mysql_error", b"2024-05-17 10:05:03 said\n")
    assert outcome.rejected == [
        (b"2024-05-17 10:05:03 said\n", "ValueError: no line of MySQL's error log or general log")
    ]
