"""The processor `utmp`."""

import struct

import pytest

from tests.processors.support import parse

LAYOUT = struct.Struct("<hxxi32s4s32s256shhiii16s20x")


def login(kind: int = 7, user: bytes = b"dana", address: bytes = b"", sec: int = 1715940303, usec: int = 5) -> bytes:
    return LAYOUT.pack(kind, 77, b"pts/0", b"ts/0", user, b"h", 1, 2, 3, sec, usec, address)


@pytest.mark.parametrize(
    ("address", "ip"),
    [
        (b"", None),
        (bytes([192, 0, 2, 7]), "192.0.2.7"),
        (bytes([0x20, 1, 0xD, 0xB8, *[0] * 11, 1]), "2001:db8::1"),
    ],
)
def test_a_login_has_its_address_and_time(address: bytes, ip: str | None) -> None:
    (one,) = parse("utmp", login(address=address)).records
    assert (one["timestamp"], one["type_name"], one["user"], one["ip"]) == (
        *("2024-05-17T10:05:03.000005Z", "user_process", "dana", ip),
    )
    assert (one["exit_termination"], one["exit_status"], one["session"]) == (1, 2, 3)


def test_text_that_is_not_utf_8_or_fills_its_field_is_kept() -> None:
    (one,) = parse("utmp", login(user=b"\xff" + b"u" * 31)).records
    assert one["user"] == "\\xff" + "u" * 31


def test_seconds_are_counted_past_2038() -> None:
    (one,) = parse("utmp", login(sec=-2147483648)).records
    assert one["timestamp"] == "2038-01-19T03:14:08.000005Z"


def test_a_record_of_no_known_type_is_rejected_alone_and_so_is_a_torn_one() -> None:
    outcome = parse("utmp", login() + login(kind=77) + login() + b"torn", cuts=(100, 500))
    assert len(outcome.records) == 2
    assert outcome.rejected == [
        (login(kind=77), "not a login record: type 77, 5 microseconds"),
        (b"torn", "the source ends inside this record, after 4 bytes of it"),
    ]
