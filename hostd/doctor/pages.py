"""Rows of a broken SQLite database, read from its pages one by one, without the trees that lead to them.

The file format is that of https://www.sqlite.org/fileformat2.html. A page of rows tells what it is by itself; what its
parents, the header or the schema say is not needed. Pages on the list of free ones are left out: their rows are old.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

Value = Any
"""What SQLite stores: int, float, str, bytes or None."""

LEAF = 0x0D
DEFAULT_PAGE = 4096
HEADER = 100
WAL_HEADER, FRAME_HEADER = 32, 24
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class Row(Struct, frozen=True):
    """One row as it is stored: its number in its table, and its values."""

    rowid: int
    values: tuple[Value, ...]


class Pages:
    """The pages of a database: those in its log, as far as they were committed, in front of those in its file."""

    def __init__(self, path: Path) -> None:
        self._content = path.read_bytes()
        self._size = _page_size(self._content)
        self._logged = _committed(Path(f"{path}-wal"), self._size)
        self._count = max([len(self._content) // self._size, *self._logged])

    def rows(self) -> Iterator[Row]:
        """Yield each row of each page that holds rows; what makes no sense is left out."""
        free = set(self._free())
        for number in range(1, self._count + 1):
            page = self._page(number)
            start = HEADER if number == 1 else 0
            if number not in free and len(page) == self._size and page[start] == LEAF:
                yield from self._rows_of(page, start)

    def _page(self, number: int) -> bytes:
        logged = self._logged.get(number)
        return logged if logged is not None else self._content[(number - 1) * self._size : number * self._size]

    def _free(self) -> Iterator[int]:
        trunk = struct.unpack(">I", self._page(1)[32:36])[0] if len(self._page(1)) >= HEADER else 0
        seen: set[int] = set()
        while 0 < trunk <= self._count and trunk not in seen:
            seen.add(trunk)
            page = self._page(trunk)
            following, count = struct.unpack(">II", page[:8])
            yield trunk
            count = min(count, (self._size - 8) // 4)
            yield from struct.unpack(f">{count}I", page[8 : 8 + 4 * count])
            trunk = following

    def _rows_of(self, page: bytes, start: int) -> Iterator[Row]:
        count = struct.unpack(">H", page[start + 3 : start + 5])[0]
        for cell in range(min(count, self._size // 4)):
            place = start + 8 + 2 * cell
            try:
                offset = struct.unpack(">H", page[place : place + 2])[0]
                length, offset = _varint(page, offset)
                rowid, offset = _varint(page, offset)
                yield Row(_signed(rowid), _record(self._payload(page, offset, length)))
            except (IndexError, ValueError, struct.error):
                continue  # this cell is among what is broken

    def _payload(self, page: bytes, offset: int, length: int) -> bytes:
        """Return a row's bytes, of which a long one has a part on pages of its own. Raises ValueError."""
        if length > self._count * self._size:
            raise ValueError("a row is longer than all pages")
        most, least = self._size - 35, (self._size - 12) * 32 // 255 - 23
        if length <= most:
            return _whole(page[offset : offset + length], length)
        here = least + (length - least) % (self._size - 4)
        here = here if here <= most else least
        parts = [page[offset : offset + here]]
        following = struct.unpack(">I", page[offset + here : offset + here + 4])[0]
        left = length - here
        while left > 0 and 0 < following <= self._count:
            more = self._page(following)
            if len(more) != self._size:
                break
            parts.append(more[4 : 4 + left])
            left -= len(parts[-1])
            following = struct.unpack(">I", more[:4])[0]
        return _whole(b"".join(parts), length)


def _page_size(content: bytes) -> int:
    size = struct.unpack(">H", content[16:18])[0] if len(content) >= HEADER else 0
    size = 65536 if size == 1 else size
    return size if size >= 512 and size & (size - 1) == 0 and content.startswith(b"SQLite format 3\0") else DEFAULT_PAGE


def _committed(path: Path, size: int) -> dict[int, bytes]:
    """Return the last image of each page in a write-ahead log, up to its last commit that is whole."""
    content = path.read_bytes() if path.exists() else b""
    if len(content) < WAL_HEADER:
        return {}
    magic, _, page_size = struct.unpack(">III", content[:12])
    order = {0x377F0682: "<", 0x377F0683: ">"}.get(magic)
    if order is None or page_size != size:
        return {}
    sums = _checksum(content[:24], (0, 0), order)
    committed: dict[int, bytes] = {}
    coming: dict[int, bytes] = {}
    for start in range(WAL_HEADER, len(content) - FRAME_HEADER - size + 1, FRAME_HEADER + size):
        frame, page = content[start : start + FRAME_HEADER], content[start + FRAME_HEADER : start + FRAME_HEADER + size]
        sums = _checksum(page, _checksum(frame[:8], sums, order), order)
        if frame[8:16] != content[16:24] or struct.unpack(">II", frame[16:24]) != sums:
            break  # of an earlier round of the log, or torn: what SQLite would not read either
        number, pages_after = struct.unpack(">II", frame[:8])
        coming[number] = page
        if pages_after:
            committed |= coming
            coming = {}
    return committed


def _checksum(content: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def _varint(content: bytes, offset: int) -> tuple[int, int]:
    """Return a number of variable length, and where it ends. Raises IndexError."""
    value = 0
    for place in range(9):
        byte = content[offset + place]
        if place == 8:
            return (value << 8) | byte, offset + 9
        value = (value << 7) | (byte & 0x7F)
        if byte < 0x80:
            return value, offset + place + 1
    raise AssertionError


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _whole(content: bytes, length: int) -> bytes:
    if len(content) != length:
        raise ValueError("a row is cut short")
    return content


def _record(payload: bytes) -> tuple[Value, ...]:
    """Return the values of a row. Raises ValueError and IndexError."""
    end, offset = _varint(payload, 0)
    types: list[int] = []
    while offset < end:
        kind, offset = _varint(payload, offset)
        types.append(kind)
    if offset != end:
        raise ValueError("the head of a row is broken")
    values: list[Value] = []
    for kind in types:
        value, offset = _value(payload, offset, kind)
        values.append(value)
    if offset != len(payload):
        raise ValueError("a row is longer than its values")
    return tuple(values)


def _value(payload: bytes, offset: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return None, offset
    if kind in (8, 9):
        return kind - 8, offset
    if kind == 7:
        return struct.unpack(">d", payload[offset : offset + 8])[0], offset + 8
    if kind in _INTEGERS:
        length = _INTEGERS[kind]
        return int.from_bytes(_whole(payload[offset : offset + length], length), "big", signed=True), offset + length
    if kind < 12:
        raise ValueError("no value is stored so")
    length = (kind - 12) // 2
    content = _whole(payload[offset : offset + length], length)
    return content if kind % 2 == 0 else content.decode("utf-8"), offset + length
