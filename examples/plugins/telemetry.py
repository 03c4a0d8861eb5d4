# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "telemetry"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "A binary format of our own: readings of sensors, each with a checksum."
# accepts = { head = '\A\x89TLM\x01' }
# framing = "whole"
#
# [[tool.hostd.samples]]
# input = "iVRMTQEAGQAAAY+GAyCYAAcBQDWAAAAAAABib2lsZXK756S4"
# encoding = "base64"
#
# [[tool.hostd.samples.records]]
# timestamp = "2024-05-17T10:05:03.000Z"
# sensor = 7
# status = "ok"
# value = 21.5
# label = "boiler"
# ///
r"""Telemetry, version 1: a binary format, to show that a plugin is not limited to text.

All numbers are big-endian. A file is the magic `89 54 4C 4D` ("\x89TLM"), a version byte, and records:

    length   uint16   of the body
    body     uint64   time, in milliseconds since 1970-01-01 UTC
             uint16   sensor
             uint8    status: 1 ok, 2 stale, 3 failed
             float64  value
             UTF-8    label, the rest of the body
    crc      uint32   CRC-32 of the body

A record whose checksum does not hold is rejected alone. `examples/make_telemetry.py` writes such a file.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime

from contract import Context, Record

MAGIC = b"\x89TLM"
VERSION = 1
_LENGTH = struct.Struct(">H")
_BODY = struct.Struct(">QHBd")
_CRC = struct.Struct(">I")
_STATUSES = {1: "ok", 2: "stale", 3: "failed"}


class TelemetryProcessor:
    def parse(self, data: bytes, ctx: Context) -> Iterator[Record]:
        position = _after_preamble(data)
        while position < len(data):
            body_start = position + _LENGTH.size
            length = int.from_bytes(data[position:body_start], "big")
            body_end = body_start + length
            end = body_end + _CRC.size
            raw = data[position:end]
            position = end
            if end > len(data):
                ctx.reject(raw, f"the file ends inside this record: it needs {end - len(data)} bytes more")
                return
            body = data[body_start:body_end]
            (expected,) = _CRC.unpack_from(data, body_end)
            found = zlib.crc32(body)
            if found != expected:
                ctx.reject(raw, f"CRC-32 is {found:08x}, but the record says {expected:08x}")
                continue
            try:
                yield _record(body)
            except (struct.error, ValueError, OverflowError) as error:
                ctx.reject(raw, f"a record of {length} bytes that makes no sense: {error}")


def _after_preamble(data: bytes) -> int:
    # What was rejected comes back by itself, once the plugin is mended: a record has no preamble.
    if not data.startswith(MAGIC):
        return 0
    version = data[len(MAGIC) : len(MAGIC) + 1]
    if version != bytes([VERSION]):
        raise ValueError(f"version {version.hex() or 'missing'} of the format; this plugin reads version {VERSION}")
    return len(MAGIC) + 1


def _record(body: bytes) -> Record:
    time_ms, sensor, status, value = _BODY.unpack_from(body)
    time = datetime.fromtimestamp(time_ms // 1000, UTC).replace(microsecond=time_ms % 1000 * 1000)
    return {
        "timestamp": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "sensor": sensor,
        "status": _STATUSES.get(status, str(status)),
        "value": value if math.isfinite(value) else None,
        "label": body[_BODY.size :].decode("utf-8", "backslashreplace"),
    }


def new_processor() -> TelemetryProcessor:
    return TelemetryProcessor()
