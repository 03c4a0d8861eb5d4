"""The processor `evt`."""

import struct

import pytest

from tests.processors.support import MODULES, parse

TIME = 1715940303
HEADER = b"\x30\x00\x00\x00LfLe\x01\x00\x00\x00\x01\x00\x00\x00" + bytes(32)
CURSOR = struct.pack("<IIIII", 40, 0x11111111, 0x22222222, 0x33333333, 0x44444444) + bytes(20)
SID = b"\x01\x02\x00\x00\x00\x00\x00\x05" + struct.pack("<II", 32, 544)


def event(number: int, *strings: str, kind: int = 1, sid: bytes = b"", data: bytes = b"") -> bytes:
    """Build a record as Windows writes it."""
    names = "disk\0pc1\0".encode("utf-16-le")
    said = "".join(f"{text}\0" for text in strings).encode("utf-16-le")
    sid_at = 56 + len(names)
    strings_at, data_at = sid_at + len(sid), sid_at + len(sid) + len(said)
    size = data_at + len(data) + 4
    padding = -size % 4
    size += padding
    head = struct.pack("<I4sIIII", size, b"LfLe", number, TIME, TIME + 1, 0x80000007)
    head += struct.pack("<HHHHIIIIII", kind, len(strings), 3, 0, 0, strings_at, len(sid), sid_at, len(data), data_at)
    return head + names + sid + said + data + bytes(padding) + struct.pack("<I", size)


SAMPLE = HEADER + event(1, "sda", "bad", sid=SID, data=b"\x01") + b"left" + event(2, kind=4) + CURSOR


def test_the_sample_is_what_the_builder_writes() -> None:
    assert MODULES["evt"][0].samples[0].content() == SAMPLE


@pytest.mark.parametrize("at", [4, 8, 60, 100])
def test_a_record_that_begins_at_the_end_of_the_ring_goes_on_at_its_beginning(at: int) -> None:
    last = event(9, "round")
    outcome = parse("evt", HEADER + last[at:] + event(8) + last[:at], cuts=(50, 70))
    if at >= 8:
        assert [one["record_number"] for one in outcome.records] == [8, 9]
        assert outcome.rejected == []
    else:  # too little to know it by
        assert len(outcome.records) >= 1


def test_what_is_damaged_is_rejected_alone() -> None:
    bad = bytearray(event(1))
    bad[-1] ^= 1
    outcome = parse("evt", HEADER + event(0) + bytes(bad) + event(2))
    assert [one["record_number"] for one in outcome.records] == [0, 2]
    assert {reason for _, reason in outcome.rejected} == {
        "a record that is damaged",
        "a part of a record that was overwritten",
    }


def test_kinds_have_a_severity() -> None:
    found = parse("evt", HEADER + b"".join(event(kind, kind=kind) for kind in (1, 2, 4, 8, 16, 32))).records
    assert [one["severity_number"] for one in found] == [17, 13, 9, 9, 13, None]
    assert found[-1]["severity_text"] == "Type 32"


def test_another_file_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with 00 00 00 00 00 00 00 00, which is no event log of Windows"):
        parse("evt", bytes(48))
