"""JSON lines to Arrow tables, typed by what was seen so far. A type only ever widens: int to float, anything to text.

Ordinary files are read by Arrow's own reader, which refuses what does not fit. Then all records are looked at, the
types widen, and where a column holds what its type cannot, text of JSON is made of it.
"""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.json as pj
from msgspec import Struct

NULL, BOOL, INT, FLOAT, TEXT = "null", "bool", "int", "float", "text"
_ARROW = {NULL: pa.null(), BOOL: pa.bool_(), INT: pa.int64(), FLOAT: pa.float64(), TEXT: pa.string()}
_INT64 = 1 << 63
_EXACT = 1 << 53
BLOCK_BYTES = (1 << 20, 64 << 20)
"""What Arrow's reader takes at a time. Small blocks stay in the cache; a line longer than one needs the large ones."""
FIRST_RECORDS = 1000

_decode = msgspec.json.Decoder()


class Schema(Struct):
    """The type of each key, in the order in which they were seen."""

    types: dict[str, str]

    def observe(self, records: Iterable[dict[str, Any]]) -> None:
        """Widen the types to hold some records."""
        for record in records:
            for key, value in record.items():
                self.types[key] = wider(self.types.get(key, NULL), kind_of(value))

    def needs_text(self, records: Iterable[dict[str, Any]]) -> bool:
        """Tell whether a value of some records has to become text."""
        texts = {key for key, kind in self.types.items() if kind == TEXT}
        return any(
            key in texts and value is not None and not isinstance(value, str)
            for record in records
            for key, value in record.items()
        )

    def arrow(self) -> pa.Schema:
        """Return the same as Arrow has it."""
        return pa.schema([(key, _ARROW[kind]) for key, kind in self.types.items()])


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
    if not schema.types:  # of a first file a part tells most, and costs little
        schema.observe(_records(path, FIRST_RECORDS))
    table = _read(path, schema)
    if table is None:
        records = _records(path)
        schema.observe(records)
        # Of a line that is longer than a block Arrow's reader makes nothing, whatever the types are.
        table = None if schema.needs_text(records) else _read(path, schema)
        if table is None:
            table = build(records, schema)
    columns = [field.name for field in table.schema if not pa.types.is_null(field.type)]
    if not columns:
        return pa.table({"_record": pa.array(["{}"] * count_lines(path), pa.string())})
    return table.select(columns)


def count_lines(path: Path) -> int:
    """Return how many records a file has."""
    with path.open("rb") as lines:
        return sum(1 for _ in lines)


def _read(path: Path, schema: Schema) -> pa.Table | None:
    """Return what Arrow's reader makes of a file; None where something does not fit."""
    options = pj.ParseOptions(explicit_schema=schema.arrow(), unexpected_field_behavior="error")
    for size in BLOCK_BYTES:
        try:
            # In threads: when hostd ends, what is left is converted while nothing else runs.
            return pj.read_json(path, read_options=pj.ReadOptions(block_size=size), parse_options=options)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            if "block" not in str(error):
                return None
    return None


def _records(path: Path, most: int | None = None) -> list[dict[str, Any]]:
    with path.open("rb") as lines:
        return [_record(line) for line in islice(lines, most)]


def _record(line: bytes) -> dict[str, Any]:
    """Return a record; what is none, or nests too deeply, is there as its JSON."""
    try:
        record = _decode.decode(line)
    except (ValueError, RecursionError):
        return {"_record": line.decode().rstrip("\n")}
    return record if isinstance(record, dict) else {"_record": line.decode().rstrip("\n")}


def build(records: list[dict[str, Any]], schema: Schema) -> pa.Table:
    """Return records as a table of a schema that holds them."""
    columns = {
        key: pa.array([as_kind(record.get(key), kind) for record in records], _ARROW[kind])
        for key, kind in schema.types.items()
    }
    return pa.table(columns)


def as_kind(value: Any, kind: str) -> Any:
    """Return a value as its column's type has it."""
    if value is None or kind != TEXT:
        return float(value) if kind == FLOAT and value is not None else value
    return value if isinstance(value, str) else msgspec.json.encode(value).decode() if _is_small(value) else str(value)


def _is_small(value: Any) -> bool:
    return not isinstance(value, int) or -_INT64 <= value < _INT64
