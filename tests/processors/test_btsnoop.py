"""The processor `btsnoop`."""

import struct

import pytest

from tests.processors.support import MODULES, parse

TIME = 0x00DCDDB30F2F8000 + 1715940303143001
HEADER = b"btsnoop\x00" + struct.pack(">II", 1, 1002)


def packet(data: bytes, flags: int = 0, length: int | None = None, time: int = TIME) -> bytes:
    return struct.pack(">IIIIq", len(data) if length is None else length, len(data), flags, 0, time) + data


SAMPLE = HEADER + packet(b"\x01\x03\x0c\x00", 2) + packet(b"\x04\x0e", 3, 9)


def test_the_sample_is_what_the_builder_writes() -> None:
    assert MODULES["btsnoop"][0].samples[0].content() == SAMPLE


def test_flags_say_what_a_packet_is_but_not_in_bluez_monitor() -> None:
    found = parse("btsnoop", HEADER + b"".join(packet(b"x", flags) for flags in range(4)), cuts=(20, 41)).records
    assert [(one["direction"], one["kind"]) for one in found] == [
        *(("sent", "data"), ("received", "data"), ("sent", "command"), ("received", "event")),
    ]
    monitor = b"btsnoop\x00" + struct.pack(">II", 1, 2001) + packet(b"x", 0x00010002)
    (one,) = parse("btsnoop", monitor).records
    assert ("kind" in one, one["flags"]) == (False, 0x00010002)


def test_what_is_damaged_says_so() -> None:
    with pytest.raises(ValueError, match="a packet of 16777216 bytes: the capture is damaged here"):
        parse("btsnoop", HEADER + struct.pack(">IIIIq", 1, 1 << 24, 0, 0, TIME))
    with pytest.raises(ValueError, match="which is no btsnoop of version 1"):
        parse("btsnoop", b"btsnoop\x00" + struct.pack(">II", 2, 1))
    outcome = parse("btsnoop", HEADER + packet(b"x", time=2**62) + packet(b"y")[:-1])
    assert [reason for _, reason in outcome.rejected] == [
        "4549517762427 seconds since 1970 are outside of the years 1 to 9999",
        "the source ends inside this record, after 24 bytes of it",
    ]
