"""The processor `syslog`."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.processors.support import MODULES, parse, plainly, records


def syslog(line: str) -> dict[str, Any]:
    outcome = parse("syslog", line.encode())
    assert outcome.rejected == []
    (record,) = outcome.records
    return record


def test_syslog_reads_rfc_5424_with_structured_data_and_byte_order_mark() -> None:
    line = r'<34>1 2003-10-11T22:14:15.003Z host su 77 ID47 [a@1 x="1" y="q\"b\\c\]"][origin ip="::1" ip="::2"]'
    assert syslog(line + " \ufeff'su root' failed") == {
        "timestamp": "2003-10-11T22:14:15.003Z",
        "severity_text": "crit",
        "severity_number": 18,
        "facility": "auth",
        "hostname": "host",
        "appname": "su",
        "procid": "77",
        "msgid": "ID47",
        "structured_data": {"a@1": {"x": "1", "y": 'q"b\\c]'}, "origin": {"ip": ["::1", "::2"]}},
        "body": "'su root' failed",
    }


def test_syslog_leaves_out_what_a_message_does_not_have() -> None:
    assert syslog("<191>1 - - - - - -") == {
        "severity_text": "debug",
        "severity_number": 5,
        "facility": "local7",
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "host sshd[12]: hi: there",
            {"hostname": "host", "appname": "sshd", "procid": "12", "body": "hi: there"},
        ),
        ("host sshd: hi", {"hostname": "host", "appname": "sshd", "body": "hi"}),
        ("host ssh(pam)[1]: hi", {"hostname": "host", "appname": "ssh(pam)", "procid": "1", "body": "hi"}),
        ("127:0:ab::1 sshd: hi", {"hostname": "127:0:ab::1", "appname": "sshd", "body": "hi"}),
        ("host last message repeated", {"hostname": "host", "body": "last message repeated"}),
        ("host: last message repeated", {"hostname": "host", "body": "last message repeated"}),
        ("sshd[12]: hi", {"appname": "sshd", "procid": "12", "body": "hi"}),
        ("host app:     indented", {"hostname": "host", "appname": "app", "body": "    indented"}),
        ("host app:", {"hostname": "host", "appname": "app", "body": ""}),
    ],
)
def test_syslog_reads_rfc_3164_as_it_is_found(line: str, expected: dict[str, str]) -> None:
    assert syslog(f"Mar  8 15:18:40 {line}") == {"time": "Mar  8 15:18:40", **expected}


def test_syslog_never_guesses_a_year_or_a_zone() -> None:
    assert syslog("<13>Feb 29 15:18:40.5 h a: m")["time"] == "Feb 29 15:18:40.5"
    assert "timestamp" not in syslog("Feb 29 15:18:40 h a: m")
    assert syslog("Feb 29 2024 15:18:40 h a: m")["timestamp"] == "2024-02-29T15:18:40Z"
    assert syslog("2024-02-29T15:18:40.5+02:00 h a: m")["timestamp"] == "2024-02-29T13:18:40.5Z"


def test_syslog_is_told_the_year_and_the_zone_that_its_times_lack() -> None:
    options = {"year": 2024, "time_zone": "Europe/Berlin"}
    (record,) = parse("syslog", b"Feb 29 15:18:40.5 h a: m", options=options).records
    assert record["timestamp"] == "2024-02-29T14:18:40.5Z"
    assert "time" not in record
    outcome = parse("syslog", b"Feb 29 15:18:40 h a: m", options={"year": 2023})
    assert [reason for _, reason in outcome.rejected] == ["day is out of range for month"]


def test_syslog_reads_chrome_os_levels() -> None:
    assert syslog("2016-10-25T12:37:25.007960-07:00 ERR kernel: [  316.5] ath") == {
        "timestamp": "2016-10-25T19:37:25.007960Z",
        "severity_text": "err",
        "severity_number": 17,
        "appname": "kernel",
        "body": "[  316.5] ath",
    }


def test_an_indented_line_goes_on_with_the_message_before_it_and_is_kept_as_a_record_of_its_own() -> None:
    """Joined it would have to be waited for, after each message."""
    found = records("syslog", "Mar  8 15:18:40 h a: m", "\tmore", " <7>1 - more", "Mar  8 15:18:41 h a: m")
    assert found[1:3] == [{"body": "more", "continued": True}, {"body": "<7>1 - more", "continued": True}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("<192>1 - - - - - -", "priority 192 is over 191"),
        ("<3444>Oct 11 22:14:15 h a: m", "neither RFC 5424 nor RFC 3164"),
        ("<7>words", "neither RFC 5424 nor RFC 3164"),
        ('<7>1 - - - - - [a b="open] m', "neither RFC 5424 nor RFC 3164"),
        ("2024-13-01T00:00:00Z h a: m", "neither RFC 5424 nor RFC 3164"),
    ],
)
def test_syslog_rejects_other_lines_alone(line: str, reason: str) -> None:
    outcome = parse("syslog", f"\ufeffMar  8 15:18:40 h a: m\r\n{line}\nMar  8 15:18:41 h a: m\n\n".encode())
    assert [record["body"] for record in outcome.records] == ["m", "m"]
    assert outcome.rejected == [(line.encode(), reason)]


@pytest.mark.parametrize(
    ("body", "details"),
    [
        (
            "4F9D195432C: to=<b@example.org>, relay=mx[192.0.2.8]:25, delay=1.2, status=sent (250 2.0.0 Ok)",
            {
                "queue_id": "4F9D195432C",
                "to": "b@example.org",
                "relay": "mx[192.0.2.8]:25",
                "delay": "1.2",
                "status": "sent",
            },
        ),
        (
            "3Pt2mN2VXxznjll: from=<a@example.com>, size=7",
            {"queue_id": "3Pt2mN2VXxznjll", "from": "a@example.com", "size": "7"},
        ),
        (
            "NOQUEUE: reject: RCPT from x[192.0.2.9]: 554 5.7.1 no; from=<a@b> to=<c@d> proto=ESMTP helo=<h>",
            {"from": "a@b", "to": "c@d", "proto": "ESMTP", "helo": "h"},
        ),
    ],
)
def test_syslog_says_what_postfix_does_with_which_message(body: str, details: dict[str, str]) -> None:
    assert syslog(f"Oct 11 22:14:15 h postfix/smtp[7]: {body}")["details"] == details


TOKENS = st.sampled_from(["-", "--", "host", "a.example.com", "sshd", "su", "77", "ID47", "x[1]", "a:b", "é", "<13>"])
STAMPS = st.sampled_from(
    [
        "-",
        "2003-10-11T22:14:15.003Z",
        "2024-02-30T00:00:00Z",
        "2016-12-31T23:59:60+02:00",
        "Oct 11 22:14:15",
        "Feb 30 00:00:00",
    ]
)
ELEMENTS = st.sampled_from(
    [
        "-",
        '[a@1 x="1"]',
        r'[a@1 x="1" y="q\"b\\c\]"][origin ip="::1" ip="::2"]',
        "[a]",
        '[a x="]',
        '[a@1 x="1"] [b]',
        "[a x=1]",
    ]
)
BODIES = st.sampled_from(
    [
        "",
        " ",
        " An event",
        " \ufeffAn event",
        "x",
        " a=b",
        " for dana from 192.0.2.7 port 22",
        " pam_unix(x): user=dana uid=0",
    ]
)
PRIORITIES = st.sampled_from(["", "<0>", "<34>", "<034>", "<191>", "<192>", "<1234>", "<>", "<x>"])


@st.composite
def messages(draw: st.DrawFn) -> str:
    """Draw a line of either form, or nearly one."""
    priority, stamp, body = draw(PRIORITIES), draw(STAMPS), draw(BODIES)
    host, program, procid, msgid = (draw(TOKENS) for _ in range(4))
    if draw(st.booleans()):
        return f"{priority}1 {stamp} {host} {program} {procid} {msgid} {draw(ELEMENTS)}{body}"
    return f"{priority}{stamp} {host} {program}{draw(st.sampled_from(['', '[7]', '[]']))}:{body}"


@settings(max_examples=300)
@given(
    lines=st.lists(messages(), min_size=1, max_size=4), times=st.integers(1, 2), end=st.sampled_from(["\n", "\r\n", ""])
)
def test_lines_that_are_alike_are_read_at_once_as_they_are_one_by_one(lines: list[str], times: int, end: str) -> None:
    data = (end or "\n").join(lines * times).encode() + end.encode()
    found = parse("syslog", data)
    with plainly("syslog"):
        expected = parse("syslog", data)
    assert [list(record.items()) for record in found.records] == [list(record.items()) for record in expected.records]
    assert found.rejected == expected.rejected


@pytest.mark.parametrize(
    "start", ["<34>1 2024-05-17T10:05:03Z ", "<34>1 - ", "<34>Oct 11 22:14:15 ", "<34>2024-05-17T10:05:03Z "]
)
def test_what_senders_send_is_read_at_once(start: str) -> None:
    """It is what comes over the network, a hundred thousand a second of it."""
    line = f"{start}host app 7 - - it is\n" if start.startswith("<34>1 ") else f"{start}host app[7]: it is\n"
    module = MODULES["syslog"][1]
    rows = module._at_once(line.encode() * 3, module.Options())
    assert rows is not None
    assert len(rows.rows) == 3
