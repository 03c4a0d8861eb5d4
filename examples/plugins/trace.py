# /// script
# requires-python = ">=3.11"
# dependencies = []
#
# [tool.hostd]
# name = "trace"
# version = "1.0.0"
# contract = ">=1.0,<2"
# summary = "A binary stream of our own: names are defined once, and times count from the event before."
# accepts = { head = '\A\x89TRC\x01' }
# framing = "stream"
#
# [[tool.hostd.samples]]
# input = "iVRSQwEAAAGPhgMgmAEFAWJvb3QgVypuAgMFASpPJi3rAwgAAAGPhgM78GwVlhcCBKwCASsNfB6v"
# encoding = "base64"
# records = [
#     { timestamp = "2024-05-17T10:05:03.005Z", event = "boot", number = 42 },
#     { timestamp = "2024-05-17T10:05:10.300Z", event = "boot", number = 43 },
# ]
# ///
r"""Traces: a binary stream whose records depend on what came before, to show what a stream processor is.

A file is the magic `89 54 52 43 01` ("\x89TRC", version 1), the time at which it begins (uint64, big-endian, in
milliseconds since 1970-01-01 UTC), and blocks:

    kind     uint8
    length   varint   of the body
    body     1, a definition: varint identifier, then UTF-8: what events call by that number
             2, an event: varint milliseconds since the event before, varint identifier, varint number
             3, the clock: uint64, in milliseconds since 1970-01-01 UTC
    crc      uint32   CRC-32 of kind and body

So an event says neither its time nor its name in full: both depend on all that was read before, wherever the daemon
cuts the file. A block whose checksum does not hold is rejected alone; from then on times are uncertain, until the next
clock. `examples/make_trace.py` writes such a file.
"""

import json
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime

from contract import Context, Record

MAGIC = b"\x89TRC\x01"
HEADER_BYTES = len(MAGIC) + 8
DEFINITION, EVENT, CLOCK = 1, 2, 3
MAX_BODY_BYTES = 1 << 16
LAYOUT = b"\x01"
"""The first byte of a snapshot: which layout the rest has."""


class TraceStream:
    def __init__(self, ctx: Context, state: bytes | None) -> None:
        self._ctx = ctx
        self._rest = b""
        self._time_ms: int | None = None
        self._is_certain = True
        self._names: dict[int, str] = {}
        if state is not None:
            if not state.startswith(LAYOUT):
                raise ValueError(f"a snapshot of layout {state[:1].hex()}; this version reads layout {LAYOUT.hex()}")
            fields, _, self._rest = state.removeprefix(LAYOUT).partition(b"\n")
            self._time_ms, self._is_certain, names = json.loads(fields)
            self._names = {int(number): name for number, name in names.items()}

    def snapshot(self) -> bytes:
        fields = json.dumps([self._time_ms, self._is_certain, self._names])
        return LAYOUT + fields.encode() + b"\n" + self._rest

    def feed(self, data: bytes, final: bool) -> Iterator[Record]:  # noqa: FBT001
        data = self._rest + data
        position = 0
        if self._time_ms is None and len(data) >= HEADER_BYTES:
            if not data.startswith(MAGIC):
                raise ValueError(f"begins with {data[: len(MAGIC)].hex(' ')}, which is no trace of version 1")
            self._time_ms = int.from_bytes(data[len(MAGIC) : HEADER_BYTES], "big")
            position = HEADER_BYTES
        while self._time_ms is not None and (end := _end_of_block(data, position)) is not None:
            yield from self._block(data[position:end])
            position = end
        self._rest = data[position:]
        if final and self._rest:
            self._ctx.reject(self._rest, "the trace ends inside this block")
            self._rest = b""

    def _block(self, block: bytes) -> Iterator[Record]:
        kind, (_, start) = block[0], _varint(block, 1)
        body, crc = block[start:-4], int.from_bytes(block[-4:], "big")
        if (found := zlib.crc32(bytes([kind]) + body)) != crc:
            self._is_certain = False
            self._ctx.reject(block, f"CRC-32 is {found:08x}, but the block says {crc:08x}")
        elif kind == DEFINITION:
            number, start = _varint(body, 0)
            self._names[number] = body[start:].decode("utf-8", "backslashreplace")
        elif kind == CLOCK:
            self._time_ms, self._is_certain = int.from_bytes(body, "big"), True
        elif kind == EVENT:
            yield self._event(body)
        else:
            self._ctx.reject(block, f"a block of kind {kind}, which version 1 does not have")

    def _event(self, body: bytes) -> Record:
        since_ms, position = _varint(body, 0)
        name, position = _varint(body, position)
        number, _ = _varint(body, position)
        assert self._time_ms is not None
        self._time_ms += since_ms
        time = datetime.fromtimestamp(self._time_ms // 1000, UTC).replace(microsecond=self._time_ms % 1000 * 1000)
        record: dict[str, str | int | bool] = {
            "timestamp": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "event": self._names.get(name, f"#{name}"),
            "number": number,
        }
        return record if self._is_certain else {**record, "uncertain": True}


class TraceProcessor:
    def open(self, ctx: Context, state: bytes | None) -> TraceStream:
        return TraceStream(ctx, state)


def _end_of_block(data: bytes, position: int) -> int | None:
    """Return where the block that begins at `position` ends, or None when it is not all there."""
    length, start = _varint(data, position + 1) if position < len(data) else (0, 0)
    if length > MAX_BODY_BYTES:
        raise ValueError(f"a block of {length} bytes, which is no block: the trace is damaged here")
    end = start + length + 4
    return end if start and end <= len(data) else None


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the number at `position` and where it ends, 0 when it is not all there."""
    number = 0
    for at in range(position, min(position + 9, len(data))):
        number |= (data[at] & 0x7F) << 7 * (at - position)
        if data[at] < 0x80:
            return number, at + 1
    return 0, 0


def new_processor() -> TraceProcessor:
    return TraceProcessor()
