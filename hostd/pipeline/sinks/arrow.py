"""Staged records to Arrow tables, typed by what was seen so far: a type only widens, int to float, anything to text.

Blocks of columns are tables but for their types. Ordinary JSON lines are read by Arrow's own reader, which refuses what
does not fit. Then all records are looked at, the types widen, and where a column holds what its type cannot, text of
JSON is made of it.
"""

import io
import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.json as pj
from msgspec import Struct

from hostd.pipeline.sinks.blocks import tables_of
from hostd.workers.block import BOOL, FLOAT, INT, MARK, TEXT, split, windows

MOST_COLUMNS = 1024
"""More keys than this have no column of their own: records whose keys are data would make ever wider files."""
MORE = "_more"
"""The column of what has none: such keys of a record, with their values, as JSON; and a key of this very name."""
NULL = "null"
_ARROW = {NULL: pa.null(), BOOL: pa.bool_(), INT: pa.int64(), FLOAT: pa.float64(), TEXT: pa.string()}
_KINDS = {arrow: kind for kind, arrow in _ARROW.items()}
_INT64 = 1 << 63
BLOCK_BYTES = (1 << 20, 64 << 20)
"""What Arrow's reader takes at a time. Small blocks stay in the cache; a line longer than one needs the large ones."""
FIRST_RECORDS = 1000
LOOK_BYTES = 1 << 20

_decode = msgspec.json.Decoder()


class Schema(Struct):
    """The type of each key, in the order in which they were seen."""

    types: dict[str, str]

    def observe(self, records: Iterable[dict[str, Any]]) -> None:
        """Widen the types to hold some records."""
        for record in records:
            for key, value in record.items():
                self.observe_kind(key, kind_of(value))

    def observe_kind(self, key: str, kind: str) -> None:
        """Widen the type of a key to hold values of a kind."""
        present = self.types.get(key)
        if key == MORE or (present is None and len(self.types) - (MORE in self.types) >= MOST_COLUMNS):
            self.types[MORE] = TEXT
        else:
            self.types[key] = wider(present or NULL, kind)

    def has_column(self, key: str) -> bool:
        """Tell whether the values of a key are in a column of their own."""
        return key in self.types and key != MORE

    def needs_text(self, records: Iterable[dict[str, Any]]) -> bool:
        """Tell whether a value of some records has to become text."""
        texts = {key for key, kind in self.types.items() if kind == TEXT}
        return any(
            key in texts and value is not None and not isinstance(value, str)
            for record in records
            for key, value in record.items()
        )

    def arrow(self) -> pa.Schema:
        """Return the same as Arrow has it, without the column of what has none."""
        return pa.schema([(key, _ARROW[kind]) for key, kind in self.types.items() if key != MORE])


def kind_of(value: Any) -> str:
    """Return the type of a value: what is nested, or an integer of more than 64 bits, is text."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return INT if -_INT64 <= value < _INT64 else TEXT
    return FLOAT if isinstance(value, float) else TEXT


def wider(one: str, other: str) -> str:
    """Return the type that holds what either does."""
    if one == other or other == NULL:
        return one
    if one == NULL:
        return other
    return FLOAT if {one, other} == {INT, FLOAT} else TEXT


def read_table(path: Path, schema: Schema) -> pa.Table:
    """Return a file's records, and have the schema hold them. Keys that were never anything but null are left out."""
    return _of_parts(path, schema) if has_blocks(path) else _of_lines(path, schema)


def has_blocks(path: Path) -> bool:
    """Tell whether a file may have blocks among its lines."""
    with path.open("rb", buffering=0) as staged:
        before = b""
        while content := staged.read(LOOK_BYTES):
            if MARK in content or MARK in before + content[: len(MARK)]:
                return True
            before = content[-len(MARK) :]
    return False


def _of_parts(path: Path, schema: Schema) -> pa.Table:
    """Return lines and blocks, in their order, as one table."""
    with path.open("rb", buffering=0) as staged:
        parts = [part for window, end in windows(staged) for part in tables_of(split(window, end))]
    found = [part for part in parts if isinstance(part, pa.Table)]
    if not found:
        return _of_lines(path, schema)
    for table in found:
        for field in table.schema:
            schema.observe_kind(field.name, _KINDS[field.type])
    if len(found) == len(parts):
        tables = found
    else:
        lines = b"".join(part for part in parts if isinstance(part, bytes))
        schema.observe(_records(lines, FIRST_RECORDS))
        of_lines, at = _of_lines(lines, schema), 0
        tables = []
        for part in parts:
            if isinstance(part, bytes):
                count = part.count(b"\n")
                tables.append(of_lines.slice(at, count))
                at += count
            else:
                tables.append(part)
        if at != of_lines.num_rows:  # somebody's own idea of a line
            tables = [*found, of_lines]
    whole = pa.concat_tables([_fitted(table, schema) for table in tables], promote_options="default")
    columns = dict(zip(whole.column_names, whole.columns, strict=True))
    for key, kind in schema.types.items():
        if kind != NULL and key not in columns:  # of an earlier file
            columns[key] = pa.nulls(whole.num_rows, _ARROW[kind])
    return pa.table({key: columns[key] for key, kind in schema.types.items() if kind != NULL})


def _fitted(table: pa.Table, schema: Schema) -> pa.Table:
    """Return a table with the types of the schema; what was never anything but null is left out."""
    columns: dict[str, Any] = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        kind = schema.types[field.name] if schema.has_column(field.name) else NULL
        wanted = _ARROW[kind]
        if kind == NULL:
            continue
        if field.type == wanted:
            columns[field.name] = column
        elif kind == TEXT:
            columns[field.name] = pa.array([as_kind(value, kind) for value in column.to_pylist()], wanted)
        else:
            columns[field.name] = column.cast(wanted, safe=False)
    if beyond := [name for name in table.column_names if not schema.has_column(name)]:
        columns[MORE] = _more(table.select(beyond).to_pylist(), schema)
    return pa.table(columns) if columns else table.select([])


def _of_lines(lines: Path | bytes, schema: Schema) -> pa.Table:
    if not schema.types:  # of a first file a part tells most, and costs little
        schema.observe(_records(lines, FIRST_RECORDS))
    table = _read(lines, schema)
    if table is None:
        records = _records(lines)
        schema.observe(records)
        # Of a line that is longer than a block Arrow's reader makes nothing, whatever the types are.
        table = None if schema.needs_text(records) else _read(lines, schema)
        if table is None:
            table = build(records, schema)
    columns = [field.name for field in table.schema if not pa.types.is_null(field.type)]
    if not columns:
        with _opened(lines) as opened:
            return pa.table({"_record": pa.array(["{}"] * sum(1 for _ in opened), pa.string())})
    return table.select(columns)


def _opened(lines: Path | bytes) -> BinaryIO:
    return lines.open("rb") if isinstance(lines, Path) else io.BytesIO(lines)


def _read(lines: Path | bytes, schema: Schema) -> pa.Table | None:
    """Return what Arrow's reader makes of lines; None where something does not fit."""
    options = pj.ParseOptions(explicit_schema=schema.arrow(), unexpected_field_behavior="error")
    for size in BLOCK_BYTES:
        try:
            # In threads: when hostd ends, what is left is converted while nothing else runs.
            table = pj.read_json(
                lines if isinstance(lines, Path) else pa.BufferReader(lines),
                read_options=pj.ReadOptions(block_size=size),
                parse_options=options,
            )
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            if "block" not in str(error):
                return None
        else:
            return table.append_column(MORE, pa.nulls(table.num_rows, pa.string())) if MORE in schema.types else table
    return None


def _records(lines: Path | bytes, most: int | None = None) -> list[dict[str, Any]]:
    with _opened(lines) as opened:
        return [_record(line) for line in islice(opened, most)]


def _record(line: bytes) -> dict[str, Any]:
    """Return a record; what is none, or nests too deeply, is there as its JSON."""
    try:
        record = _decode.decode(line)
    except (ValueError, RecursionError):
        record = None
    if isinstance(record, dict):
        return record
    return {"_record": line.decode("utf-8", "backslashreplace").rstrip("\n")}


def build(records: list[dict[str, Any]], schema: Schema) -> pa.Table:
    """Return records as a table of a schema that holds them."""
    columns = {
        key: pa.array([as_kind(record.get(key), kind) for record in records], _ARROW[kind])
        if key != MORE
        else _more(records, schema)
        for key, kind in schema.types.items()
    }
    return pa.table(columns)


def _more(records: list[dict[str, Any]], schema: Schema) -> pa.Array:
    """Return what has no column of its own, as JSON; null where there is none."""
    rests = [
        {key: value for key, value in record.items() if value is not None and not schema.has_column(key)}
        for record in records
    ]
    return pa.array([json.dumps(rest, ensure_ascii=False) if rest else None for rest in rests], pa.string())


def as_kind(value: Any, kind: str) -> Any:
    """Return a value as its column's type has it."""
    if value is None or kind != TEXT:
        return float(value) if kind == FLOAT and value is not None else value
    return value if isinstance(value, str) else msgspec.json.encode(value).decode() if _is_small(value) else str(value)


def _is_small(value: Any) -> bool:
    return not isinstance(value, int) or -_INT64 <= value < _INT64
