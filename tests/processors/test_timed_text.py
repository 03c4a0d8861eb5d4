"""Text whose records begin with a time: each notation, what is no time, and where records begin."""

import pytest

from tests.processors.support import parse, record, records, taker

NAME = "timed_text"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2024-05-17T10:05:03.25Z said", {"timestamp": "2024-05-17T10:05:03.25Z", "body": "said"}),
        ("2024-05-17 12:05:03,143 +0200 said", {"timestamp": "2024-05-17T10:05:03.143Z", "body": "said"}),
        ("[2024/05/17 10:05:03] said", {"timestamp": "2024-05-17T10:05:03Z", "body": "said"}),
        ("2024.05.17-10:05:03: said", {"timestamp": "2024-05-17T10:05:03Z", "body": "said"}),
        ("2024-05-17-100503.291 said", {"timestamp": "2024-05-17T10:05:03.291Z", "body": "said"}),
        ("2024-05-17 12:05:03+02 said", {"timestamp": "2024-05-17T10:05:03Z", "body": "said"}),
        ("2024-05-17 12:05:03 -12 said", {"timestamp": "2024-05-17T12:05:03Z", "body": "-12 said"}),
        ("[2024-05-17 12:05:03.5 CEST] said", {"timestamp": "2024-05-17T10:05:03.5Z", "body": "said"}),
        ("2024-05-17 06:05:03 EDT: said", {"timestamp": "2024-05-17T10:05:03Z", "body": "said"}),
        ("2024-05-17 10:05:03 UTC said", {"timestamp": "2024-05-17T10:05:03Z", "body": "said"}),
        ("20240517T120503+0200 said", {"timestamp": "2024-05-17T10:05:03Z", "body": "said"}),
        ("20240517-1:5:03:7|said|x", {"timestamp": "2024-05-17T01:05:03.007Z", "body": "|said|x"}),
        ("240517 100503 148 said", {"timestamp": "2024-05-17T10:05:03Z", "body": "148 said"}),
        ("17-May-2024 10:05:03.5 said", {"timestamp": "2024-05-17T10:05:03.5Z", "body": "said"}),
        ("17 May 2024 10:05:03 said", {"timestamp": "2024-05-17T10:05:03Z", "body": "said"}),
        ("[05.17 10:05:03] said", {"time": "05.17 10:05:03", "body": "said"}),
        ("1715940303.5   7 said", {"timestamp": "2024-05-17T10:05:03.5Z", "body": "7 said"}),
        (
            "- 1715940303 2024.05.17 said",
            {"timestamp": "2024-05-17T10:05:03Z", "label": "-", "body": "2024.05.17 said"},
        ),
        ("a.log.1 2024-05-17 10:05:03 said", {"timestamp": "2024-05-17T10:05:03Z", "label": "a.log.1", "body": "said"}),
        (
            "I, [2024-05-17T10:05:03.5 #7] said",
            {"timestamp": "2024-05-17T10:05:03.5Z", "label": "I", "body": "#7] said"},
        ),
        ("17.05.2024, 10:05:03 said", {"timestamp": "2024-05-17T10:05:03Z", "body": "said"}),
        ("Fri, 17 May 2024 12:05:03 +0200 said", {"timestamp": "2024-05-17T10:05:03Z", "body": "said"}),
        ("<17/May/2024:12:05:03 +0200> said", {"timestamp": "2024-05-17T10:05:03Z", "body": "said"}),
        ("may 17 10:05:03 said", {"time": "may 17 10:05:03", "body": "said"}),
        ("05-17-24,10:05:03.5,said", {"time": "05-17-24,10:05:03.5", "body": "said"}),
        ("2024-02-31 10:05:03 said", {"time": "2024-02-31 10:05:03", "body": "said"}),
        ("no time 2024-05-17 10:05:03", {"body": "no time 2024-05-17 10:05:03"}),
        (
            "2024-05-17 10:05:03 shop [Error]: no",
            {
                "timestamp": "2024-05-17T10:05:03Z",
                "severity_text": "Error",
                "severity_number": 17,
                "body": "shop [Error]: no",
            },
        ),
    ],
)
def test_a_time_is_read_in_each_notation_and_kept_as_it_is_where_it_is_none(line: str, expected: object) -> None:
    assert record(NAME, line) == expected


def test_the_lines_that_follow_a_time_are_its_own_and_nothing_is_lost() -> None:
    found = records(NAME, "before", "10:05 no day", "2024-05-17 10:05:03 a", "", "  b", "c", "2024-05-17 10:05:04 d")
    assert [each["body"] for each in found] == ["before\n10:05 no day", "a\n\n  b\nc", "d"]


def test_a_level_far_into_the_message_is_none() -> None:
    assert "severity_text" not in record(NAME, "2024-05-17 10:05:03 one two three four ERROR")
    assert "severity_text" not in record(NAME, "2024-05-17 10:05:03 errors INFORMED")


def test_a_byte_order_mark_is_no_text() -> None:
    outcome = parse(NAME, b"\xef\xbb\xbf2024-05-17 10:05:03 a\n")
    assert outcome.records == [{"timestamp": "2024-05-17T10:05:03Z", "body": "a"}]


def test_it_takes_what_no_special_processor_does_and_leaves_words_to_text() -> None:
    assert taker("sync.log", b"2024-05-17 10:05:03 a\n  b\n" * 5) == NAME
    assert taker("sync.dat", b"2024-05-17 10:05:03 a\n" * 5) == NAME
    assert taker("sync.log", b"2024-05-17 10:05:03 INFO a\n" * 5) == "app_log"
    assert taker("sync.log", b"words\n" * 20 + b"2024-05-17 10:05:03 a\n") == "text"
