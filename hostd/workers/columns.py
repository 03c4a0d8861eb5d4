"""Columns to JSON lines or blocks, inside the worker: by Arrow's functions, a column at a time and never a record.

For lines each column becomes texts of JSON, and these are joined row by row, with what is between them, by one call.
What Arrow has no function for goes through Python, column by column. Both store what `contract.columns` says.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from contract.columns import check_names, is_columns, kinds, values_of
from contract.values import find_unwritable
from hostd.workers.block import BOOL, FLOAT, INT, LEAST_ROWS, NOTHING, TEXT, Packed, pack

MOST_ROWS = 8192
MOST_BYTES = 16 << 20
"""How many rows, or bytes of columns, are encoded at once: enough that calls cost nothing, few enough for a cache."""
MOST_LITERALS = 4096
"""How many texts between columns are kept. The last one of a row names its source."""

_ESCAPES = {byte: json.dumps(chr(byte))[1:-1] for byte in (0x5C, 0x22, *range(0x20))}
"""What JSON escapes; the backslash first, since the others bring more of it."""
_DAY_S = 86_400
_FIRST_S, _END_S = -719_162 * _DAY_S, 2_932_897 * _DAY_S
"""The years 1 to 9999, which Python's times have, and ISO 8601 without a sign."""
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}

EncodeLines = Callable[[list[Any]], bytes]


def are_among(types: set[type]) -> bool:
    """Tell whether one of some values' types is that of columns."""
    return any(issubclass(each, kinds()) for each in types)


def chunks(records: Iterator[Any], most: int) -> Iterator[list[Any]]:
    """Yield records, `most` at a time, and columns by themselves."""
    chunk: list[Any] = []
    for record in records:
        if is_columns(record):
            yield chunk
            yield [record]
            chunk = []
        else:
            chunk.append(record)
            if len(chunk) == most:
                yield chunk
                chunk = []
    yield chunk


class ColumnsEncoder:
    """Encodes columns, naming the source in each record when `source_field` is not empty."""

    def __init__(self, source_field: str, encode_lines: EncodeLines) -> None:
        self._field = source_field
        self._encode_lines = encode_lines
        self._literals: dict[str, Any] = {}

    def encode(self, columns: Any, source: str, *, blocks: bool = False) -> Iterator[tuple[int, bytes]]:
        """Yield how many records, and their JSON lines, or with `blocks` their block, piece by piece.

        Raises ValueError or TypeError that names the field of what cannot be stored.
        """
        import pyarrow as pa  # which the plugin has imported

        check_names(columns.schema.names)
        for batch in columns.to_batches() if isinstance(columns, pa.Table) else [columns]:
            if not batch.num_columns:
                yield batch.num_rows, (self._end("{", source) * batch.num_rows).encode()
                continue
            rows = MOST_ROWS
            if batch.nbytes > MOST_BYTES:
                rows = max(1, min(rows, MOST_BYTES * batch.num_rows // batch.nbytes))
            for start in range(0, batch.num_rows, rows):
                part = batch.slice(start, rows)
                block = self._block(part, source) if blocks and part.num_rows >= LEAST_ROWS else None
                yield part.num_rows, block or self._lines(part, source)

    def _block(self, batch: Any, source: str) -> bytes | None:
        """Return a block, None for what only lines hold, or tell of."""
        packed: list[tuple[str, Packed]] = []
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name == self._field:
                continue
            try:
                column.validate(full=True)
                one = _packed(column)
            except (ValueError, NotImplementedError):
                return None
            if one is None:
                return None
            if one is not NOTHING:
                packed.append((name, one))
        return pack(packed, batch.num_rows, (self._field, source) if self._field else None)

    def _lines(self, batch: Any, source: str) -> bytes:
        import pyarrow.compute as pc

        parts: list[Any] = []
        between = "{"
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name == self._field:  # a record cannot say that it came from elsewhere
                continue
            between += f"{json.dumps(name, ensure_ascii=False)}:"
            if column.null_count == len(column):
                between += "null,"
                continue
            texts, quote = self._named_texts(name, column)
            if quote and texts.null_count:
                texts, quote = (
                    pc.binary_join_element_wise(self._literal('"'), texts, *map(self._literal, ('"', ""))),
                    "",
                )
            if texts.null_count:
                texts = pc.coalesce(texts, self._literal("null"))
            parts += [self._literal(between + quote), texts]
            between = f"{quote},"
        parts.append(self._literal(self._end(between.removesuffix(","), source)))
        if len(parts) == 1:  # nothing but nulls
            return str(parts[0]).encode() * int(batch.num_rows)
        return bytes(_content(pc.binary_join_element_wise(*parts, self._literal(""))))

    def _end(self, between: str, source: str) -> str:
        """Return the end of a row, after what is before it."""
        if not self._field:
            return f"{between}}}\n"
        comma = "" if between == "{" else ","
        name, value = json.dumps(self._field, ensure_ascii=False), json.dumps(source, ensure_ascii=False)
        return f"{between}{comma}{name}:{value}}}\n"

    def _literal(self, text: str) -> Any:
        """Return a text as Arrow has it: to make one costs as much as a column's function."""
        import pyarrow as pa

        literal = self._literals.get(text)
        if literal is None:
            if len(self._literals) >= MOST_LITERALS:
                self._literals.clear()
            literal = self._literals[text] = pa.scalar(text, pa.string())
        return literal

    def _named_texts(self, name: str, column: Any) -> tuple[Any, str]:
        """Return a column's JSON, and the quote that goes around each; null where there is nothing."""
        try:
            column.validate(full=True)  # text is UTF-8, and nothing lies outside of what there is
            texts = _texts(column)
        except (ValueError, NotImplementedError) as error:
            raise ValueError(f"field {name[:100]!r}: {error}") from error
        return texts or (self._through_python(name, column), "")

    def _through_python(self, name: str, column: Any) -> Any:
        import pyarrow as pa

        values = values_of(name, column)
        try:
            lines = self._encode_lines(values)
        except (TypeError, ValueError, RecursionError):
            unwritable = find_unwritable([{name: value} for value in values])
            if unwritable is None:
                raise
            raise unwritable from None
        return pa.array(lines.decode().split("\n")[:-1], pa.string())


def _packed(column: Any) -> Packed | None:
    """Return a column as a block has it, `NOTHING` where all are missing; None where a block has no such."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count == len(column):
        return NOTHING
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _packed(column.dictionary_decode())
    if pa.types.is_timestamp(kind) and kind.tz in (None, "UTC"):
        return _packed(_times(column))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = column.cast(pa.string())
        texts = texts.fill_null("") if texts.null_count else texts
        lengths = pc.binary_length(texts)
        if column.null_count:
            lengths = pc.if_else(column.is_valid(), lengths, pa.scalar(-1, pa.int32()))
        return Packed(TEXT, (_raw(lengths, 4), bytes(_content(texts))))
    if pa.types.is_boolean(kind):
        return Packed(BOOL, (_raw(column.cast(pa.uint8()).fill_null(2), 1),))
    if pa.types.is_integer(kind):
        numbers, name = column.cast(pa.int64()), INT
    elif pa.types.is_float32(kind) or pa.types.is_float64(kind):
        numbers, name = _finite(column), FLOAT
    else:
        return None
    if numbers.null_count == len(numbers):
        return NOTHING
    if not numbers.null_count:
        return Packed(name, (_raw(numbers, 8),))
    there = _raw(numbers.is_valid().cast(pa.uint8()), 1)
    return Packed(name, (there, _raw(numbers.fill_null(0), 8)), has_missing=True)


def _raw(column: Any, width: int) -> bytes:
    """Return the bytes of numbers."""
    return bytes(memoryview(column.buffers()[1])[column.offset * width : (column.offset + len(column)) * width])


def _texts(column: Any) -> tuple[Any, str] | None:
    """Return a column's JSON and its quote; None where Arrow has no function for it."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        if len(column.dictionary) > len(column):
            return _texts(column.dictionary_decode())
        texts = _texts(column.dictionary)
        return texts and (texts[0].take(column.indices), texts[1])
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _escaped(column.cast(pa.string())), '"'
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return column.cast(pa.string()), ""
    if pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return _numbers(column), ""
    if pa.types.is_timestamp(kind) and kind.tz in (None, "UTC"):
        return _times(column), '"'
    return None


def _content(column: Any) -> memoryview:
    """Return the bytes of all texts of a column, one after the other."""
    _, offsets, content = column.buffers()
    if not len(column) or content is None:
        return memoryview(b"")
    places = memoryview(offsets).cast("i")
    return memoryview(content)[places[column.offset] : places[column.offset + len(column)]]


def _escaped(column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    content = bytes(_content(column))
    if not content:
        return column
    least = pc.min(pa.Array.from_buffers(pa.uint8(), len(content), [None, pa.py_buffer(content)])).as_py()
    for byte, escape in _ESCAPES.items():
        if byte in content:
            column = pc.replace_substring(column, chr(byte), escape)
        if byte == 0x22 and least >= 0x20:
            break
    return column


def _numbers(column: Any) -> Any:
    """Return floats as text: null where they are not finite, and never like an integer."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.replace_substring_regex(_finite(column).cast(pa.string()), "^(-?[0-9]+)$", r"\1.0")


def _finite(column: Any) -> Any:
    """Return floats, null where they are not finite."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = column.cast(pa.float64())
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, pa.float64()))


def _times(column: Any) -> Any:
    """Return times as ISO 8601, with none, six or nine digits of a second."""
    import pyarrow as pa
    import pyarrow.compute as pc

    unit, zone = column.type.unit, column.type.tz
    column = column.view(pa.int64())
    if unit in _PER_SECOND:
        least, most = pc.min_max(column).as_py().values()
        per_second = _PER_SECOND[unit]
        if least is not None and not _FIRST_S * per_second <= least <= most < _END_S * per_second:
            raise ValueError("a time outside of the years 1 to 9999")
    column = column.view(pa.timestamp(unit))
    texts = (column if unit in ("s", "ns") else column.cast(pa.timestamp("us"))).cast(pa.string())
    texts = pc.utf8_replace_slice(texts, 10, 11, "T")
    if unit == "ns":
        texts = pc.replace_substring_regex(texts, r"(\.[0-9]{6})000$", r"\1")
        texts = pc.replace_substring_regex(texts, r"\.000000$", "")
    elif unit != "s":
        texts = pc.replace_substring(texts, ".000000", "")
    return pc.binary_join_element_wise(texts, pa.scalar("Z"), pa.scalar("")) if zone else texts
