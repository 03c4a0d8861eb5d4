"""The processor `glog`."""

from tests.processors.support import parse, record, records

LINE = "W0517 10:05:03.619632  1952 a/b.cc:253] said"


def test_the_year_is_of_the_files_first_line_else_the_operators_else_there_is_none() -> None:
    created = "Log file created at: 2023/01/02 03:04:05"
    assert record("glog", created, LINE, options={"year": 2020})["timestamp"] == "2023-05-17T10:05:03.619632Z"
    assert (
        record("glog", LINE, options={"year": 2020, "time_zone": "+02:00"})["timestamp"]
        == "2020-05-17T08:05:03.619632Z"
    )
    one = record("glog", LINE)
    assert (one["time"], "timestamp" in one) == ("0517 10:05:03.619632", False)


def test_lines_that_follow_belong_to_the_message() -> None:
    found = records("glog", LINE, "  more", LINE.replace("W", "F"))
    assert [(one["severity_text"], one["severity_number"], one["body"]) for one in found] == [
        ("WARNING", 13, "said\n  more"),
        ("FATAL", 21, "said"),
    ]


def test_what_begins_like_a_line_and_is_none_is_rejected() -> None:
    assert parse("glog", b"W0517 10:05:03.619632 said\n").rejected == [
        (b"W0517 10:05:03.619632 said\n", "ValueError: not Lmmdd hh:mm:ss.uuuuuu threadid file:line] message")
    ]
