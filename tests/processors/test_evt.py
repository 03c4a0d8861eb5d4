"""Windows' old event logs: records that the log's end cuts, what is left of older ones, and what is damaged."""

import struct
from itertools import pairwise

import pytest

from tests.processors.support import parse, taker

HEADER = struct.pack("<I4s10I", 48, b"LfLe", 1, 1, 48, 0, 9, 7, 65536, 0, 0, 48)
END = struct.pack("<10I", 40, 0x11111111, 0x22222222, 0x33333333, 0x44444444, 48, 0, 9, 7, 40)


def event(number: int, *strings: str, kind: int = 4, user: bytes = b"", data: bytes = b"") -> bytes:
    """Return a record."""
    names = "Source\0HOST\0".encode("utf-16-le")
    texts = "".join(f"{text}\0" for text in strings).encode("utf-16-le")
    user_at = 56 + len(names)
    strings_at = user_at + len(user)
    data_at = strings_at + len(texts)
    size = -(-(data_at + len(data) + 4) // 4) * 4
    fixed = (size, b"LfLe", number, 1715940303, 1715940303, 6005, kind, len(strings), 0, 0, 0)
    head = struct.pack("<I4sIIIIHHHHI", *fixed)
    head += struct.pack("<5I", strings_at, len(user), user_at, len(data), data_at)
    return (head + names + user + texts + data).ljust(size - 4, b"\0") + struct.pack("<I", size)


def numbers(log: bytes, **circumstances: object) -> list[object]:
    """Return the numbers of the records that a log has; nothing may be rejected."""
    outcome = parse("evt", log, **circumstances)
    assert outcome.rejected == []
    return [record["record_number"] for record in outcome.records]


def test_a_log_is_known_by_its_header_under_any_name() -> None:
    assert taker("Sys", HEADER + event(1)) == "evt"


def test_a_record_that_the_end_of_the_log_cuts_goes_on_at_its_beginning() -> None:
    whole = event(9, "cut " * 20)
    for at in (8, 60, len(whole) - 4):
        log = HEADER + whole[at:] + event(10) + END + b"\x07rest of an old one" + event(7) + event(8) + whole[:at]
        assert numbers(log) == [10, 7, 8, 9]


def test_it_does_not_matter_where_the_log_is_cut_into_pieces() -> None:
    whole = event(9, "cut " * 20, data=b"\1\2")
    log = HEADER + whole[70:] + event(10, "a", "b") + END + bytes(30) + event(7) + whole[:70]
    for cut in range(0, len(log), 7):
        assert numbers(log, cuts=(cut,)) == [10, 7, 9]


@pytest.mark.parametrize(
    ("kind", "text", "number"), [(1, "error", 17), (2, "warning", 13), (16, "audit failure", 13), (5, None, None)]
)
def test_the_type_is_the_severity(kind: int, text: str | None, number: int | None) -> None:
    (record,) = parse("evt", HEADER + event(1, kind=kind)).records
    assert (record["severity_text"], record["severity_number"]) == (text, number)


def test_what_is_damaged_is_rejected_alone() -> None:
    bad = bytearray(event(2, "x"))
    bad[-1] ^= 1
    short = event(3, "half")
    log = HEADER + event(1) + bytes(bad) + event(4) + short[:-10]
    outcome = parse("evt", log)
    assert [record["record_number"] for record in outcome.records] == [1, 4]
    assert outcome.rejected == [
        (bytes(bad), "the record does not end where it says"),
        (short[:-10], "the record does not end where it says"),
    ]


def test_places_outside_of_the_record_are_empty() -> None:
    raw = bytearray(event(1, "a"))
    struct.pack_into("<5I", raw, 36, 1 << 20, 100, 1 << 20, 7, 1 << 20)
    (record,) = parse("evt", HEADER + bytes(raw)).records
    assert (record["strings"], record["user"], record["data"]) == ([""], None, None)


def test_pairs_of_records_keep_their_own_strings() -> None:
    log = HEADER + b"".join(event(number, f"string {number}", "two") for number in range(5)) + END
    strings = [record["strings"] for record in parse("evt", log).records]
    assert strings == [[f"string {number}", "two"] for number in range(5)]
    assert all(one != other for one, other in pairwise(strings))
