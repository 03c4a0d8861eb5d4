"""The processor `w3c`."""

import pytest

from tests.processors.support import parse, record, records

FIELDS = "#Fields: date time c-ip cs(User-Agent)"


def test_fields_may_change_in_the_middle_of_the_file() -> None:
    found = records(
        "w3c", FIELDS, "2024-05-17 10:05:03 ::1 a+b", "#Fields: time x", "10:05:04 1", FIELDS, "2024-05-18 00:00:00 - -"
    )
    assert found == [
        *(
            {
                "timestamp": "2024-05-17T10:05:03Z",
                "date": "2024-05-17",
                "time": "10:05:03",
                "c-ip": "::1",
                "cs(User-Agent)": "a+b",
            },
        ),
        {"time": "10:05:04", "x": "1"},
        *(
            {
                "timestamp": "2024-05-18T00:00:00Z",
                "date": "2024-05-18",
                "time": "00:00:00",
                "c-ip": None,
                "cs(User-Agent)": None,
            },
        ),
    ]


def test_a_time_without_a_date_is_of_the_date_that_was_said_last() -> None:
    found = records(
        "w3c", "#Date: 2024-05-17 00:00:00 // said", "#Fields: time", "23:59:59", "#Date: 2024-05-18", "00:00:01"
    )
    assert [one["timestamp"] for one in found] == ["2024-05-17T23:59:59Z", "2024-05-18T00:00:01Z"]


def test_local_time_is_of_the_operators_zone() -> None:
    options = {"time_zone": "America/New_York"}
    assert record("w3c", FIELDS, "2024-05-17 10:05:03 a b", options=options)["timestamp"] == "2024-05-17T14:05:03Z"


def test_quoted_columns_may_hold_spaces() -> None:
    assert record("w3c", "#Fields: a b c", 'x "two ""words""" "-"') == {"a": "x", "b": 'two ""words""', "c": None}


@pytest.mark.parametrize(
    ("line", "reason"),
    [("2024-05-17 10:05:03 ::1", "expected 4 columns, found 3"), ("2024-05-17 25:00:00 a b", "hour must be in 0..23")],
)
def test_a_row_that_does_not_fit_is_rejected_alone(line: str, reason: str) -> None:
    outcome = parse("w3c", f"{FIELDS}\n{line}\n2024-05-17 10:05:03 a b\n".encode())
    assert len(outcome.records) == 1
    assert outcome.rejected == [(line.encode(), f"ValueError: {reason}")]


def test_a_row_before_any_fields_is_rejected() -> None:
    assert parse("w3c", b"a b\n").rejected == [(b"a b", "ValueError: there is no #Fields: before this row")]
