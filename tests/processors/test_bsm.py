"""The processor `bsm`."""

import struct
from typing import Any

import pytest

from tests.processors.support import MODULES, parse

TIME = (1715940303, 143)


def trail(*tokens: bytes, kind: int = 0x14, host: bytes = b"", event: int = 23) -> bytes:
    """Build a record."""
    layout = ">QQ" if kind in {0x74, 0x79} else ">II"
    body = struct.pack(">BHH", 11, event, 0) + host + struct.pack(layout, *TIME) + b"".join(tokens)
    size = struct.pack(">I", 5 + len(body) + 7)
    return bytes([kind]) + size + body + b"\x13\xb1\x05" + size


def text(kind: int, said: bytes) -> bytes:
    return struct.pack(">BH", kind, len(said) + 1) + said + b"\x00"


SUBJECT = b"\x24" + struct.pack(">8I", 501, 0, 0, 501, 20, 77, 100, 5) + b"\xc0\x00\x02\x07"
RETURN = b"\x27" + struct.pack(">BI", 1, 13)
ARGUMENT = b"\x2d" + struct.pack(">BIH", 2, 7, 6) + b"flags\x00"
SAMPLE = (
    struct.pack(">BIIH", 0x11, 1, 2, 2)
    + b"a\x00"
    + trail(SUBJECT, text(0x23, b"/etc/passwd"), RETURN)
    + trail(ARGUMENT, b"\xee\x01", kind=0x15, host=struct.pack(">I", 4) + b"\xc0\x00\x02\x08")
    + trail()[:-1]
    + b"?"
)


def tokens(*given: bytes, **circumstances: Any) -> Any:
    (one,) = parse("bsm", trail(*given, **circumstances)).records
    return one["tokens"]


def test_the_sample_is_what_the_builder_writes() -> None:
    assert MODULES["bsm"][0].samples[0].content() == SAMPLE


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (text(0x28, b"said"), {"token": "text", "text": "said"}),
        (b"\x72" + struct.pack(">BQ", 0, 2**40), {"token": "return", "errno": 0, "value": 2**40}),
        (b"\x3c" + struct.pack(">I", 2) + b"ls\x00-l\x00", {"token": "exec_args", "exec_args": ["ls", "-l"]}),
        (b"\x29" + struct.pack(">H", 2) + b"\x00\x01", {"token": "opaque", "data": "AAE="}),
        (b"\x2a\xc0\x00\x02\x07", {"token": "address", "address": "192.0.2.7"}),
        (b"\x52" + struct.pack(">Ii", 256, -1), {"token": "exit", "status": 256, "value": -1}),
    ],
)
def test_tokens_are_told(token: bytes, expected: dict[str, object]) -> None:
    assert tokens(token, kind=0x74) == [expected]


def test_a_subject_may_have_an_address_of_either_kind() -> None:
    six = b"\x7a" + struct.pack(">8II", 1, 2, 3, 4, 5, 6, 7, 8, 16) + bytes(15) + b"\x01"
    (subject,) = tokens(six)
    assert (subject["audit_user"], subject["pid"], subject["terminal_port"]) == (1, 6, 8)
    assert subject["terminal_address"] == "::1"


def test_what_is_damaged_is_rejected_alone_or_ends_the_stream() -> None:
    bad = trail(b"\x3c" + struct.pack(">I", 2) + b"ls\x00-l")
    outcome = parse("bsm", bad + trail(RETURN))
    assert len(outcome.records) + len(outcome.rejected) == 2
    with pytest.raises(ValueError, match="a token 00, where a record begins: the trail is damaged here"):
        parse("bsm", trail() + b"\x00")
    with pytest.raises(ValueError, match="a record of 4 bytes: the trail is damaged here"):
        parse("bsm", b"\x14\x00\x00\x00\x04")
    torn = parse("bsm", trail()[:-3])
    assert [reason for _, reason in torn.rejected] == ["the source ends inside this record, after 22 bytes of it"]
