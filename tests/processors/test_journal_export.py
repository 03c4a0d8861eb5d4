"""The processor `journal_export`."""

import struct

import pytest

from tests.processors.support import parse


def entry(*fields: bytes) -> bytes:
    return b"".join(fields) + b"\n"


def binary(name: bytes, value: bytes) -> bytes:
    return name + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"


TIME = b"__REALTIME_TIMESTAMP=1715940303000001\n"


def test_a_binary_field_may_hold_anything_even_an_empty_line() -> None:
    data = entry(TIME, binary(b"MESSAGE", b"a\n\nb=c"), b"X=1\n") + entry(TIME, binary(b"RAW", b"\xff\n\n"))
    outcome = parse("journal_export", data, cuts=tuple(range(1, len(data), 7)))
    assert outcome.rejected == []
    assert [(one["body"], one.get("X"), one.get("RAW")) for one in outcome.records] == [
        ("a\n\nb=c", "1", None),
        (None, None, [255, 10, 10]),
    ]


def test_a_field_that_occurs_again_makes_a_list() -> None:
    (one,) = parse("journal_export", entry(TIME, b"A=1\n", b"A=2\n", b"A=3\n", b"PRIORITY=4\n")).records
    assert (one["A"], one["severity_text"], one["severity_number"]) == (["1", "2", "3"], "warning", 13)


def test_an_entry_without_a_time_is_rejected_alone() -> None:
    outcome = parse("journal_export", entry(b"MESSAGE=a\n") + entry(TIME, b"MESSAGE=b\n"))
    assert [one["body"] for one in outcome.records] == ["b"]
    assert outcome.rejected == [(b"MESSAGE=a\n\n", "'None' is no number of seconds since 1970")]


def test_a_length_that_no_field_has_ends_the_stream() -> None:
    with pytest.raises(ValueError, match="the field b'A' has 1000000000000 bytes, so the export is damaged here"):
        parse("journal_export", TIME + b"A\n" + struct.pack("<Q", 10**12))


def test_a_torn_entry_is_rejected_at_the_end() -> None:
    outcome = parse("journal_export", entry(TIME, b"MESSAGE=a\n") + TIME + binary(b"A", b"abc")[:-2])
    assert len(outcome.records) == 1
    assert outcome.rejected[0][1].startswith("the source ends inside this record, after ")
