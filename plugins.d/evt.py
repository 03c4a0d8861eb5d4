# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "evt"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "The event logs of Windows NT to XP and Server 2003 (.Evt)."
# framing = "stream"
# accepts = { head = '\A\x30\x00\x00\x00LfLe', priority = -10 }
#
# [[tool.hostd.samples]]
# name = "SysEvent.Evt"
# encoding = "base64"
# input = """\
#   MAAAAExmTGUBAAAAAQAAADAAAAAAAAAACQAAAAcAAAAAAAEAAAAAAAAAAAAwAAAAeAAAAExmTGUHAAAAzitHZs8rR2YBoACAAgACAAMAAAAAAAAA\
#   XgAAABAAAABOAAAAAQAAAHIAAABMAFMAQQBTAFIAVgAAAFcASwBTAAAAAQIAAAAAAAUgAAAAIAIAAGMAaQBmAHMALwBBAAAAbgBvAAAABwB4AAAA\
#   WAAAAExmTGUIAAAAzytHZtArR2Z1FwAABAAAAAAAAAAAAAAAUgAAAAAAAABSAAAAAAAAAFIAAABFAHYAZQBuAHQATABvAGcAAABXAEsAUwAAAAAA\
#   WAAAACgAAAARERERIiIiIjMzMzNEREREMAAAAAAAAAAJAAAABwAAACgAAAA="""
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03Z", "created": "2024-05-17T10:05:02Z", "record_number": 7, "event_id": 40961,
#    "severity": 2, "event_type": 2, "severity_text": "warning", "severity_number": 13, "category": 3, "source_name":
#    "LSASRV", "computer": "WKS", "user": "S-1-5-32-544", "strings": ["cifs/A", "no"], "data": "07"}''',
#   '''{"timestamp": "2024-05-17T10:05:04Z", "created": "2024-05-17T10:05:03Z", "record_number": 8, "event_id": 6005,
#    "severity": 0, "event_type": 4, "severity_text": "information", "severity_number": 9, "category": 0, "source_name":
#    "EventLog", "computer": "WKS", "user": null, "strings": [], "data": null}''',
# ]
# ///
"""The event logs of Windows NT to XP and Server 2003 (`.Evt`).

Keys: `timestamp` (when it was written), `created`, `record_number`, `event_id`, `severity` (0 to 3, of the event's
number), `event_type`, `severity_text`, `severity_number`, `category`, `source_name`, `computer`, `user` (a SID),
`strings` (what the event's message is filled with), `data` (hexadecimal). A log that is full goes on at its
beginning: a record that its end cuts goes on there. What is left of one that was written over is no record.
"""

import struct
from base64 import b64decode, b64encode
from collections.abc import Iterator

from contract import ByteStream, JsonValue, Record, StreamProcessor, each_stream, from_epoch

_HEADER_BYTES = 48
_RECORD = struct.Struct("<I4sIIIIHHHHIIIIII")
_SIGNATURE = b"LfLe"
_END = struct.pack("<5I", 40, 0x11111111, 0x22222222, 0x33333333, 0x44444444)
_END_BYTES = 40
_MOST_BYTES = 256 << 10
_SEVERITIES = {
    1: ("error", 17),
    2: ("warning", 13),
    4: ("information", 9),
    8: ("audit success", 9),
    16: ("audit failure", 13),
}


class EvtStream(ByteStream):
    def take(self, data: bytes, final: bool) -> Iterator[Record]:
        if not self.kept:
            if len(data) < _HEADER_BYTES:
                return
            self.used = _HEADER_BYTES
            self.kept = {"first": "", "begun": False}
        while (start := self.used) < len(data):
            size = _size_at(data, start)
            if size is None:
                if not self._skip(data, start, final):
                    return
                continue
            if start + size > len(data) and not final:
                return
            self.kept["begun"] = True
            raw, end = self._whole(data, start, size)
            self.used = min(end, len(data))
            try:
                yield _record(raw, size)
            except ValueError as error:
                self.ctx.reject(data[start : self.used], str(error))

    def _whole(self, data: bytes, start: int, size: int) -> tuple[bytes, int]:
        """Return a record, and where in the log its bytes here end; what the log's end has cut is joined."""
        raw = data[start : start + size]
        rest = b64decode(self.kept["first"])
        if not _is_whole(raw, size) and 0 < len(rest) < size:
            joined = raw[: size - len(rest)] + rest
            if _is_whole(joined, size):
                return joined, start + size - len(rest)
        return raw, start + size

    def _skip(self, data: bytes, start: int, final: bool) -> bool:
        """Pass by what is no record; False where more must come first."""
        if data.startswith(_END, start):
            self.used = min(start + _END_BYTES, len(data))
            return final or start + _END_BYTES <= len(data)
        record, mark = data.find(_SIGNATURE, start + 5), data.find(_END, start + 1)
        ends = [end for end in (record - 4, mark) if end > start]
        end = min(ends, default=len(data) if final else len(data) - len(_END))
        if end <= start:
            return False
        if not self.kept["begun"] and len(self.kept["first"]) < _MOST_BYTES:
            self.kept["first"] = b64encode(b64decode(self.kept["first"]) + data[start:end]).decode()
        self.used = end
        return True


def _size_at(data: bytes, start: int) -> int | None:
    """Return the size of the record that begins here; None where none does."""
    if data[start + 4 : start + 8] != _SIGNATURE:
        return None
    size = int.from_bytes(data[start : start + 4], "little")
    return size if _RECORD.size + 4 <= size <= _MOST_BYTES else None


def _is_whole(raw: bytes, size: int) -> bool:
    return len(raw) == size and int.from_bytes(raw[-4:], "little") == size


def _record(raw: bytes, size: int) -> Record:
    if not _is_whole(raw, size):
        raise ValueError("the record does not end where it says")
    _, _, number, created, written, event, kind, strings, category, _, _, *places = _RECORD.unpack_from(raw)
    strings_at, user_bytes, user_at, data_bytes, data_at = places
    names = _texts(raw, _RECORD.size, 2)
    text, severity = _SEVERITIES.get(kind, (None, None))
    return {
        "timestamp": from_epoch(written),
        "created": from_epoch(created),
        "record_number": number,
        "event_id": event & 0xFFFF,
        "severity": event >> 30,
        "event_type": kind,
        "severity_text": text,
        "severity_number": severity,
        "category": category,
        "source_name": names[0],
        "computer": names[1],
        "user": _sid(raw[user_at : user_at + user_bytes]),
        "strings": [*_texts(raw, strings_at, strings)],
        "data": raw[data_at : data_at + data_bytes].hex() or None,
    }


def _texts(raw: bytes, start: int, count: int) -> list[str]:
    texts = raw[start:-4].decode("utf-16-le", "replace").split("\0", count)[:count]
    return texts + [""] * (count - len(texts))


def _sid(raw: bytes) -> JsonValue:
    if len(raw) < 8:
        return None
    parts = struct.unpack_from(f"<{(len(raw) - 8) // 4}I", raw, 8)
    return "-".join(["S", str(raw[0]), str(int.from_bytes(raw[2:8], "big")), *map(str, parts)])


def new_processor() -> StreamProcessor:
    return each_stream(EvtStream)
