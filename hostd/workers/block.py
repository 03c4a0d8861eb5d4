"""Blocks: records as columns of plain values, which a worker answers instead of JSON lines where a sink wants columns.

A block begins with `MARK`, whose first byte no JSON line has, and the lengths of its head and its body (4 bytes each,
in the machine's order, as all numbers). The head is JSON: how many rows there are, and for each column its name, its
kind, whether values are missing, and how many bytes of the body it has. The body is the columns, each part of them
padded to 8 bytes; a line feed ends it. A column of numbers in which some are missing begins with 1 or 0 for each row.
Then it has, by its kind:

- `text`: the length of each in bytes (4 bytes, -1 for a missing one), and then all of them in UTF-8;
- `int`, `float`: 8 bytes each; floats are finite;
- `bool`: a byte each: 0, 1, or 2 for a missing one.

A column without any value is left out. So a block has a byte at least for each value, and its head is short: what it
unfolds to, and the time that takes, is bounded by its length. Only the standard library is needed to make one. A text
of a type of its own is the text that it is, whatever that makes of `str()`.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from io import RawIOBase
from math import isfinite
from typing import Any, NamedTuple

MARK = b"\xffhC\n"
HEAD = struct.Struct("=4sII")
BOOL, INT, FLOAT, TEXT = "bool", "int", "float", "text"
LEAST_ROWS = 64
"""Fewer are JSON lines: a block of them costs more to make and to read than it saves."""
MOST_ROWS = 1 << 16
MOST_COLUMNS = 1024
MOST_HEAD_BYTES = 64 << 10
"""A head is decoded in one go, in which no other thread of the daemon runs."""
WINDOW_BYTES = 8 << 20
"""How much of a file is read at once: memory that is used again costs less than new memory for all of it."""
_ALIGNED = 8
_WIDTHS = {TEXT: 4, INT: 8, FLOAT: 8, BOOL: 1}


class Column(NamedTuple):
    """A column of a block. `kind` is one of the four; of numbers `has_missing` says that some are missing."""

    name: str
    kind: str
    has_missing: bool
    content: memoryview


class Block(NamedTuple):
    """What a block holds, not looked into yet but for the places of its columns; `raw` is all of it."""

    rows: int
    columns: list[Column]
    raw: memoryview


class Packed(NamedTuple):
    """A column on its way into a block."""

    kind: str
    parts: Sequence[bytes]
    has_missing: bool = False


NOTHING = Packed(TEXT, ())
"""A column without any value, which is left out."""


def pack_rows(names: Sequence[str], rows: Sequence[Sequence[Any]], last: tuple[str, str] | None) -> bytes | None:
    """Return the block of some rows, with a column `last` of one text; None where only JSON holds what is in them.

    These are values that nest, integers of more than 64 bits, floats that are not finite, columns of several kinds,
    types of a plugin's own; also rows of another width, and whatever else has to fail.
    """
    every = names if last is None else (*names, last[0])
    width = len(names)
    if not LEAST_ROWS <= len(rows) <= MOST_ROWS or set(map(len, rows)) != {width}:
        return None
    if len(set(every)) < len(every) or set(map(type, names)) != {str}:
        return None
    flat: list[Any] = []
    for row in rows:
        flat += row  # and slices of it: two thirds of the time that zip(*rows) takes
    columns: list[tuple[str, Packed]] = []
    for place, name in enumerate(names):
        try:
            packed = _column(flat[place::width])
        except (OverflowError, UnicodeEncodeError):  # an integer of more than 64 bits, or a lone surrogate
            return None
        if packed is None:
            return None
        if packed is not NOTHING:
            columns.append((name, packed))
    return pack(columns, len(rows), last)


def pack(columns: list[tuple[str, Packed]], rows: int, last: tuple[str, str] | None) -> bytes | None:
    """Return the block of columns that are packed, with a column `last` of one text; None where there is no column."""
    head: list[Any] = [rows, []]
    body: list[bytes] = []
    try:
        if last is not None:
            text = last[1].encode()
            columns.append((last[0], Packed(TEXT, (_packed("i", [len(text)]) * rows, text * rows))))
        for name, packed in columns:
            size = 0
            for part in packed.parts:
                padding = bytes(-len(part) % _ALIGNED)
                size += len(part) + len(padding)
                body += part, padding
            head[1].append([name, packed.kind, packed.has_missing, size])
        named = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return None
    if not columns or len(columns) > MOST_COLUMNS:
        return None
    named += b" " * (-(HEAD.size + len(named)) % _ALIGNED)
    if len(named) > MOST_HEAD_BYTES:
        return None
    return b"".join((HEAD.pack(MARK, len(named), sum(map(len, body)) + 1), named, *body, b"\n"))


def split(content: bytes | bytearray, end: int | None = None) -> Iterator[Block | memoryview]:
    """Yield the blocks and, as they are, the JSON lines between them, in their order, up to `end`.

    What begins like a block and is none is taken for lines, up to where the next one begins.
    """
    view = memoryview(content)[:end]
    start = at = 0
    while (at := content.find(MARK, at, len(view))) >= 0:
        found = _unpack(content, view, at) if at == start or content[at - 1] == 0x0A else None
        if found is None:
            at += 1
            continue
        if start < at:
            yield view[start:at]
        yield found
        start = at = at + len(found.raw)
    if start < len(view):
        yield view[start:]


def windows(file: RawIOBase) -> Iterator[tuple[bytearray, int]]:
    """Yield what a file holds in pieces that cut no block and no line, each with its length, until the next is read."""
    buffer, held = bytearray(WINDOW_BYTES), 0
    while count := file.readinto(memoryview(buffer)[held:]):
        held += count
        end = _end_of_whole(buffer, held)
        if end:
            yield buffer, end
            held -= end
            buffer[:held] = buffer[end : end + held]
        elif held == len(buffer):
            buffer = buffer + bytes(len(buffer))
    if held:
        yield buffer, held


def count_records(chunk: bytes | bytearray) -> int:
    """Return how many records there are in JSON lines with blocks among them."""
    if MARK not in chunk:
        return chunk.count(b"\n")
    parts = split(bytes(chunk))
    return sum(part.rows if isinstance(part, Block) else bytes(part).count(b"\n") for part in parts)


def parts_of(column: Column, rows: int) -> tuple[memoryview, memoryview, memoryview]:
    """Return who is there, if that is said; then numbers, or the lengths of texts; then the texts, and their padding.

    Raises ValueError where there is less than that.
    """
    there, rest = _cut(column.content, rows if column.has_missing else 0)
    values, rest = _cut(rest, rows * _WIDTHS[column.kind])
    return there, values, rest


def _unpack(content: bytes | bytearray, view: memoryview, at: int) -> Block | None:
    """Return the block at a place of some content, which `view` is of; None where there is none."""
    if len(view) - at < HEAD.size:
        return None
    _, head_length, body_length = HEAD.unpack(view[at : at + HEAD.size])
    place = at + HEAD.size + head_length
    end = place + body_length
    if head_length > MOST_HEAD_BYTES or end > len(view) or not body_length or view[end - 1] != 0x0A:
        return None
    if content.find(MARK[:1], at + HEAD.size, place) >= 0:  # each byte is looked at once, however many marks there are
        return None
    try:
        rows, named = json.loads(bytes(view[at + HEAD.size : place]))
        columns: list[Column] = []
        if not (type(rows) is int and 0 < rows <= MOST_ROWS and type(named) is list and 0 < len(named) <= MOST_COLUMNS):
            return None
        for name, kind, has_missing, length in named:
            if not (type(name) is str and kind in _WIDTHS and type(has_missing) is bool and length > 0):
                return None
            columns.append(Column(name, kind, has_missing, view[place : place + length]))
            place += length
    except (ValueError, TypeError, RecursionError):
        return None
    return Block(rows, columns, view[at:end]) if place == end - 1 else None


def _end_of_whole(content: bytearray, held: int) -> int:
    """Return where the last line or block ends of those that are all there."""
    end = 0
    while True:
        if content.startswith(MARK, end, held):
            if held - end < HEAD.size:
                return end
            after = end + HEAD.size + sum(HEAD.unpack_from(content, end)[1:])
            if after > held:
                return end
            end = after
        elif (before := content.find(b"\n" + MARK, end, held)) >= 0:
            end = before + 1
        else:
            return max(end, content.rfind(b"\n", end, held) + 1)


def _cut(view: memoryview, length: int) -> tuple[memoryview, memoryview]:
    """Return the first bytes, and what is after their padding. Raises ValueError where there are not as many."""
    if len(view) < length:
        raise ValueError(f"{len(view)} bytes where {length} are to be")
    return view[:length], view[length + -length % _ALIGNED :]


def _packed(code: str, values: Sequence[Any]) -> bytes:
    """Return numbers as bytes. Raises OverflowError."""
    try:
        return struct.pack(f"={len(values)}{code}", *values)
    except struct.error as error:
        raise OverflowError(str(error)) from error


def _column(values: Sequence[Any]) -> Packed | None:
    """Return a column; `NOTHING` where all are missing. Raises OverflowError and UnicodeEncodeError."""
    try:
        return _texts(values, "".join(values))
    except TypeError:
        pass
    there = values
    if None in values:
        there = [value for value in values if value is not None]
        if not there:
            return NOTHING
        if isinstance(there[0], str):
            try:
                return _texts(values, "".join(there))
            except TypeError:
                return None
    return _numbers(values, there)


def _texts(values: Sequence[str | None], joined: str) -> Packed:
    texts: Sequence[Any] = values
    if not joined.isascii():
        texts = [text if text is None else text.encode() for text in values]
    try:
        lengths = list(map(len, texts))
    except TypeError:
        lengths = [-1 if text is None else len(text) for text in texts]
    return Packed(TEXT, (_packed("i", lengths), joined.encode()))


def _numbers(values: Sequence[Any], there: Sequence[Any]) -> Packed | None:
    """Return a column of numbers, or of true and false; None for anything else. Raises OverflowError."""
    types = frozenset(map(type, there))
    if types not in _CODES:
        return None
    has_missing = len(there) < len(values)
    if types == {bool}:
        return Packed(BOOL, (bytes([2 if value is None else value for value in values]),))
    if types == {float} and not all(map(isfinite, there)):
        return None
    kind, code = _CODES[types]
    if not has_missing:
        return Packed(kind, (_packed(code, values),))
    filled = [0 if value is None else value for value in values]
    there_is = bytes([value is not None for value in values])
    return Packed(kind, (there_is, _packed(code, filled)), has_missing=True)


_CODES = {
    frozenset({bool}): (BOOL, "b"),
    frozenset({int}): (INT, "q"),
    frozenset({float}): (FLOAT, "d"),
}
