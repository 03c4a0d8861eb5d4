"""The processor `access`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import Context
from contract.testing import Outcome
from tests.processors.support import MODULES, parse

COMBINED = (
    '192.0.2.7 - frank [17/May/2015:12:05:03 +0200] "GET /a HTTP/1.1" 200 2326 "http://example.com/" "curl/8.5.0"'
)


def access(*lines: str) -> Outcome:
    return parse("access", "".join(f"{line}\n" for line in lines).encode())


def test_access_reads_the_combined_format() -> None:
    assert access(COMBINED).records == [
        {
            "timestamp": "2015-05-17T10:05:03Z",
            "client": "192.0.2.7",
            "ident": None,
            "user": "frank",
            "method": "GET",
            "path": "/a",
            "protocol": "HTTP/1.1",
            "status": 200,
            "bytes": 2326,
            "referer": "http://example.com/",
            "agent": "curl/8.5.0",
        }
    ]


def test_access_reads_the_common_format_with_the_same_fields() -> None:
    common = COMBINED.partition(' "http')[0].replace("2326", "-")
    expected = {**access(COMBINED).records[0], "bytes": None, "referer": None, "agent": None}
    assert access(common).records == [expected]
    assert access(common, COMBINED).records == [expected, access(COMBINED).records[0]]


def test_access_keeps_an_empty_referer_apart_from_none() -> None:
    assert access(COMBINED.replace("http://example.com/", "")).records[0]["referer"] == ""
    assert access(COMBINED.replace("http://example.com/", "-")).records[0]["referer"] is None


@pytest.mark.parametrize(
    "request_line",
    [r"\x16\x03\x01", "GET /two words HTTP/1.1", "GET /", "GET / HTTPS/1.0", r"GET / \"x\" 200 1 ", ""],
)
def test_access_keeps_an_irregular_request_whole(request_line: str) -> None:
    (record,) = access(COMBINED.replace("GET /a HTTP/1.1", request_line)).records
    assert record["request"] == request_line
    assert (record["method"], record["path"], record["protocol"]) == (None, None, None)
    assert (record["status"], record["agent"]) == (200, "curl/8.5.0")


def test_access_has_no_request_field_for_a_regular_request() -> None:
    assert "request" not in access(COMBINED).records[0]


@pytest.mark.parametrize("text", [r"\"", r"a \"quoted\" word", r"ends with a backslash \\", r"\\\"", r"\" \" \""])
def test_access_reads_past_escaped_quotes(text: str) -> None:
    (record,) = access(COMBINED.replace("curl/8.5.0", text)).records
    assert (record["referer"], record["agent"]) == ("http://example.com/", text)
    (record,) = access(COMBINED.replace("http://example.com/", text)).records
    assert (record["referer"], record["agent"]) == (text, "curl/8.5.0")
    (record,) = access(COMBINED.replace("/a", "/" + text.replace(" ", "+"))).records
    assert record["path"] == "/" + text.replace(" ", "+")


@given(
    st.lists(
        st.tuples(st.integers(0, len(COMBINED) - 1), st.sampled_from([*'\t\v\f\r\n \x1c\x85-"', "", "\r\n", " x"])),
        max_size=2,
    ),
    st.sampled_from(["HTTP/1.1", "HTTP/2", "HTTP/1.10", "HTTP/1.1 x", "HTTP/", "HTTP/.5", "HTTP/11"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_access_makes_the_same_of_lines_at_once_and_one_by_one(
    changes: list[tuple[int, str]], protocol: str, end: str
) -> None:
    """Whatever other white space than spaces there is, and where."""
    odd = COMBINED
    for place, other in changes:
        odd = odd[:place] + other + odd[place + 1 :]
    data = end.join([COMBINED, odd.replace("HTTP/1.1", protocol), COMBINED, ""]).encode()
    rejected: list[tuple[bytes, str]] = []
    ctx = Context(source="a", reject=lambda raw, reason: rejected.append((raw, reason)), say=print)
    one_by_one = MODULES["access"][1].new_processor()._line_by_line(data.split(b"\n"), ctx)
    assert parse("access", data) == Outcome(one_by_one, rejected)


def test_access_rejects_a_bad_line_alone_and_as_it_was_found() -> None:
    outcome = parse("access", f"{COMBINED}\nnot at all\n{COMBINED}\r\n\n".encode() + b"\xff\n")
    assert len(outcome.records) == 2
    reason = "not a line of the common or the combined log format"
    assert outcome.rejected == [(b"not at all", reason), (b"\xff", reason)]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("31/Feb/2015:10:05:03 +0000", "day is out of range for month"),
        ("17/Mai/2015:10:05:03 +0000", "month must be in 1..12"),
        (
            "17/May/2015:10:05:73 +0000",
            "'17/May/2015:10:05:73 +0000' is not a time like %d/%b/%Y:%H:%M:%S %z",
        ),
    ],
)
def test_access_rejects_an_impossible_time_alone(written: str, reason: str) -> None:
    outcome = access(COMBINED, COMBINED.replace("17/May/2015:12:05:03 +0200", written), COMBINED)
    assert len(outcome.records) == 2
    assert [why for _, why in outcome.rejected] == [reason]


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("31/Dec/2015:23:59:60 +0000", "2015-12-31T23:59:60Z"),
        ("1/Jan/2016:00:00:00 +0330", "2015-12-31T20:30:00Z"),
        ("31/Dec/2015:23:00:01 -0700", "2016-01-01T06:00:01Z"),
    ],
)
def test_access_times_are_utc(written: str, utc: str) -> None:
    assert access(COMBINED.replace("17/May/2015:12:05:03 +0200", written)).records[0]["timestamp"] == utc


def test_access_keeps_what_follows_the_last_field() -> None:
    (record,) = access(COMBINED + ' "203.0.113.9" 0.004').records
    assert (record["agent"], record["extra"]) == ("curl/8.5.0", '"203.0.113.9" 0.004')
    assert access(COMBINED + " more\r").records[0]["extra"] == "more"
    assert "extra" not in access(COMBINED + " \r").records[0]
    (record,) = access(COMBINED[:-1]).records
    assert (record["agent"], record["extra"]) == (None, '"http://example.com/" "curl/8.5.0')


ACCESS_LINES = st.sampled_from(
    [
        COMBINED,
        COMBINED.replace("GET /a HTTP/1.1", "-"),
        COMBINED.replace("curl", r"\"curl\""),
        COMBINED.replace("curl", "c\u00fcrl\u2028\x0c\x85"),
        COMBINED.partition(' "http')[0],
        COMBINED + " more",
        COMBINED[:-1],
        COMBINED[:60],
        COMBINED.replace("17/May", "99/May"),
        "",
    ]
)


@given(st.lists(ACCESS_LINES, max_size=80), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_access_yields_the_same_however_the_input_is_cut(lines: list[str], line_end: str, closed: bool) -> None:
    data = (line_end.join(lines) + (line_end if closed else "")).encode()
    whole = parse("access", data)
    one_by_one = [parse("access", line) for line in data.splitlines(keepends=True) if line.strip()]
    assert whole.records == [record for outcome in one_by_one for record in outcome.records]
    assert len(whole.rejected) == sum(len(outcome.rejected) for outcome in one_by_one)
