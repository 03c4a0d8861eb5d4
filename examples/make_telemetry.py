"""Write `examples/logs/telemetry.tlm`: sixty readings in the format of `examples/plugins/telemetry.py`.

    python examples/make_telemetry.py [FILE]

The forty-second reading is damaged on purpose: its checksum does not hold.
"""

import math
import struct
import sys
import zlib
from datetime import UTC, datetime
from pathlib import Path

MAGIC = b"\x89TLM"
VERSION = 1
LABELS = ("boiler", "cooling loop", "Außenluft")


def record(time_ms: int, sensor: int, status: int, value: float, label: str) -> bytes:
    """Return one reading as bytes."""
    body = struct.pack(">QHBd", time_ms, sensor, status, value) + label.encode()
    return struct.pack(">H", len(body)) + body + struct.pack(">I", zlib.crc32(body))


def document(count: int = 60, damaged: int = 41) -> bytes:
    """Return a whole file of `count` readings, of which number `damaged`, from 0, has one bit turned over."""
    start_ms = int(datetime(2024, 5, 17, 10, 5, 3, tzinfo=UTC).timestamp() * 1000)
    records: list[bytes] = []
    for number in range(count):
        sensor = number % len(LABELS)
        value = round(20 + 5 * math.sin(number / 7) + sensor, 2)
        records.append(record(start_ms + number * 250, sensor + 1, 1 if number % 11 else 2, value, LABELS[sensor]))
    if damaged < count:
        turned = bytearray(records[damaged])
        turned[12] ^= 1
        records[damaged] = bytes(turned)
    return MAGIC + bytes([VERSION]) + b"".join(records)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "logs" / "telemetry.tlm"
    target.write_bytes(document())
