"""Write `examples/logs/events.trc`: a trace in the format of `examples/plugins/trace.py`.

    python examples/make_trace.py [FILE [EVENTS]]

One event is damaged on purpose: its checksum does not hold.
"""

import sys
import zlib
from datetime import UTC, datetime
from pathlib import Path

HEADER = b"\x89TRC\x01" + int(datetime(2024, 5, 17, 10, 5, 3, tzinfo=UTC).timestamp() * 1000).to_bytes(8, "big")
DEFINITION, EVENT, CLOCK = 1, 2, 3
NAMES = ("boot", "connect", "request", "response", "disconnect")


def varint(number: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first; all but the last have the high bit set."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(parts) + bytes([number])


def block(kind: int, body: bytes) -> bytes:
    """Return one block as bytes."""
    return bytes([kind]) + varint(len(body)) + body + zlib.crc32(bytes([kind]) + body).to_bytes(4, "big")


def trace(events: int = 40, damaged: int | None = 25) -> bytes:
    """Return a whole trace, of which event `damaged`, from 0, has one bit turned over."""
    parts = [HEADER]
    for number in range(events):
        name = number % len(NAMES)
        if number < len(NAMES):
            parts.append(block(DEFINITION, varint(name) + NAMES[name].encode()))
        elif number % 10 == 0:
            parts.append(block(CLOCK, (time_of(number - 1)).to_bytes(8, "big")))
        event = bytearray(block(EVENT, varint(time_of(number) - time_of(number - 1)) + varint(name) + varint(number)))
        if number == damaged:
            event[-1] ^= 1
        parts.append(bytes(event))
    return b"".join(parts)


def time_of(number: int) -> int:
    """Return when an event happens, in milliseconds since 1970."""
    return int.from_bytes(HEADER[5:], "big") + (number + 1) * (number + 2) // 2 * 7


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "logs" / "events.trc"
    target.write_bytes(trace(int(sys.argv[2])) if len(sys.argv) > 2 else trace())
