"""Records as columns, in plain Python: what is one, and which records it stands for.

An encoder that is faster must store what these records are stored as. Nothing here imports pyarrow: who yields columns
has.
"""

import sys
from typing import Any

from contract.record import Columns


def is_columns(value: Any) -> bool:
    """Tell whether a value is a `pyarrow.RecordBatch` or a `pyarrow.Table`."""
    return isinstance(value, kinds())


def kinds() -> tuple[Any, ...]:
    """Return the types of columns; none where pyarrow is not imported, or not yet to its end."""
    pa = sys.modules.get("pyarrow")
    return getattr(pa, "RecordBatch", ()), getattr(pa, "Table", ())


def as_records(columns: Columns) -> list[dict[str, Any]]:
    """Return the records that columns stand for. Raises ValueError that names the field for what cannot be one."""
    table: Any = columns
    names = table.schema.names
    check_names(names)
    values = [values_of(name, table.column(name)) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)] if names else [{}] * table.num_rows


def check_names(names: list[str]) -> None:
    """Raise ValueError when two columns have one name."""
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"field {twice[:100]!r}: two columns have this name")


def values_of(name: str, column: Any) -> list[Any]:
    """Return a column's values in Python. Raises ValueError that names the field."""
    try:
        if str(column.type).startswith("timestamp[ns"):  # Python's times end at microseconds
            return [None if value.value is None else _time(value.value, column.type.tz) for value in column]
        return list(column.to_pylist())
    except (ValueError, OverflowError, NotImplementedError) as error:
        raise ValueError(f"field {name[:100]!r}: {error}") from error


def _time(ns: int, zone: str | None) -> Any:
    """Return a time: as text where it has nanoseconds."""
    pa = sys.modules["pyarrow"]
    moment = pa.scalar(ns // 1000, pa.timestamp("us", zone)).as_py()
    if not ns % 1000:
        return moment
    text = moment.isoformat(timespec="microseconds")
    return f"{text[:26]}{ns % 1000:03}{text[26:].replace('+00:00', 'Z')}"
