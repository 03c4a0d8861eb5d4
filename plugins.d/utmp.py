# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "utmp"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Linux' utmp, wtmp and btmp: logins, logouts, boots, failed logins."
# framing = "stream"
#
# [tool.hostd.accepts]
# names = ["utmp*", "wtmp*", "btmp*"]
# head = '\A[\x00-\x09]\x00\x00\x00'
# priority = -10
#
# [[tool.hostd.samples]]
# name = "wtmp"
# encoding = "base64"
# input = """\
#   BwAAAHwKAABwdHMvMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAC8wAABkYW5hAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAGV4YW1wbGUu\
#   Y29tAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
#   AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
#   AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\
#   AwAAAM8rR2bXxAoAwAACBwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"""
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.705751Z", "type": 7, "type_name": "user_process", "pid": 2684, "line":
#    "pts/0", "id": "/0", "user": "dana", "host": "example.com", "ip": "192.0.2.7", "session": 3,
#    "exit_termination": 0, "exit_status": 0}''',
# ]
# ///
"""The login records of Linux (`struct utmp` of glibc, little-endian, 384 bytes): utmp, wtmp, btmp.

Keys: `timestamp`, `type` (a number) and `type_name`, `pid`, `line` (the terminal), `id`, `user`, `host`, `ip`,
`session`, `exit_termination`, `exit_status`. An empty address is null. A record of no known type is rejected.
"""

import struct
from collections.abc import Iterator
from ipaddress import ip_address

from contract import ByteStream, JsonValue, Record, StreamProcessor, each_stream, from_epoch

_LAYOUT = struct.Struct("<hxxi32s4s32s256shhiii16s20x")
_TYPES = (
    *("empty", "run_level", "boot_time", "new_time", "old_time", "init_process", "login_process", "user_process"),
    *("dead_process", "accounting"),
)


class UtmpStream(ByteStream):
    def take(self, data: bytes, final: bool) -> Iterator[Record]:
        for start in range(0, len(data) - _LAYOUT.size + 1, _LAYOUT.size):
            self.used = start + _LAYOUT.size
            raw = data[start : self.used]
            kind, pid, line, key, user, host, termination, status, session, sec, usec, address = _LAYOUT.unpack(raw)
            if not 0 <= kind < len(_TYPES) or not 0 <= usec < 1_000_000:
                self.ctx.reject(raw, f"not a login record: type {kind}, {usec} microseconds")
                continue
            yield {
                "timestamp": from_epoch((sec & 0xFFFFFFFF) * 1_000_000 + usec, 1_000_000),
                "type": kind,
                "type_name": _TYPES[kind],
                "pid": pid,
                "line": _text(line),
                "id": _text(key),
                "user": _text(user),
                "host": _text(host),
                "ip": _address(address),
                "session": session,
                "exit_termination": termination,
                "exit_status": status,
            }


def _text(field: bytes) -> str:
    return field.partition(b"\x00")[0].decode("utf-8", "backslashreplace")


def _address(field: bytes) -> JsonValue:
    if not any(field):
        return None
    return str(ip_address(field if any(field[4:]) else field[:4]))


def new_processor() -> StreamProcessor:
    return each_stream(UtmpStream)
