"""Where the records of batches lie, and many of these in few bytes. Pure.

What is packed and unpacked is the same, to the byte; what is joined before says less, and nothing wrong.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

SAMPLE_BYTES = 32
JOIN_BYTES = 256 << 10
"""Up to how many bytes of a source neighbours are joined: what was written line by line costs no more than the rest."""


class Place(NamedTuple):
    """Bytes `start` to `end` of a sink's file are the records made of bytes `begin` to `until` of a source.

    `at` is when, in milliseconds since 1970. `head` and `tail` are check sums of their first and last bytes.
    """

    start: int
    end: int
    records: int
    source: int
    begin: int
    until: int
    generation: int
    at: int
    head: int
    tail: int

    def moved(self, start: int) -> "Place":
        """Return the same records at another place in the file."""
        return self._replace(start=start, end=start + self.end - self.start)


def samples(lines: bytes | bytearray | memoryview) -> tuple[int, int]:
    """Return the check sums by which records are known again: of their first and their last bytes."""
    return zlib.crc32(lines[:SAMPLE_BYTES]) & 0xFFFF, zlib.crc32(lines[-SAMPLE_BYTES:]) & 0xFFFF


def joined(rows: Iterable[Place]) -> list[Place]:
    """Return the rows with neighbours made one that go on in the source and in the file, up to `JOIN_BYTES`."""
    result: list[Place] = []
    for row in rows:
        last = result[-1] if result else None
        if (
            last is not None
            and (last.source, last.until, last.end, last.generation)
            == (row.source, row.begin, row.start, row.generation)
            and row.until - last.begin <= JOIN_BYTES
            and _can_be_sampled(last)
            and _can_be_sampled(row)
        ):
            result[-1] = last._replace(
                end=row.end,
                records=last.records + row.records,
                until=row.until,
                at=row.at,
                head=last.head if last.records else row.head,
                tail=row.tail if row.records else last.tail,
            )
        else:
            result.append(row)
    return result


def _can_be_sampled(row: Place) -> bool:
    """Tell whether the samples of a row are those of a longer one that begins or ends with it."""
    return row.start == row.end or row.end - row.start >= SAMPLE_BYTES


def pack(rows: Sequence[Place]) -> bytes:
    """Return the rows as bytes, each column as the differences that are mostly nothing."""
    reached: dict[int, int] = {}
    end = generation = at = 0
    columns: list[list[int]] = [[] for _ in Place._fields]
    for row in rows:
        values = (
            row.start - end,
            row.end - row.start,
            row.records,
            row.source,
            row.begin - reached.get(row.source, 0),
            row.until - row.begin,
            row.generation - generation,
            row.at - at,
            row.head,
            row.tail,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
        end, generation, at = row.end, row.generation, row.at
        reached[row.source] = row.until
    flat = [value for column in columns for value in column]
    return zlib.compress(struct.pack(f"<{len(flat)}q", *flat))


def unpack(body: bytes) -> list[Place]:
    """Return the rows that `pack` was given."""
    content = zlib.decompress(body)
    flat = struct.unpack(f"<{len(content) // 8}q", content)
    count = len(flat) // len(Place._fields)
    columns = (flat[number * count : (number + 1) * count] for number in range(len(Place._fields)))
    reached: dict[int, int] = {}
    end = generation = at = 0
    rows = []
    for gap, length, records, source, skip, size, newer, later, head, tail in zip(*columns, strict=True):
        start, begin = end + gap, reached.get(source, 0) + skip
        end, until, generation, at = start + length, begin + size, generation + newer, at + later
        reached[source] = until
        rows.append(Place(start, end, records, source, begin, until, generation, at, head, tail))
    return rows
