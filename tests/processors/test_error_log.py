"""The processor `error_log`."""

import pytest

from tests.processors.support import parse, record, records

APACHE = "[Fri May 17 10:05:03.009964 2024] [core:error] [pid 60:tid 14] [client 192.0.2.7:377] AH00124: no"
NGINX = '2024/05/17 10:05:03 [error] 12#34: *56 open() failed, client: ::1, server: _, request: "GET /a, b HTTP/1.1"'


def test_times_are_of_the_zone_that_the_operator_names() -> None:
    for line, fraction in ((APACHE, ".009964"), (NGINX, "")):
        options = {"time_zone": "Europe/Berlin"}
        assert record("error_log", line, options=options)["timestamp"] == f"2024-05-17T08:05:03{fraction}Z"


def test_a_message_of_nginx_is_apart_from_its_circumstances() -> None:
    found = record("error_log", NGINX + ', upstream: "http://[::1]:9/", host: "h"')
    assert found["body"] == "open() failed"
    assert (found["client"], found["request"], found["upstream"], found["host"]) == (
        *("::1", "GET /a, b HTTP/1.1", "http://[::1]:9/", "h"),
    )


def test_lines_that_follow_belong_to_the_message() -> None:
    found = records("error_log", APACHE, "  at line 2", "", APACHE)
    assert [one["body"] for one in found] == ["no\n  at line 2", "no"]


@pytest.mark.parametrize(
    ("level", "number"), [("emerg", 21), ("crit", 18), ("warn", 13), ("notice", 10), ("trace3", 1)]
)
def test_the_levels_have_their_numbers(level: str, number: int) -> None:
    assert record("error_log", APACHE.replace(":error", f":{level}"))["severity_number"] == number


def test_what_begins_like_a_record_and_is_none_is_rejected() -> None:
    outcome = parse("error_log", f"2024/05/17 10:05:03 [error] no pid\n{NGINX}\n".encode())
    assert len(outcome.records) == 1
    assert outcome.rejected == [
        (b"2024/05/17 10:05:03 [error] no pid\n", "ValueError: a line of neither Apache's error log nor nginx's")
    ]
