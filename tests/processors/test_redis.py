"""The processor `redis`."""

import pytest

from tests.processors.support import parse, record


@pytest.mark.parametrize(
    ("sign", "text", "number"), [(".", "debug", 5), ("-", "verbose", 8), ("*", "notice", 10), ("#", "warning", 13)]
)
def test_the_signs_are_severities(sign: str, text: str, number: int) -> None:
    one = record("redis", f"12:S 17 May 2024 10:05:03.143 {sign} said", options={"time_zone": "+02:00"})
    assert (one["severity_text"], one["severity_number"], one["role"]) == (text, number, "replica")
    assert (one["timestamp"], one["body"]) == ("2024-05-17T08:05:03.143Z", "said")


def test_the_old_form_has_no_year_unless_the_operator_says_it() -> None:
    line = "[12] 17 May 10:05:03.143 # said"
    assert record("redis", line)["time"] == "17 May 10:05:03.143"
    assert record("redis", line, options={"year": 2014})["timestamp"] == "2014-05-17T10:05:03.143Z"


def test_what_begins_like_a_line_and_is_none_is_rejected() -> None:
    assert parse("redis", b"12:M said\n").rejected == [(b"12:M said\n", "ValueError: not PID:ROLE TIME LEVEL message")]
