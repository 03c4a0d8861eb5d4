# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "bsm"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Audit trails of macOS and FreeBSD (OpenBSM), and of Solaris."
# framing = "stream"
# accepts = { head = '\A(\x11[\x00-\xff]{8}\x00|[\x14\x15]\x00\x00[\x00-\x7f][\x00-\xff][\x01-\x0b])', priority = -12 }
#
# [[tool.hostd.samples]]
# name = "trail"
# encoding = "base64"
# input = """\
#   EQAAAAEAAAACAAJhABQAAABTCwAXAABmRyvPAAAAjyQAAAH1AAAAAAAAAAAAAAH1AAAAFAAAAE0AAABkAAAABcAAAgcjAAwvZXRjL3Bhc3N3ZA\
#   AnAQAAAA0TsQUAAABTFQAAADELABcAAAAAAATAAAIIZkcrzwAAAI8tAgAAAAcABmZsYWdzAO4BE7EFAAAAMRQAAAAZCwAXAABmRyvPAAAAjxOx\
#   BQAAAD8="""
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.143Z", "event": 23, "modifier": 0, "tokens": [{"token": "subject",
#    "audit_user": 501, "effective_user": 0, "effective_group": 0, "user": 501, "group": 20, "pid": 77, "session":
#    100, "terminal_port": 5, "terminal_address": "192.0.2.7"}, {"token": "path", "path": "/etc/passwd"}, {"token":
#    "return", "errno": 1, "value": 13}]}''',
#   '''{"timestamp": "2024-05-17T10:05:03.143Z", "event": 23, "modifier": 0, "host": "192.0.2.8", "tokens":
#    [{"token": "argument", "number": 2, "value": 7, "text": "flags"}], "rest": "7gE="}''',
# ]
# rejected = 1
# ///
"""Audit trails in the BSM format: each record is a header, tokens, and a trailer.

Keys: `timestamp`, `event` and `modifier` (numbers; audit_event(5) names them), `host` of the header if there is one,
and in `tokens` a list of what follows, each with its `token` by name: `subject` (`audit_user`, `user`, `pid`, …),
`return` (`errno`, `value`), `text`, `path`, `argument`, `exec_args`, `exit`, `attributes` and others. What comes after
a token that is not known is `rest`, in base64. The name of a trail that another one follows is no record.
"""

import struct
from base64 import b64encode
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from contract import ByteStream, JsonValue, Record, StreamProcessor, each_stream, from_epoch

_MOST_BYTES: Final = 1 << 20
_TRAILER: Final = b"\x13\xb1\x05"
_TRAILER_BYTES: Final = 7
_HEADERS: Final = {0x14: (False, False), 0x15: (True, False), 0x74: (False, True), 0x79: (True, True)}
"""Header tokens: whether they name a host, and whether their times have 64 bits."""
_SUBJECT: Final = ("audit_user", "effective_user", "effective_group", "user", "group", "pid", "session")
_SUBJECTS: Final = {
    0x24: ("subject", 4, False),
    0x26: ("process", 4, False),
    0x75: ("subject", 8, False),
    0x77: ("process", 8, False),
    0x7A: ("subject", 4, True),
    0x7B: ("process", 4, True),
    0x7C: ("subject", 8, True),
    0x7D: ("process", 8, True),
}
_TEXTS: Final = {0x23: "path", 0x28: "text", 0x60: "zone"}
_NUMBERS: Final = {
    0x27: ("return", ">BI", ("errno", "value")),
    0x72: ("return", ">BQ", ("errno", "value")),
    0x2F: ("sequence", ">I", ("number",)),
    0x52: ("exit", ">Ii", ("status", "value")),
    0x2C: ("port", ">H", ("port",)),
    0x3E: ("attributes", ">IIIIQI", ("mode", "user", "group", "file_system", "inode", "device")),
    0x73: ("attributes", ">IIIIQQ", ("mode", "user", "group", "file_system", "inode", "device")),
}
_ARGUMENTS: Final = {0x2D: ">BI", 0x71: ">BQ"}
_LISTS: Final = {0x3C: "exec_args", 0x3D: "exec_environment"}


class BsmStream(ByteStream):
    def take(self, data: bytes, final: bool) -> Iterator[Record]:
        while self.used < len(data):
            size = _size(data, self.used)
            if size is None:
                return
            if size > _MOST_BYTES:
                raise ValueError(f"a record of {size} bytes: the trail is damaged here")
            if self.used + size > len(data):
                return
            raw = data[self.used : self.used + size]
            self.used += size
            if raw[0] not in _HEADERS:
                continue
            if raw[-_TRAILER_BYTES:-4] != _TRAILER or raw[-4:] != raw[1:5]:
                self.ctx.reject(raw, "a record without its trailer")
                continue
            try:
                record = _record(raw)
            except (struct.error, ValueError, IndexError) as error:
                self.ctx.reject(raw, f"a record that is damaged: {error}")
                continue
            yield record


def _size(data: bytes, start: int) -> int | None:
    """Return how long the record, or the name of a trail, that begins at `start` is; None when it is not there yet."""
    if data[start] in _HEADERS:
        if len(data) < start + 5:
            return None
        size = int.from_bytes(data[start + 1 : start + 5], "big")
        if size < 18 + _TRAILER_BYTES:
            raise ValueError(f"a record of {size} bytes: the trail is damaged here")
        return size
    if data[start] == 0x11:
        return 11 + int.from_bytes(data[start + 9 : start + 11], "big") if len(data) >= start + 11 else None
    raise ValueError(f"a token {data[start]:02x}, where a record begins: the trail is damaged here")


def _record(raw: bytes) -> Record:
    has_host, wide = _HEADERS[raw[0]]
    event, modifier = struct.unpack_from(">HH", raw, 6)
    at = 10
    record: dict[str, JsonValue] = {}
    if has_host:
        record["host"], at = _address(raw, at)
    seconds, milliseconds = struct.unpack_from(">QQ" if wide else ">II", raw, at)
    at += 16 if wide else 8
    tokens: list[JsonValue] = []
    end = len(raw) - _TRAILER_BYTES
    while at < end:
        token, following = _token(raw, at)
        if token is None or following > end:
            return {
                **_head(seconds, milliseconds, event, modifier),
                **record,
                "tokens": tokens,
                "rest": _data(raw[at:end]),
            }
        tokens.append(token)
        at = following
    return {**_head(seconds, milliseconds, event, modifier), **record, "tokens": tokens}


def _head(seconds: int, milliseconds: int, event: int, modifier: int) -> dict[str, JsonValue]:
    return {"timestamp": from_epoch(seconds * 1000 + milliseconds, 1000), "event": event, "modifier": modifier}


def _token(raw: bytes, at: int) -> tuple[dict[str, JsonValue] | None, int]:
    """Return the token at a place and where it ends; None when it is not known."""
    kind, at = raw[at], at + 1
    if kind in _TEXTS:
        text, at = _text(raw, at)
        return {"token": _TEXTS[kind], _TEXTS[kind]: text}, at
    if kind in _NUMBERS:
        name, layout, names = _NUMBERS[kind]
        numbers = dict(zip(names, struct.unpack_from(layout, raw, at), strict=True))
        return {"token": name, **numbers}, at + struct.calcsize(layout)
    if kind in _ARGUMENTS:
        number, value = struct.unpack_from(_ARGUMENTS[kind], raw, at)
        text, at = _text(raw, at + struct.calcsize(_ARGUMENTS[kind]))
        return {"token": "argument", "number": number, "value": value, "text": text}, at
    if kind in _LISTS:
        count, at = struct.unpack_from(">I", raw, at)[0], at + 4
        texts: list[JsonValue] = []
        for _ in range(count):
            stop = raw.index(b"\x00", at)
            texts.append(_decoded(raw[at:stop]))
            at = stop + 1
        return {"token": _LISTS[kind], _LISTS[kind]: texts}, at
    if kind in _SUBJECTS:
        return _subject(raw, at, *_SUBJECTS[kind])
    if kind == 0x29:
        size = struct.unpack_from(">H", raw, at)[0]
        return {"token": "opaque", "data": _data(raw[at + 2 : at + 2 + size])}, at + 2 + size
    if kind == 0x2A:
        return {"token": "address", "address": str(ip_address(raw[at : at + 4]))}, at + 4
    return None, at


def _subject(raw: bytes, at: int, name: str, port_bytes: int, extended: bool) -> tuple[dict[str, JsonValue], int]:
    numbers: dict[str, JsonValue] = dict(zip(_SUBJECT, struct.unpack_from(">7I", raw, at), strict=True))
    at += 28
    port = int.from_bytes(raw[at : at + port_bytes], "big")
    at += port_bytes
    address, at = _address(raw, at) if extended else (str(ip_address(raw[at : at + 4])), at + 4)
    return {"token": name, **numbers, "terminal_port": port, "terminal_address": address}, at


def _address(raw: bytes, at: int) -> tuple[str, int]:
    size = struct.unpack_from(">I", raw, at)[0]
    if size not in {4, 16}:
        raise ValueError(f"an address of {size} bytes")
    return str(ip_address(raw[at + 4 : at + 4 + size])), at + 4 + size


def _text(raw: bytes, at: int) -> tuple[str, int]:
    size = struct.unpack_from(">H", raw, at)[0]
    return _decoded(raw[at + 2 : at + 2 + size].rstrip(b"\x00")), at + 2 + size


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _data(raw: bytes) -> str:
    return b64encode(raw).decode()


def new_processor() -> StreamProcessor:
    return each_stream(BsmStream)
