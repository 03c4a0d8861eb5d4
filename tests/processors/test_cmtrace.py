"""Configuration Manager's logs: Windows' bias, levels, and records of several lines."""

import pytest

from tests.processors.support import parse, record, taker

LINE = '<![LOG[{}]LOG]!><time="{}" date="{}" component="A" context="" type="{}" thread="8" file="">'


@pytest.mark.parametrize(
    ("time", "date", "timestamp"),
    [
        ("19:33:19.766-330", "11-28-2014", "2014-11-28T14:03:19.766Z"),
        ("01:52:13.827+480", "11-24-2014", "2014-11-24T09:52:13.827Z"),
        ("10:22:50.8422964", "1-2-2015", "2015-01-02T10:22:50.8422964Z"),
        ("10:22:50+000", "01-02-2015", "2015-01-02T10:22:50Z"),
    ],
)
def test_a_time_is_local_and_the_bias_leads_to_utc(time: str, date: str, timestamp: str) -> None:
    assert record("cmtrace", LINE.format("a", time, date, "1"))["timestamp"] == timestamp


@pytest.mark.parametrize(
    ("kind", "level"), [("0", "info"), ("1", "info"), ("2", "warning"), ("3", "error"), ("9", None)]
)
def test_the_type_is_the_severity(kind: str, level: str | None) -> None:
    assert record("cmtrace", LINE.format("a", "10:05:03.1", "5-17-2024", kind)).get("severity_text") == level


def test_what_does_not_end_or_has_no_time_is_rejected_alone() -> None:
    good = LINE.format("a\n<b>", "10:05:03.1", "5-17-2024", "1")
    outcome = parse("cmtrace", f'<![LOG[half\n{good}\n<![LOG[x]LOG]!><date="5-17-2024">\n{good}\n'.encode())
    assert [each["body"] for each in outcome.records] == ["a\n<b>", "a\n<b>"]
    assert len(outcome.rejected) == 2
    assert taker("AppEnforce.log", f"{good}\n".encode()) == "cmtrace"
