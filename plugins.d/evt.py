# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "evt"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Windows event logs before Vista (*.evt)."
# framing = "stream"
# accepts = { head = '\A\x30\x00\x00\x00LfLe\x01\x00\x00\x00\x01\x00\x00\x00', priority = -10 }
#
# [[tool.hostd.samples]]
# name = "SysEvent.Evt"
# encoding = "base64"
# input = """\
#   MAAAAExmTGUBAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAcAAAAExmTGUBAAAAzytHZtArR2YHAACAAQACAAMAAAAAAA\
#   AAWgAAABAAAABKAAAAAQAAAGoAAABkAGkAcwBrAAAAcABjADEAAAABAgAAAAAABSAAAAAgAgAAcwBkAGEAAABiAGEAZAAAAAEAcAAAAGxlZnRQ\
#   AAAATGZMZQIAAADPK0dm0CtHZgcAAIAEAAAAAwAAAAAAAABKAAAAAAAAAEoAAAAAAAAASgAAAGQAaQBzAGsAAABwAGMAMQAAAAAAUAAAACgAAA\
#   ARERERIiIiIjMzMzNEREREAAAAAAAAAAAAAAAAAAAAAAAAAAA="""
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03Z", "written": "2024-05-17T10:05:04Z", "severity_text": "Error",
#    "severity_number": 17, "record_number": 1, "event_id": 7, "severity": 2, "category": 3, "source": "disk",
#    "computer": "pc1", "user": "S-1-5-32-544", "strings": ["sda", "bad"], "data": "AQ=="}''',
#   '''{"timestamp": "2024-05-17T10:05:03Z", "written": "2024-05-17T10:05:04Z", "severity_text": "Information",
#    "severity_number": 9, "record_number": 2, "event_id": 7, "severity": 2, "category": 3, "source": "disk",
#    "computer": "pc1", "strings": []}''',
# ]
# rejected = 1
# ///
"""The event logs of Windows NT to 2003: a header, and records in a ring, so that one may begin at the file's end.

Keys: `timestamp` (when it was generated), `written`, `severity_text` (Error, Warning, Information, Success Audit,
Failure Audit), `severity_number`, `record_number`, `event_id`, `severity` (the two bits of Microsoft's own),
`category`, `source`, `computer`, `user` (a SID) if there is one, `strings`, which the message's text is made with, and
`data` in base64 if there is such. The text itself is in the libraries of Windows.
"""

import struct
from base64 import b64encode
from collections.abc import Iterator
from typing import Final

from contract import ByteStream, JsonValue, Record, StreamProcessor, each_stream, from_epoch

_MAGIC: Final = b"LfLe"
_HEADER_BYTES: Final = 48
_LAYOUT: Final = struct.Struct("<I4sIIIIHHHHIIIIII")
_CURSOR: Final = struct.pack("<IIIII", 40, 0x11111111, 0x22222222, 0x33333333, 0x44444444)
_CURSOR_BYTES: Final = 40
_FILLING: Final = b"\x27\x00\x00\x00"
_MOST_BYTES: Final = 256 << 10
_KINDS: Final = {
    0: ("Success", 9),
    1: ("Error", 17),
    2: ("Warning", 13),
    4: ("Information", 9),
    8: ("Success Audit", 9),
    16: ("Failure Audit", 13),
}


class EvtStream(ByteStream):
    """`kept["tail"]` is what comes before the first record, as Latin-1: the end of the one that begins at the end."""

    def take(self, data: bytes, final: bool) -> Iterator[Record]:
        if not self.kept:
            if len(data) < _HEADER_BYTES:
                return
            if data[:8] != b"\x30\x00\x00\x00" + _MAGIC:
                raise ValueError(f"begins with {data[:8].hex(' ')}, which is no event log of Windows before Vista")
            self.kept, self.used = {"tail": "", "begun": False}, _HEADER_BYTES
        while True:
            start = data.find(_MAGIC, self.used + 4) - 4
            if start < 0:
                break
            self._between(data, start)
            size = int.from_bytes(data[start : start + 4], "little")
            if not _LAYOUT.size <= size <= _MOST_BYTES:
                self._reject(data, start + 8, f"a record of {size} bytes")
                continue
            if start + size > len(data):
                break
            # A record ends with its size: what does not is not copied, however often it begins like one.
            if data[start : start + 4] != data[start + size - 4 : start + size]:
                self._reject(data, start + 8, "a record that is damaged")
                continue
            record = self._record(data[start : start + size])
            self.used = start + size
            if record is not None:
                yield record
        if len(data) - self.used > _MOST_BYTES:
            raise ValueError(f"{len(data) - self.used} bytes without a record: the log is damaged here")
        if final:
            yield from self._last(data)

    def _between(self, data: bytes, end: int) -> None:
        """Use what is before a record: the mark of the ring's end, what fills it up, or a part of an old record."""
        gap, self.used = data[self.used : end], end
        if not self.kept["begun"]:
            self.kept |= {"begun": True, "tail": gap.decode("latin-1")}
        else:
            self._reject_left(gap, "a part of a record that was overwritten")

    def _reject_left(self, gap: bytes, reason: str) -> None:
        """Reject what is in a gap beside the mark of the ring's end, and what fills it up."""
        at = gap.find(_CURSOR)
        for part in (gap,) if at < 0 else (gap[:at], gap[at + _CURSOR_BYTES :]):
            if any(part) and part != _FILLING * (len(part) // 4):
                self.ctx.reject(part, reason)

    def _reject(self, data: bytes, end: int, reason: str) -> None:
        raw, self.used = data[self.used : end], end
        self.ctx.reject(raw, reason)

    def _last(self, data: bytes) -> Iterator[Record]:
        tail = self.kept["tail"].encode("latin-1")
        rest, self.used = data[self.used :], len(data)
        if rest[4:8] == _MAGIC and (record := self._record((rest + tail)[: int.from_bytes(rest[:4], "little")])):
            yield record
            return
        self._reject_left(rest, "the log ends inside this record")
        self._reject_left(tail, "the end of a record whose beginning is missing")

    def _record(self, raw: bytes) -> dict[str, JsonValue] | None:
        """Return the record of its bytes, None when they are damaged."""
        if len(raw) < _LAYOUT.size or raw[-4:] != raw[:4] or int.from_bytes(raw[:4], "little") != len(raw):
            return None
        fields = _LAYOUT.unpack_from(raw)
        number, generated, written, event, kind, strings, category = fields[2:9]
        strings_at, sid_bytes, sid_at, data_bytes, data_at = fields[11:16]
        source, computer = _texts(raw, _LAYOUT.size, 2)
        text, severity_number = _KINDS.get(kind, (f"Type {kind}", None))
        return {
            "timestamp": from_epoch(generated),
            "written": from_epoch(written),
            "severity_text": text,
            "severity_number": severity_number,
            "record_number": number,
            "event_id": event & 0xFFFF,
            "severity": event >> 30,
            "category": category,
            "source": source,
            "computer": computer,
            **({"user": _sid(raw[sid_at : sid_at + sid_bytes])} if sid_bytes else {}),
            "strings": [*_texts(raw, strings_at, strings)],
            **({"data": b64encode(raw[data_at : data_at + data_bytes]).decode()} if data_bytes else {}),
        }


def _texts(raw: bytes, at: int, count: int) -> list[str]:
    """Return texts in UTF-16, each of which ends with a NUL; no more than there are."""
    texts = raw[at : len(raw) - 4].decode("utf-16-le", "replace").split("\x00", count)[:count]
    return texts + [""] * (min(count, 2) - len(texts))


def _sid(raw: bytes) -> str:
    count = (len(raw) - 8) // 4
    if count < 0:
        return raw.hex()
    parts = struct.unpack_from(f"<{count}I", raw, 8)
    return "-".join(("S", str(raw[0]), str(int.from_bytes(raw[2:8], "big")), *map(str, parts)))


def new_processor() -> StreamProcessor:
    return each_stream(EvtStream)
