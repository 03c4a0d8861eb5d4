"""The processor `journal`."""

import lzma
import struct

import pytest

from contract import Context
from contract.testing import make_stream_processor
from tests.processors.support import MODULES, parse

TIME_US = 1715940303143000
BOOT = bytes(range(16))


def padded(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % 8)


def thing(kind: int, payload: bytes, flags: int = 0) -> bytes:
    """Build an object."""
    return padded(struct.pack("<BB6xQ", kind, flags, 16 + len(payload)) + payload)


class Journal:
    """A journal that is written object by object, as journald does."""

    def __init__(self, *, compact: bool = False, incompatible: int = 4) -> None:
        self.compact = compact
        head = b"LPKSHHRH" + struct.pack("<IIB7x", 0, incompatible | (16 if compact else 0), 2) + bytes(48) + BOOT
        self.raw = head + struct.pack("<QQ", 208, 0) + bytes(104)
        self.raw += thing(5, bytes(64))  # a hash table

    def data(self, payload: bytes, *, entries: int = 1, flags: int = 0) -> int:
        place = len(self.raw)
        self.raw += thing(
            1, struct.pack("<6Q", 0, 0, 0, 0, 0, entries) + bytes(8 if self.compact else 0) + payload, flags
        )
        return place

    def entry(self, *places: int, number: int = 1, time_us: int = TIME_US) -> None:
        head = struct.pack("<QQQ16sQ", number, time_us, 1000, BOOT, 0xAB)
        items = [struct.pack("<I", place) if self.compact else struct.pack("<QQ", place, 0) for place in places]
        self.raw += thing(3, head + b"".join(items))


def written(*, compact: bool = False) -> Journal:
    journal = Journal(compact=compact)
    unit = journal.data(b"_SYSTEMD_UNIT=a.service", entries=2)
    journal.entry(journal.data(b"MESSAGE=no disk"), journal.data(b"PRIORITY=3"), unit)
    journal.entry(journal.data(b"MESSAGE=\xff\x00"), unit, number=2, time_us=TIME_US + 1)
    return journal


def test_the_sample_is_what_the_builder_writes() -> None:
    assert MODULES["journal"][0].samples[0].content() == written().raw


@pytest.mark.parametrize("compact", [False, True])
def test_entries_come_out_as_journalctl_has_them_however_the_file_is_cut(compact: bool) -> None:
    journal = written(compact=compact)
    outcome = parse("journal", journal.raw + bytes(4096), cuts=tuple(range(50, len(journal.raw), 31)))
    first, second = outcome.records
    assert (first["body"], first["severity_number"], first["_SYSTEMD_UNIT"]) == ("no disk", 17, "a.service")
    assert first["__CURSOR"] == f"s={BOOT.hex()};i=1;b={BOOT.hex()};m=3e8;t={TIME_US:x};x=ab"
    assert (second["body"], second["timestamp"]) == ([255, 0], "2024-05-17T10:05:03.143001Z")
    assert outcome.rejected == []


def test_compressed_fields_are_unpacked() -> None:
    journal = Journal()
    in_lz4 = (42).to_bytes(8, "little") + b"\x3fM=x\x01\x00\x0e\x60" + b"xxxxxx"  # a match that overlaps what it makes
    journal.entry(journal.data(lzma.compress(b"MESSAGE=" + b"x" * 40), flags=1), journal.data(in_lz4, flags=2))
    (one,) = parse("journal", journal.raw).records
    assert (one["body"], one["M"], "unreadable" in one) == ("x" * 40, "x" * 40, False)


def test_zstd_is_unpacked() -> None:
    zstd = pytest.importorskip("backports.zstd")
    journal = Journal(incompatible=12)
    journal.entry(journal.data(zstd.compress(b"MESSAGE=" + b"x" * 4000), flags=4))
    assert parse("journal", journal.raw).records[0]["body"] == "x" * 4000


@pytest.mark.parametrize(
    ("payload", "flags", "reason"),
    [
        (b"no xz", 1, "a field of 5 bytes in xz that is damaged: Input format not supported by decoder"),
        (bytes(8) + b"\xf0", 2, "a field of 9 bytes in lz4 that is damaged: index out of range"),
        (
            b"\x09" + bytes(7) + b"\x00\x05\x00",
            2,
            "a field of 11 bytes in lz4 that is damaged: a match of 4 bytes, 5 back, after 0",
        ),
        (
            b"\xff" * 8,
            2,
            "a field of 8 bytes in lz4 that is damaged: 18446744073709551615 bytes when unpacked, over 16777216",
        ),
        (
            lzma.compress(bytes(17 << 20)),
            1,
            "in xz that is damaged: it does not end, or is over 16777216 bytes when unpacked",
        ),
        (b"x", 3, "a field of 1 bytes in compression 3, which is not known"),
        (b"nothing", 0, "is not NAME=VALUE"),
    ],
)
def test_a_field_that_cannot_be_read_is_named_and_the_others_are(payload: bytes, flags: int, reason: str) -> None:
    journal = Journal()
    journal.entry(journal.data(b"MESSAGE=said"), journal.data(payload, flags=flags), 8)
    (one,) = parse("journal", journal.raw).records
    assert one["body"] == "said"
    unreadable = one["unreadable"]
    assert isinstance(unreadable, list)
    assert reason in str(unreadable[0])
    assert unreadable[1] == "no field at 8"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"LPKSHHRX" + bytes(88), "begins with 4c 50 4b 53 48 48 52 58, which is no journal of systemd"),
        (Journal(incompatible=64).raw, "the journal needs features 0x40, of which not all are known"),
        (written().raw + b"\x09" + bytes(15), "an object of type 9 and 0 bytes: the journal is damaged here"),
        (written().raw + thing(1, bytes(4)), "a data object of 4 bytes: the journal is damaged here"),
        (written().raw + thing(3, bytes(4)), "an entry of 20 bytes: the journal is damaged here"),
        (written().raw + bytes(64) + b"x", "something follows the end of the journal's objects: it is damaged here"),
    ],
)
def test_what_is_damaged_says_where_it_cannot_be_gone_on_from(raw: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse("journal", raw)


def test_fields_that_no_entry_needs_any_more_are_forgotten() -> None:
    journal = Journal()
    unit = journal.data(b"_SYSTEMD_UNIT=a.service", entries=300)
    for number in range(300):
        journal.entry(journal.data(b"MESSAGE=" + b"%06d" % number * 100), unit, number=number + 1)
    ctx = Context(source="a", reject=lambda *_: None, say=lambda *_: None)
    stream = make_stream_processor(MODULES["journal"][1].new_processor).open(ctx, None)
    half = len(journal.raw) // 2
    assert len(list(stream.feed(journal.raw[:half], False))) == 149
    assert len(stream.snapshot()) < 3000
    assert len(list(stream.feed(journal.raw[half:], True))) == 151
    assert b"a.service" not in stream.snapshot()
    assert b'"data": {}' in stream.snapshot()


def test_fields_that_are_never_named_do_not_grow_the_snapshot_beyond_its_limit() -> None:
    journal = Journal()
    for number in range(20):
        journal.data(b"A=" + bytes([65 + number]) * (1 << 20))
    journal.entry(journal.data(b"MESSAGE=end"))
    outcome = parse("journal", journal.raw, cuts=tuple(range(1 << 20, len(journal.raw), 1 << 20)))
    assert [one["body"] for one in outcome.records] == ["end"]
