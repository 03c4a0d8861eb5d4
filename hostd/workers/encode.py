"""Records to JSON lines, inside the worker, so that the daemon never decodes a record.

msgspec where the environment has it; the standard library otherwise, at a fraction of the speed. Both write the same,
by the rule that `contract.record.Record` states, and refuse the same.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

from contract.columns import is_columns
from contract.json_lines import JsonLines
from contract.rows import Rows
from contract.values import as_json_value, as_plain, find_unwritable
from hostd.workers import columns
from hostd.workers.block import pack_rows
from hostd.workers.key import Key

try:
    import msgspec

    from hostd.workers.rows import StructsOfRows
except ImportError:  # an environment of a plugin's own need not have it
    msgspec = None  # type: ignore[assignment]

CHUNK_RECORDS = 1024
"""How many records are taken from a generator at once: one that never ends is noticed between two chunks."""

Encode = Callable[[list[Any]], bytes]


class TooMuchError(Exception):
    """A batch yields more than `limits.output_mib` allows."""


def encode_by_standard_library(records: list[Any]) -> bytes:
    """Return records as JSON lines. Raises TypeError or ValueError for what JSON cannot hold."""
    values = (json.dumps(as_json_value(record), ensure_ascii=False, separators=(",", ":")) for record in records)
    return b"".join(value.encode() + b"\n" for value in values)


_encode_lines: Encode = (
    encode_by_standard_library if msgspec is None else msgspec.json.Encoder(enc_hook=as_plain).encode_lines
)
_decode_lines: Callable[[bytes], list[Any]] | None = None if msgspec is None else msgspec.json.Decoder().decode_lines


class Encoder:
    """Encodes the records of one generation, naming the source in each when `source_field` is not empty."""

    def __init__(self, source_field: str, encode_lines: Encode = _encode_lines) -> None:
        self._field = source_field
        self._encode_lines = encode_lines
        self._columns = columns.ColumnsEncoder(source_field, encode_lines)
        self._key = Key(source_field)
        self._structs = None if encode_lines is encode_by_standard_library else StructsOfRows(source_field)

    def encode(
        self, records: Iterable[Any], source: str, most_bytes: int, *, blocks: bool = False
    ) -> tuple[int, list[bytes]]:
        """Return the number of records, and their JSON lines in pieces. Takes the records over: dicts may be changed.

        With `blocks`, a piece may be a block of rows or columns, where that holds what lines would. Raises TypeError
        for what is not a record, TypeError or ValueError for what JSON cannot hold, TooMuchError past `most_bytes`.
        """
        count = size = 0
        pieces: list[bytes] = []
        if _are_many(records):
            records = [records]
        for chunk in [records] if isinstance(records, list) else _chunks(iter(records)):
            for number, lines in self._encoded(chunk, source, blocks=blocks):
                pieces.append(lines)
                count += number
                size += len(lines)
                if size > most_bytes:
                    raise TooMuchError(f"its records are over the limit (limits.output_mib), {size} bytes so far")
        return count, pieces

    def _encoded(self, records: list[Any], source: str, *, blocks: bool) -> Iterator[tuple[int, bytes]]:
        """Yield how many records, and their lines or their block, piece by piece."""
        kinds = set(map(type, records))
        if kinds.isdisjoint((Rows, JsonLines)) and not columns.are_among(kinds):
            only_dicts = kinds == {dict}
            block = self._block(records, source) if blocks and only_dicts else None
            if records:
                yield len(records), block or self._lines(records, source, only_dicts=only_dicts)
            return
        for are_many, group in groupby(records, _are_many):
            if not are_many:
                yield from self._encoded(list(group), source, blocks=blocks)
                continue
            for each in group:
                yield from self._encode_for(each)(each, source, blocks=blocks)

    def _encode_for(self, many: Any) -> Callable[..., Iterator[tuple[int, bytes]]]:
        if isinstance(many, Rows):
            return self._rows
        return self._json_lines if isinstance(many, JsonLines) else self._columns.encode

    def _block(self, records: list[dict[Any, Any]], source: str) -> bytes | None:
        """Return the block of records that all have the same keys, two at least; None of others."""
        names = list(records[0])
        if len(names) < 2 or set(map(len, records)) != {len(names)}:
            return None
        try:
            rows = list(map(itemgetter(*names), records))
        except KeyError:
            return None
        return pack_rows(names, rows, self._last(source))

    def _last(self, source: str) -> tuple[str, str] | None:
        return (self._field, source) if self._field else None

    def _rows(self, rows: Rows, source: str, *, blocks: bool) -> Iterator[tuple[int, bytes]]:
        for chunk in [rows.rows] if isinstance(rows.rows, list) else _chunks(iter(rows.rows)):
            if blocks and rows.optional.issubset(rows.names):
                block = pack_rows(rows.names, chunk, self._last(source))
                if block is not None:
                    yield len(chunk), block
                    continue
            structs = self._structs.make(rows, chunk, source) if self._structs is not None else None
            if structs is not None:
                try:
                    yield len(structs), self._encode_lines(structs)
                    continue
                except (TypeError, ValueError, RecursionError):
                    pass  # the records fail in the same way, and tell of which field
            records = list(Rows(rows.names, chunk, optional=rows.optional))
            if records:
                yield len(records), self._lines(records, source, only_dicts=True)

    def _json_lines(self, lines: JsonLines, source: str, *, blocks: bool) -> Iterator[tuple[int, bytes]]:
        if blocks or (self._field and self._key.may_be_in(lines.text)):
            try:
                records = list(lines) if _decode_lines is None else _decode_lines(lines.text)
            except (ValueError, RecursionError):
                pass  # a number that nothing but text holds
            else:
                yield from self._encoded(records, source, blocks=blocks)
                return
        yield len(lines), lines.with_last(self._key.member(source) if self._field else b"")

    def _lines(self, records: list[Any], source: str, *, only_dicts: bool) -> bytes:
        if not only_dicts:
            records = [as_mapping(record) for record in records]
        if field := self._field:
            for mapping in records:
                mapping[field] = source
        try:
            return self._encode_lines(records)
        except (TypeError, ValueError, RecursionError):
            unwritable = find_unwritable(records)
            if unwritable is None:
                raise
            raise unwritable from None


def as_mapping(record: Any) -> dict[str, Any]:
    """Return a record in its long form. Raises TypeError for what is not a record."""
    if isinstance(record, str):
        return {"message": record}
    if isinstance(record, Mapping):
        return dict(record)
    raise TypeError(f"a record must be a mapping or a string, not {type(record).__name__}")


def _are_many(record: Any) -> bool:
    return isinstance(record, Rows | JsonLines) or is_columns(record)


def _chunks(records: Iterator[Any]) -> Iterator[list[Any]]:
    if "pyarrow" in sys.modules:  # columns may come, each of them as much as many records
        yield from columns.chunks(records, CHUNK_RECORDS)
    while chunk := list(islice(records, CHUNK_RECORDS)):
        yield chunk
