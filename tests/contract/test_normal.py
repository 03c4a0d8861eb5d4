"""The normal forms: times as RFC 3339 in UTC, severities as OpenTelemetry numbers them."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import SYSLOG_SEVERITIES, Timestamps, from_epoch, read_zone, severity_number, timestamps

RFC_3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


@pytest.mark.parametrize(
    ("notation", "written", "utc"),
    [
        ("%d/%b/%Y:%H:%M:%S %z", "17/May/2015:12:05:03 +0200", "2015-05-17T10:05:03Z"),
        ("%d/%b/%Y:%H:%M:%S %z", "1/Jan/2016:00:00:00 +0330", "2015-12-31T20:30:00Z"),
        ("%Y-%m-%dT%H:%M:%S%z", "2024-05-17T10:05:03.123456789Z", "2024-05-17T10:05:03.123456789Z"),
        ("%Y-%m-%dT%H:%M:%S%z", "2024-05-17T10:05:03-07", "2024-05-17T17:05:03Z"),
        ("%Y-%m-%dT%H:%M:%S%z", "2024-05-17T10:05:03", "2024-05-17T10:05:03Z"),
        ("%Y-%m-%d %H:%M:%S", "2024-05-17 10:05:03,143", "2024-05-17T10:05:03.143Z"),
        ("%Y-%m-%d %H:%M:%S %Z", "2024-06-27 00:00:07.369 CEST", "2024-06-26T22:00:07.369Z"),
        ("%Y-%m-%d %H:%M:%S %Z", "2024-06-27 00:00:07+02", "2024-06-26T22:00:07Z"),
        ("%a %b %d %H:%M:%S %Y", "Thu Sep  3 13:27:06.009964 2021", "2021-09-03T13:27:06.009964Z"),
        ("%y/%m/%d %H:%M:%S", "69/01/02 03:04:05", "1969-01-02T03:04:05Z"),
        ("%y/%m/%d %H:%M:%S", "68/01/02 03:04:05", "2068-01-02T03:04:05Z"),
        ("100%% %Y-%m-%d %H:%M:%S", "100% 2024-05-17 10:05:60", "2024-05-17T10:05:60Z"),
    ],
)
def test_a_time_of_a_notation_becomes_utc_with_the_digits_of_its_fraction(
    notation: str, written: str, utc: str
) -> None:
    times = Timestamps(notation)
    assert times[written] == utc
    assert times[written] == utc, "remembered, it is the same"


@pytest.mark.parametrize(
    ("zone", "utc"),
    [
        (None, "2024-07-01T12:00:00Z"),
        ("UTC", "2024-07-01T12:00:00Z"),
        ("+05:30", "2024-07-01T06:30:00Z"),
        ("-0700", "2024-07-01T19:00:00Z"),
        ("Europe/Berlin", "2024-07-01T10:00:00Z"),
        ("MSK", "2024-07-01T09:00:00Z"),
    ],
)
def test_a_time_without_a_zone_is_of_the_zone_that_is_given(zone: str | None, utc: str) -> None:
    assert Timestamps("%Y-%m-%d %H:%M:%S %z", zone=zone)["2024-07-01 12:00:00"] == utc
    assert Timestamps("%Y-%m-%d %H:%M:%S %z", zone=zone)["2024-07-01 12:00:00 +0000"] == "2024-07-01T12:00:00Z"


def test_an_hour_that_the_clocks_repeat_is_its_first() -> None:
    assert Timestamps("%Y-%m-%d %H:%M:%S", zone="Europe/Berlin")["2024-10-27 02:30:00"] == "2024-10-27T00:30:00Z"


def test_a_time_without_a_year_is_of_the_year_that_is_given() -> None:
    times = Timestamps("%b %d %H:%M:%S", year=2024)
    assert times["Feb 29 10:05:03"] == times["FEB 29 10:05:03"] == "2024-02-29T10:05:03Z"
    assert times["Mar  8 10:05:03"] == times["Mar 8 10:05:03"] == "2024-03-08T10:05:03Z"


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("2024-05-17", "'2024-05-17' is not a time like %Y-%m-%d %H:%M:%S %Z"),
        ("2024-13-01 00:00:00", "month must be in 1..12"),
        ("2024-02-30 00:00:00", "day is out of range for month"),
        ("2024-02-03 00:00:61", "'2024-02-03 00:00:61' is not a time like %Y-%m-%d %H:%M:%S %Z"),
        ("2024-02-03 24:00:00", "hour must be in 0..23"),
        ("2024-02-03 00:00:00 QQQ", "the zone 'QQQ' is not known; set the option time_zone"),
        ("\u0662024-02-03 00:00:00", "is not a time like"),
        ("0001-01-01 00:00:00 CET", "'0001-01-01 00:00:' is outside of the years 1 to 9999 in UTC"),
    ],
)
def test_what_is_no_time_is_an_error_that_says_why(written: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        Timestamps("%Y-%m-%d %H:%M:%S %Z")[written]


def test_a_zone_that_nobody_knows_is_the_operators_where_there_is_one() -> None:
    assert Timestamps("%Y-%m-%d %H:%M:%S %Z", zone="+03:00")["2024-02-03 00:00:00 QQQ"] == "2024-02-02T21:00:00Z"


@pytest.mark.parametrize(
    ("notation", "reason"),
    [
        ("%Y-%m-%d", "the notation '%Y-%m-%d' has no %S"),
        ("%b %d %H:%M:%S", "the notation '%b %d %H:%M:%S' has no year: give one"),
        ("%Q %Y %S", "has the unknown code %Q; known are %Y %y"),
    ],
)
def test_a_notation_that_cannot_be_read_is_an_error_at_once(notation: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        Timestamps(notation)


@pytest.mark.parametrize("name", ["Nowhere/At_All", "../etc/passwd", "+24:00", "", "europe", "/etc/localtime"])
def test_a_zone_that_does_not_exist_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"time zone; write UTC|a day or more"):
        read_zone(name)


@given(
    st.datetimes().filter(lambda time: 1 < time.toordinal() < 3652059),
    st.integers(-23 * 60, 23 * 60),
    st.integers(0, 9),
)
def test_every_time_of_every_zone_is_the_same_instant(local: datetime, offset_min: int, digits: int) -> None:
    zone = timezone(timedelta(minutes=offset_min))
    fraction = f".{local.microsecond:06}000"[: digits + 1] if digits else ""
    offset = local.replace(tzinfo=zone).strftime("%z")
    written = f"{local.isoformat()[:19]}{fraction}{offset}"
    utc = timestamps("%Y-%m-%dT%H:%M:%S%z")[written]
    assert RFC_3339_UTC.fullmatch(utc)
    assert utc[19:-1] == fraction
    instant = datetime.fromisoformat(utc[:19]).replace(tzinfo=UTC)
    assert instant == local.replace(microsecond=0, tzinfo=zone)


@given(st.text(max_size=30) | st.text("0123456789-:T.Z +", max_size=30))
def test_any_other_text_is_an_error_and_no_time(text: str) -> None:
    try:
        utc = timestamps("%Y-%m-%dT%H:%M:%S%z")[text]
    except ValueError:
        return
    assert RFC_3339_UTC.fullmatch(utc)


def test_what_is_remembered_has_an_end() -> None:
    times = Timestamps("%Y-%m-%d %H:%M:%S")
    for number in range(25_000):
        assert times[f"2024-05-17 {number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}"].endswith("Z")
    assert len(times) <= 10_000


@pytest.mark.parametrize(
    ("time", "per_second", "utc"),
    [
        (0, 1, "1970-01-01T00:00:00Z"),
        ("1481076992.414", 1, "2016-12-07T02:16:32.414Z"),
        ("1481076992.4141234567", 1, "2016-12-07T02:16:32.414123456Z"),
        (1534860261221373, 1_000_000, "2018-08-21T14:04:21.221373Z"),
        ("1715940303143", 1000, "2024-05-17T10:05:03.143Z"),
        (-1, 1000, "1969-12-31T23:59:59.999Z"),
        (-1.5, 1, "1969-12-31T23:59:58.500000Z"),
        ("-1.000", 1, "1969-12-31T23:59:59.000Z"),
        ("-0.25", 1, "1969-12-31T23:59:59.75Z"),
        (1.5, 1, "1970-01-01T00:00:01.500000Z"),
    ],
)
def test_seconds_since_1970_become_utc(time: float | str, per_second: int, utc: str) -> None:
    assert from_epoch(time, per_second) == utc


@pytest.mark.parametrize("time", ["", "x", "1e9", "1.", float("nan"), float("inf"), 1e300, 10**20])
def test_what_counts_no_seconds_is_an_error(time: float | str) -> None:
    with pytest.raises(ValueError, match=r"is no number of seconds since 1970|outside of the years 1 to 9999"):
        from_epoch(time)


@given(st.integers(-62_135_596_800 * 10**9, 253_402_300_799 * 10**9 + 999_999_999))
def test_nanoseconds_since_1970_are_exact(nanoseconds: int) -> None:
    utc = from_epoch(nanoseconds, 10**9)
    seconds = (datetime.fromisoformat(utc[:19]).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        seconds=1
    )
    assert seconds * 10**9 + int(utc[20:29]) == nanoseconds


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("TRACE", 1), ("V", 1), ("Debug", 5), ("D", 5), ("info", 9), (" INFO ", 9), ("I", 9), ("notice", 10)),
        *(("WARN", 13), ("warning", 13), ("W", 13), ("ERROR", 17), ("err", 17), ("SEVERE", 17), ("E", 17)),
        *(("CRITICAL", 18), ("alert", 19), ("FATAL", 21), ("F", 21), ("panic", 21), ("emerg", 21)),
        *(("", None), ("DETAIL", None), ("7", None)),
    ],
)
def test_a_severity_has_the_number_of_open_telemetry(text: str, number: int | None) -> None:
    assert severity_number(text) == number


def test_syslogs_severities_have_the_numbers_of_their_names() -> None:
    assert [number for _, number in SYSLOG_SEVERITIES] == [severity_number(name) for name, _ in SYSLOG_SEVERITIES]
