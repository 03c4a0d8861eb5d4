"""Blocks of columns, as workers answer them, to Arrow tables. Each is checked whole: foreign code made it."""

from collections.abc import Iterable, Iterator
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from hostd.workers.block import BOOL, FLOAT, INT, TEXT, Block, Column, parts_of

_INT32 = pa.int32()
_NUMBERS = {INT: pa.int64(), FLOAT: pa.float64()}


def tables_of(parts: Iterable[Block | memoryview]) -> Iterator[pa.Table | bytes]:
    """Yield tables of blocks and copies of lines, in their order. Blocks of the same columns become one table.

    A block that cannot be read is one row, whose `_record` is what came.
    """
    for columns, alike in groupby(parts, _columns):  # calls of Arrow are what a block by itself costs
        if columns is None:
            yield from (bytes(part) for part in alike if not isinstance(part, Block))
        else:
            yield from _tables([part for part in alike if isinstance(part, Block)])


def _columns(part: Block | memoryview) -> list[tuple[str, str, bool]] | None:
    return [column[:3] for column in part.columns] if isinstance(part, Block) else None


def _tables(run: list[Block]) -> Iterator[pa.Table]:
    try:
        yield _table(run)
    except (pa.ArrowException, ValueError):
        if len(run) > 1:
            for block in run:
                yield from _tables([block])
        else:
            yield pa.table({"_record": [bytes(run[0].raw).decode("utf-8", "backslashreplace")]})


def _table(run: list[Block]) -> pa.Table:
    """Return blocks of the same columns as one table. Raises ValueError, as Arrow does, for what is none."""
    columns = {}
    for place, column in enumerate(run[0].columns):
        columns[column.name] = _array([(block.columns[place], block.rows) for block in run])
    return pa.table(columns)


def _array(pieces: list[tuple[Column, int]]) -> pa.Array:
    rows = sum(rows for _, rows in pieces)
    kind = pieces[0][0].kind
    parts = [parts_of(column, rows) for column, rows in pieces]
    values = pa.py_buffer(b"".join(part[1] for part in parts))
    if kind == TEXT:
        return _texts(rows, values, parts)
    if kind == BOOL:
        said = _from_buffer(pa.uint8(), rows, values)
        return pc.if_else(pc.less(said, pa.scalar(2, pa.uint8())), said.cast(pa.bool_()), pa.scalar(None, pa.bool_()))
    there = None
    if pieces[0][0].has_missing:
        said = _from_buffer(pa.uint8(), rows, pa.py_buffer(b"".join(part[0] for part in parts)))
        there = said.cast(pa.bool_()).buffers()[1]
    array = pa.Array.from_buffers(_NUMBERS[kind], rows, [there, values])
    if kind == FLOAT and not pc.all(pc.is_finite(array), min_count=0).as_py():
        raise ValueError("a number that is not finite")
    return array


def _texts(rows: int, lengths: pa.Buffer, parts: list[tuple[memoryview, memoryview, memoryview]]) -> pa.Array:
    """Return texts, of lengths that must come to what each part has of them."""
    said = _from_buffer(_INT32, rows, lengths)
    there = None
    if pc.min(said).as_py() < 0:
        there = pc.greater_equal(said, pa.scalar(0, _INT32)).buffers()[1]
        said = pc.max_element_wise(said, pa.scalar(0, _INT32))
    offsets = pa.concat_arrays([pa.array([0], _INT32), pc.cumulative_sum_checked(said)])
    texts, row = [], 0
    for _, numbers, text in parts:
        count = len(numbers) // 4
        length = offsets[row + count].as_py() - offsets[row].as_py()
        if not 0 <= len(text) - length < 8:
            raise ValueError(f"{len(text)} bytes of texts where {length} are to be")
        texts.append(text[:length])
        row += count
    joined = b"".join(texts)
    array = pa.Array.from_buffers(pa.string(), rows, [there, offsets.buffers()[1], pa.py_buffer(joined)])
    if not joined.isascii():
        array.validate(full=True)
    return array


def _from_buffer(kind: pa.DataType, rows: int, buffer: pa.Buffer) -> pa.Array:
    return pa.Array.from_buffers(kind, rows, [None, buffer])
