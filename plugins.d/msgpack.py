# /// script
# requires-python = ">=3.11"
# dependencies = ["msgspec"]
#
# [tool.hostd]
# name = "msgpack"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "MessagePack: one value after another, also as Fluent Bit and Fluentd write events."
# accepts = { names = ["*.mp", "*.msgpack", "*.mpk"], priority = -30 }
# framing = "stream"
# limits = { snapshot_kib = 16384 }
#
# [[tool.hostd.samples]]
# name = "a.msgpack"
# encoding = "base64"
# input = """\
#   g6FhAaFik8PAyz/4AAAAAAAAoWPEAgD/ktcAZkcrzwAAAI+Bo2xvZ6RzYWlkks5mRyvQgaF4oXmkdGV4dJIBAg=="""
# records = [
#   '''{"a": 1, "b": [true, null, 1.5], "c": "AP8="}''',
#   '''{"timestamp": "2024-05-17T10:05:03.000000143Z", "log": "said"}''',
#   '''{"timestamp": "2024-05-17T10:05:04Z", "x": "y"}''',
#   '''{"value": "text"}''',
#   '''{"value": [1, 2]}''',
# ]
# ///
"""MessagePack: one value after another.

Keys: a map is a record with its own keys; `[time, map]` and `[[time, metadata], map]`, as Fluentd and Fluent Bit
have events, is one with `timestamp` too; any other value is the record's `value`. Bytes become base64. A value that
is damaged ends the stream.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from contract import ByteStream, JsonValue, Record, StreamProcessor, each_stream, from_epoch

_MOST_DEPTH = 100
_LENGTHS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
"""Of bytes, extensions and text: how many bytes say the length."""
_FIXED = {
    0xC0: 0,
    0xC2: 0,
    0xC3: 0,
    0xCA: 4,
    0xCB: 8,
    0xCC: 1,
    0xCD: 2,
    0xCE: 4,
    0xCF: 8,
    0xD0: 1,
    0xD1: 2,
    0xD2: 4,
    0xD3: 8,
    0xD4: 2,
    0xD5: 3,
    0xD6: 5,
    0xD7: 9,
    0xD8: 17,
}
_COUNTS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""Of arrays and maps: how many bytes say the count, and how many values each of them has."""


class MessagePackStream(ByteStream):
    def take(self, data: bytes, final: bool) -> Iterator[Record]:
        while self.used < len(data):
            end = _end(data, self.used)
            if end is None:
                return
            raw, self.used = data[self.used : end], end
            try:
                record = _record(msgspec.msgpack.decode(raw, ext_hook=_extension))
            except (msgspec.DecodeError, ValueError) as error:
                self.ctx.reject(raw, f"not MessagePack that can be a record: {error}")
                continue
            yield record


def _end(data: bytes, start: int) -> int | None:
    """Return where the value that begins at `start` ends, None when it is not all there."""
    position, open_values = start, [1]
    while open_values:
        if open_values[-1] == 0:
            open_values.pop()
            continue
        open_values[-1] -= 1
        if position >= len(data):
            return None
        first = data[position]
        position += 1
        if 0x80 <= first <= 0x9F:
            open_values.append((first & 15) * (1 if first >= 0x90 else 2))
        elif 0xA0 <= first <= 0xBF:
            position += first & 31
        elif first in _FIXED:
            position += _FIXED[first]
        elif first in _LENGTHS:
            width = _LENGTHS[first]
            position += width + int.from_bytes(data[position : position + width], "big") + (0xC7 <= first <= 0xC9)
        elif first in _COUNTS:
            width, values = _COUNTS[first]
            open_values.append(int.from_bytes(data[position : position + width], "big") * values)
            position += width
        elif first == 0xC1:
            raise ValueError(f"a byte c1 at {position - 1}, which MessagePack never uses: the stream is damaged here")
        if len(open_values) > _MOST_DEPTH:
            raise ValueError(f"nested over {_MOST_DEPTH} deep at {start}")
    return position if position <= len(data) else None


def _extension(code: int, data: memoryview) -> Any:
    if code == 0 and len(data) == 8:  # Fluentd's EventTime
        seconds, nanoseconds = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:], "big")
        return from_epoch(seconds * 10**9 + nanoseconds, 10**9)
    return {"extension": code, "data": bytes(data)}


def _record(value: Any) -> Record:
    if isinstance(value, dict):
        return _named(value)
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], dict):
        time = value[0][0] if isinstance(value[0], list) and value[0] else value[0]
        if isinstance(time, datetime):
            return {"timestamp": time.isoformat().replace("+00:00", "Z"), **_named(value[1])}
        if isinstance(time, str) or (isinstance(time, int | float) and not isinstance(time, bool)):
            return {"timestamp": time if isinstance(time, str) else from_epoch(time), **_named(value[1])}
    return {"value": _plain(value)}


def _named(value: dict[Any, Any]) -> dict[str, JsonValue]:
    """A key that is not text, which JSON has not, as its text; in the maps below too."""
    return {name if isinstance(name, str) else str(name): _plain(item) for name, item in value.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return _named(value)
    return [_plain(item) for item in value] if isinstance(value, list) else value


def new_processor() -> StreamProcessor:
    return each_stream(MessagePackStream)
