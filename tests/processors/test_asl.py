"""The processor `asl`."""

import struct

import pytest

from tests.processors.support import MODULES, parse

HEADER = b"ASL DB" + bytes(6) + struct.pack(">IQQIQ", 2, 80, 0, 256, 0) + bytes(36)


class Log:
    """A log that is written object by object."""

    def __init__(self) -> None:
        self.raw = HEADER

    def text(self, text: bytes) -> int:
        place = len(self.raw)
        self.raw += struct.pack(">HI", 1, len(text) + 1) + text + b"\x00"
        return place

    def message(self, *places: int, level: int = 3, extra: tuple[int, ...] = (), reference: int = 0) -> None:
        head = struct.pack(">QQQIHHIIIiiI", 0, 7, 1715940303, 143, level, 1, 69, 501, 20, 501, -1, reference)
        body = head + struct.pack(">I6Q", len(extra), *(*places, 0, 0, 0, 0, 0, 0)[:6])
        body += struct.pack(f">{len(extra) + 1}Q", *extra, 0)
        self.raw += struct.pack(">HI", 0, len(body)) + body


def inline(text: bytes) -> int:
    return int.from_bytes(bytes([0x80 | len(text)]) + text.ljust(7, b"\x00"), "big")


def written() -> Log:
    log = Log()
    host, sender, body = log.text(b"pc1"), log.text(b"locationd"), log.text(b"no disk")
    log.message(host, sender, inline(b"user"), body, extra=(log.text(b"Thread"), inline(b"1007")))
    log.raw += struct.pack(">HI", 0, 4) + b"torn"
    return log


def test_the_sample_is_what_the_builder_writes() -> None:
    assert MODULES["asl"][0].samples[0].content() == written().raw


def test_what_is_missing_is_null_and_what_is_there_is_said() -> None:
    log = Log()
    log.message(9999, level=9, reference=5)
    (one,) = parse("asl", log.raw).records
    assert (one["host"], one["body"], one["severity_text"], one["reference_pid"]) == (None, None, "9", 5)
    assert "severity_number" not in one
    assert "extra" not in one


def test_texts_that_no_message_needs_do_not_grow_the_snapshot_beyond_its_limit() -> None:
    log = Log()
    for number in range(20):
        log.text(b"%02d" % number * (1 << 18))
    log.message(0, 0, 0, log.text(b"end"))
    outcome = parse("asl", log.raw, cuts=tuple(range(1 << 20, len(log.raw), 1 << 20)))
    assert [one["body"] for one in outcome.records] == ["end"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"ASL DB" + bytes(74), "which is no log of ASL, version 2"),
        (HEADER + b"\x00\x02\x00\x00\x00\x04", "an object of kind 2 and 4 bytes: the log is damaged here"),
        (HEADER + b"\x00\x01\xff\x00\x00\x04", "an object of kind 1 and 4278190084 bytes: the log is damaged here"),
    ],
)
def test_what_is_damaged_says_so(raw: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse("asl", raw)
