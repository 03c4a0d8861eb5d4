"""The processor `mysql_binlog`."""

import struct
from zlib import crc32

import pytest

from tests.processors.support import MODULES, parse

TIME = 1715940303
MAGIC = b"\xfebin"


def event(kind: int, body: bytes, *, checksum: bool = False, time: int = TIME, flags: int = 0, at: int = 0) -> bytes:
    """Build an event as the server writes it."""
    size = 19 + len(body) + 4 * checksum
    head = struct.pack("<IBIIIH", time, kind, 1, size, at + size if at else 0, flags) + body
    return head + (crc32(head).to_bytes(4, "little") if checksum else b"")


def description(version: bytes = b"8.0.36", *, algorithm: int = 0) -> bytes:
    """Build the first event of a log."""
    body = struct.pack("<H50sIB", 4, version, TIME, 19) + bytes(38) + bytes([algorithm])
    return event(15, body, checksum=True)


def query(statement: bytes, database: bytes = b"shop", **circumstances: bool) -> bytes:
    body = struct.pack("<IIBHH", 7, 1, len(database), 0, 0) + database + b"\x00" + statement
    return event(2, body, **circumstances)


def table_map(number: int) -> bytes:
    return event(19, number.to_bytes(6, "little") + b"\x01\x00\x04shop\x00\x04till\x00\x01\x03\x00\x00")


def rows(number: int, size: int) -> bytes:
    return event(30, number.to_bytes(6, "little") + b"\x00\x00\x02\x00" + bytes(size))


SAMPLE = (
    MAGIC
    + description(algorithm=1)
    + query(b"CREATE TABLE a", checksum=True)
    + query(b"DROP TABLE a", checksum=True)[:-1]
    + b"?"
    + event(4, (4).to_bytes(8, "little") + b"mysql-bin.000002", checksum=True)
)


def test_the_sample_is_what_the_builder_writes() -> None:
    assert MODULES["mysql_binlog"][0].samples[0].content() == SAMPLE


def test_changed_rows_have_their_table_and_their_size() -> None:
    log = MAGIC + description() + table_map(9) + rows(9, 40) + rows(10, 3) + event(16, struct.pack("<Q", 77))
    found = parse("mysql_binlog", log, cuts=(5, 140, 200)).records
    assert [one["type_name"] for one in found] == ["FORMAT_DESCRIPTION", "TABLE_MAP", "WRITE_ROWS", "WRITE_ROWS", "XID"]
    assert (found[1]["table_id"], found[1]["database"], found[1]["table"]) == (9, "shop", "till")
    assert (found[2]["database"], found[2]["table"], found[2]["rows_bytes"]) == ("shop", "till", 40)
    assert ("table" in found[3], found[3]["rows_bytes"], found[4]["xid"]) == (False, 3, 77)


def test_identifiers_of_transactions_and_statements_of_rows() -> None:
    gtid = event(33, b"\x01" + bytes(range(16)) + struct.pack("<Q", 5))
    log = MAGIC + description() + gtid + event(29, b"\x08INSERT 1") + event(160, b"INSERT 2") + event(99, b"x")
    found = parse("mysql_binlog", log).records
    assert found[1]["gtid"] == "00010203-0405-0607-0809-0a0b0c0d0e0f:5"
    assert [one.get("body") for one in found[2:]] == ["INSERT 1", "INSERT 2", None]
    assert found[4]["type_name"] == "TYPE_99"


def test_the_first_event_has_its_checksum_without_the_flag_of_a_log_in_use() -> None:
    whole = description(algorithm=1)
    in_use = whole[:17] + b"\x01\x00" + whole[19:]
    outcome = parse("mysql_binlog", MAGIC + in_use + query(b"BEGIN", checksum=True))
    assert (len(outcome.records), outcome.rejected) == (2, [])


@pytest.mark.parametrize(("version", "checksum"), [(b"5.5.62-log", "none"), (b"10.11.6-MariaDB-log", "CRC32")])
def test_whether_there_are_checksums_depends_on_the_version(version: bytes, checksum: str) -> None:
    log = MAGIC + description(version, algorithm=1)
    assert parse("mysql_binlog", log).records[0]["checksum"] == checksum


def test_a_large_event_is_looked_at_without_being_held() -> None:
    big = query(b"INSERT " + b"x" * (9 << 20))
    log = MAGIC + description() + big + query(b"COMMIT")
    outcome = parse("mysql_binlog", log, cuts=tuple(range(1 << 20, len(log), 1 << 20)))
    assert [str(one.get("body", ""))[:8] for one in outcome.records] == ["", "INSERT x", "COMMIT"]
    assert (outcome.records[1]["truncated"], len(str(outcome.records[1]["body"])) < 1 << 16) == (True, True)
    with pytest.raises(ValueError, match="the log ends inside an event, 9 bytes before its end"):
        parse("mysql_binlog", MAGIC + description() + big[:-9])


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (b"\xfebim", "begins with fe 62 69 6d, which is no binary log of MySQL"),
        (MAGIC + description() + bytes(19), "an event of 0 bytes: the log is damaged here"),
        (MAGIC + description() + event(164, bytes(17)), "the log is encrypted from here on"),
        (MAGIC + description(algorithm=7), "checksums of kind 7, which is not known; the log may be damaged here"),
    ],
)
def test_what_cannot_be_gone_on_from_says_why(log: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse("mysql_binlog", log)


def test_an_event_that_is_damaged_inside_is_rejected_alone() -> None:
    bad = event(16, b"\x01")
    outcome = parse("mysql_binlog", MAGIC + description() + bad + query(b"BEGIN"))
    ((raw, reason),) = outcome.rejected
    assert raw == bad
    assert reason.startswith("an event XID that is damaged: unpack_from requires a buffer of at least 8 bytes")
    assert outcome.records[1]["body"] == "BEGIN"


def test_a_torn_end_is_rejected() -> None:
    outcome = parse("mysql_binlog", MAGIC + description() + query(b"BEGIN")[:-3])
    assert [reason for _, reason in outcome.rejected] == ["the source ends inside this record, after 39 bytes of it"]
