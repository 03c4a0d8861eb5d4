# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "mysql_binlog"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "The binary log of MySQL and MariaDB (version 4), and relay logs: one record for each event."
# framing = "stream"
# accepts = { head = '\A\xfebin[\x00-\xff]{4}\x0f', priority = -10 }
# limits = { snapshot_kib = 16384 }
#
# [[tool.hostd.samples]]
# name = "mysql-bin.000001"
# encoding = "base64"
# input = """\
#   /mJpbs8rR2YPAQAAAHcAAAAAAAAAAAAEADguMC4zNgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAzytHZhMAAA\
#   AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE8ZjI4zytHZgIBAAAANwAAAAAAAAAAAAcAAAABAAAABAAAAABzaG9wAENSRUFU\
#   RSBUQUJMRSBhLhiGJc8rR2YCAQAAADUAAAAAAAAAAAAHAAAAAQAAAAQAAAAAc2hvcABEUk9QIFRBQkxFIGEdMeQ/zytHZgQBAAAALwAAAAAAAA\
#   AAAAQAAAAAAAAAbXlzcWwtYmluLjAwMDAwMomlKOA="""
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03Z", "type": 15, "type_name": "FORMAT_DESCRIPTION", "server_id": 1,
#    "event_size": 119, "log_pos": 0, "flags": 0, "server_version": "8.0.36", "checksum": "CRC32"}''',
#   '''{"timestamp": "2024-05-17T10:05:03Z", "type": 2, "type_name": "QUERY", "server_id": 1, "event_size": 55,
#    "log_pos": 0, "flags": 0, "database": "shop", "thread_id": 7, "exec_time_s": 1, "error_code": 0, "body":
#    "CREATE TABLE a"}''',
#   '''{"timestamp": "2024-05-17T10:05:03Z", "type": 4, "type_name": "ROTATE", "server_id": 1, "event_size": 47,
#    "log_pos": 0, "flags": 0, "next_position": 4, "next_file": "mysql-bin.000002"}''',
# ]
# rejected = 1
# ///
"""The binary log of MySQL 5 and later and of MariaDB: one record for each event.

Keys: `timestamp` (of events that have one), `type` and `type_name`, `server_id`, `event_size` and `log_pos` (where the
next event begins) in bytes, `flags`, and by type: `body` (a statement), `database`, `thread_id`, `exec_time_s`,
`error_code`; `server_version` and `checksum`; `next_file` and `next_position`; `gtid`; `xid`; `table_id`, `database`,
`table`, and of changed rows `rows_bytes` (their size; the rows themselves are in the server's own form).
An event whose checksum is wrong is rejected alone. Of one over 8 MiB
the first 64 KiB are looked at, and it is `truncated`. A log that is
encrypted ends where that begins.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID
from zlib import crc32

from contract import ByteStream, JsonValue, Record, StreamProcessor, each_stream, from_epoch

_MAGIC: Final = b"\xfebin"
_HEADER: Final = struct.Struct("<IBIIIH")
_MOST_BYTES: Final = 8 << 20
_LOOKED_AT: Final = 64 << 10
_MOST_TABLES: Final = 1024
_IN_USE: Final = 1
"""A flag of the first event while the server writes the file; its checksum is made without it."""

_OF_MYSQL: Final = (
    *("UNKNOWN", "START_V3", "QUERY", "STOP", "ROTATE", "INTVAR", "LOAD", "SLAVE", "CREATE_FILE"),
    *("APPEND_BLOCK", "EXEC_LOAD", "DELETE_FILE", "NEW_LOAD", "RAND", "USER_VAR", "FORMAT_DESCRIPTION", "XID"),
    *("BEGIN_LOAD_QUERY", "EXECUTE_LOAD_QUERY", "TABLE_MAP", "PRE_GA_WRITE_ROWS", "PRE_GA_UPDATE_ROWS"),
    *("PRE_GA_DELETE_ROWS", "WRITE_ROWS_V1", "UPDATE_ROWS_V1", "DELETE_ROWS_V1", "INCIDENT", "HEARTBEAT"),
    *("IGNORABLE", "ROWS_QUERY", "WRITE_ROWS", "UPDATE_ROWS", "DELETE_ROWS", "GTID", "ANONYMOUS_GTID"),
    *("PREVIOUS_GTIDS", "TRANSACTION_CONTEXT", "VIEW_CHANGE", "XA_PREPARE", "PARTIAL_UPDATE_ROWS"),
    *("TRANSACTION_PAYLOAD", "HEARTBEAT_V2", "GTID_TAGGED"),
)
_OF_MARIADB: Final = (
    *("ANNOTATE_ROWS", "BINLOG_CHECKPOINT", "MARIADB_GTID", "MARIADB_GTID_LIST", "START_ENCRYPTION"),
    *("QUERY_COMPRESSED", "WRITE_ROWS_COMPRESSED_V1", "UPDATE_ROWS_COMPRESSED_V1", "DELETE_ROWS_COMPRESSED_V1"),
    *("WRITE_ROWS_COMPRESSED", "UPDATE_ROWS_COMPRESSED", "DELETE_ROWS_COMPRESSED"),
)
_TYPES: Final = {**dict(enumerate(_OF_MYSQL)), **dict(enumerate(_OF_MARIADB, 160))}
_ROWS: Final = {23, 24, 25, 30, 31, 32, 39}
_ENCRYPTION: Final = 164


class BinlogStream(ByteStream):
    """`kept` holds what the first event says (`checksum`, in bytes), the `tables` by number, and how much to `skip`."""

    def take(self, data: bytes, final: bool) -> Iterator[Record]:
        if not self.kept:
            if len(data) < len(_MAGIC):
                return
            if not data.startswith(_MAGIC):
                raise ValueError(f"begins with {data[:4].hex(' ')}, which is no binary log of MySQL")
            self.kept, self.used = {"checksum": 0, "tables": {}, "skip": 0}, len(_MAGIC)
        if self.kept["skip"]:
            self._skip(data)
        while self.used + _HEADER.size <= len(data):
            start = self.used
            size = _HEADER.unpack_from(data, start)[3]
            if size < _HEADER.size + self.kept["checksum"]:
                raise ValueError(f"an event of {size} bytes: the log is damaged here")
            end = start + min(size, _LOOKED_AT) if size > _MOST_BYTES else start + size
            if end > len(data):
                return
            self.used = end
            record = self._event(data[start:end], size)
            if record is not None:
                yield record
            if start + size > end:
                self.kept["skip"] = start + size - end
                self._skip(data)
        if final and self.kept["skip"]:
            raise ValueError(f"the log ends inside an event, {self.kept['skip']} bytes before its end")

    def _skip(self, data: bytes) -> None:
        skipped = min(self.kept["skip"], len(data) - self.used)
        self.kept["skip"] -= skipped
        self.used += skipped

    def _event(self, raw: bytes, size: int) -> Record | None:
        """Return the record of an event that is all there, or of the beginning of a large one; None when rejected."""
        time, kind, server, _, position, flags = _HEADER.unpack_from(raw)
        if kind == 15:
            self.kept["checksum"] = _checksum_bytes(raw)
        body = raw[_HEADER.size :]
        if size == len(raw) and self.kept["checksum"]:
            body = body[:-4]
            said = int.from_bytes(raw[-4:], "little")
            made = crc32(_unflagged(raw[:-4]) if kind == 15 else raw[:-4])
            if said != made:
                self.ctx.reject(raw, f"its CRC-32 is {made:08x}, where {said:08x} is expected")
                return None
        if kind == _ENCRYPTION:
            raise ValueError("the log is encrypted from here on")
        record: dict[str, JsonValue] = {
            **({"timestamp": from_epoch(time)} if time else {}),
            "type": kind,
            "type_name": _TYPES.get(kind, f"TYPE_{kind}"),
            "server_id": server,
            "event_size": size,
            "log_pos": position,
            "flags": flags,
            **({"truncated": True} if size > len(raw) else {}),
        }
        try:
            return record | self._contents(kind, body, size)
        except (struct.error, IndexError, ValueError) as error:
            self.ctx.reject(raw, f"an event {record['type_name']} that is damaged: {error}")
            return None

    def _contents(self, kind: int, body: bytes, size: int) -> dict[str, JsonValue]:
        if kind == 2:
            return _query(body)
        if kind == 4:
            return {"next_position": int.from_bytes(body[:8], "little"), "next_file": _text(body[8:])}
        if kind == 15:
            version = _text(body[2:52].partition(b"\x00")[0])
            return {"server_version": version, "checksum": "CRC32" if self.kept["checksum"] else "none"}
        if kind == 16:
            return {"xid": struct.unpack_from("<Q", body)[0]}
        if kind == 19:
            return self._table(body)
        if kind in _ROWS:
            table = int.from_bytes(body[:6], "little")
            extra = struct.unpack_from("<H", body, 8)[0] if kind >= 30 else 0
            bytes_of_rows = size - _HEADER.size - self.kept["checksum"] - 8 - extra
            return {"table_id": table, **self.kept["tables"].get(str(table), {}), "rows_bytes": max(0, bytes_of_rows)}
        if kind == 29:
            return {"body": _text(body[1:])}
        if kind == 33:
            return {"gtid": f"{UUID(bytes=body[1:17])}:{struct.unpack_from('<Q', body, 17)[0]}"}
        if kind == 160:
            return {"body": _text(body)}
        return {}

    def _table(self, body: bytes) -> dict[str, JsonValue]:
        table = int.from_bytes(body[:6], "little")
        end = 9 + body[8]
        names: dict[str, JsonValue] = {"database": _text(body[9:end])}
        names["table"] = _text(body[end + 2 : end + 2 + body[end + 1]])
        tables: dict[str, Any] = self.kept["tables"]
        tables.pop(str(table), None)
        if len(tables) >= _MOST_TABLES:
            del tables[next(iter(tables))]
        tables[str(table)] = names
        return {"table_id": table, **names}


def _checksum_bytes(event: bytes) -> int:
    """Return how long the checksums of a log are whose FORMAT_DESCRIPTION says so: its last byte but the checksum."""
    version = event[_HEADER.size + 2 : _HEADER.size + 52].partition(b"\x00")[0].decode("ascii", "replace")
    numbers = [int("".join(filter(str.isdecimal, part[:3])) or 0) for part in version.split("-")[0].split(".")[:3]]
    knows_checksums = numbers >= ([5, 3, 0] if "MariaDB" in version else [5, 6, 1])
    if not knows_checksums or len(event) < _HEADER.size + 62:
        return 0
    if event[-5] > 1:
        raise ValueError(f"checksums of kind {event[-5]}, which is not known; the log may be damaged here")
    return 4 if event[-5] else 0


def _unflagged(event: bytes) -> bytes:
    return event[:17] + bytes([event[17] & ~_IN_USE]) + event[18:]


def _query(body: bytes) -> dict[str, JsonValue]:
    thread, took_s, length, error, variables = struct.unpack_from("<IIBHH", body)
    start = 13 + variables
    database, statement = body[start : start + length], body[start + length + 1 :]
    return {
        "database": _text(database) or None,
        "thread_id": thread,
        "exec_time_s": took_s,
        "error_code": error,
        "body": _text(statement),
    }


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def new_processor() -> StreamProcessor:
    return each_stream(BinlogStream)
