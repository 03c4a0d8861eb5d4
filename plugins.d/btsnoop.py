# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "btsnoop"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "Captured Bluetooth packets: btsnoop, as Android and BlueZ write it."
# framing = "stream"
# accepts = { head = '\Abtsnoop\x00\x00\x00\x00\x01', priority = -10 }
# limits = { snapshot_kib = 16384 }
#
# [[tool.hostd.samples]]
# name = "btsnoop_hci.log"
# encoding = "base64"
# input = """\
#   YnRzbm9vcAAAAAABAAAD6gAAAAQAAAAEAAAAAgAAAAAA4vZWi2kAWQEDDAAAAAAJAAAAAgAAAAMAAAAAAOL2VotpAFkEDg=="""
# records = [
#   '''{"timestamp": "2024-05-17T10:05:03.143001Z", "captured": 4, "length": 4, "link_type": 1002, "direction":
#    "sent", "kind": "command", "flags": 2, "drops": 0, "data": "AQMMAA=="}''',
#   '''{"timestamp": "2024-05-17T10:05:03.143001Z", "captured": 2, "length": 9, "link_type": 1002, "direction":
#    "received", "kind": "event", "flags": 3, "drops": 0, "data": "BA4="}''',
# ]
# ///
"""Captured Bluetooth packets.

Keys: `timestamp`, `captured` and `length` in bytes, `link_type` (1001 HCI, 1002 HCI UART, 1003 BCSP, 1004 serial, 2001
BlueZ' monitor), `direction` (`sent`, `received`) and `kind` (`data`, `command`, `event`) of the flags, `flags`, `drops`
(how many packets were lost until then), and `data`, in base64. Of BlueZ' monitor the flags are the adapter and the
opcode.
"""

import struct
from base64 import b64encode
from collections.abc import Iterator
from typing import Final

from contract import ByteStream, JsonValue, Record, StreamProcessor, each_stream, from_epoch

_MAGIC: Final = b"btsnoop\x00"
_PACKET: Final = struct.Struct(">IIIIq")
_YEAR_1970_US: Final = 0x00DCDDB30F2F8000
"""The times count from the year 0."""
_MONITOR: Final = 2001
_MOST_BYTES: Final = 8 << 20


class BtsnoopStream(ByteStream):
    """`kept` holds the `link_type`."""

    def take(self, data: bytes, final: bool) -> Iterator[Record]:
        if not self.kept:
            if len(data) < 16:
                return
            version, link_type = struct.unpack_from(">II", data, 8)
            if not data.startswith(_MAGIC) or version != 1:
                raise ValueError(f"begins with {data[:12].hex(' ')}, which is no btsnoop of version 1")
            self.kept, self.used = {"link_type": link_type}, 16
        while self.used + _PACKET.size <= len(data):
            length, captured, flags, drops, time = _PACKET.unpack_from(data, self.used)
            if captured > _MOST_BYTES:
                raise ValueError(f"a packet of {captured} bytes: the capture is damaged here")
            start, end = self.used + _PACKET.size, self.used + _PACKET.size + captured
            if end > len(data):
                return
            raw, self.used = data[self.used : end], end
            try:
                timestamp = from_epoch(time - _YEAR_1970_US, 10**6)
            except ValueError as error:
                self.ctx.reject(raw, str(error))
                continue
            yield {
                "timestamp": timestamp,
                "captured": captured,
                "length": length,
                "link_type": self.kept["link_type"],
                **_meaning(flags, self.kept["link_type"]),
                "flags": flags,
                "drops": drops,
                "data": b64encode(data[start:end]).decode(),
            }


def _meaning(flags: int, link_type: int) -> dict[str, JsonValue]:
    if link_type == _MONITOR:
        return {}
    received = flags & 1
    kind = ("event" if received else "command") if flags & 2 else "data"
    return {"direction": "received" if received else "sent", "kind": kind}


def new_processor() -> StreamProcessor:
    return each_stream(BtsnoopStream)
