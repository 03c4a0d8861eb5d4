"""What a processor yields, and the rule by which that becomes JSON."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

JsonValue: TypeAlias = None | bool | int | float | str | list["JsonValue"] | Mapping[str, "JsonValue"]
"""A value that JSON (RFC 8259) can hold."""

Record: TypeAlias = Mapping[str, JsonValue] | str
"""One log record: a mapping of JSON values. A ``str`` is short for ``{"message": …}``.

Names follow the OpenTelemetry logs data model where it has one: ``timestamp``, ``severity_text``,
``severity_number``, ``body``.

What else is found in a record at run time is stored by this rule. NaN and the infinities, which JSON does not have,
become null. A tuple or a set becomes an array, a set in no particular order; a dataclass an object; an enumeration's
member its value. Bytes become text in base64; dates and times ISO 8601 (UTC as ``Z``), a ``timedelta`` an ISO 8601
duration; ``Decimal`` and ``UUID`` their text. A key that is a number, or has a text by this rule, becomes that text.

Anything else fails the record, with the field's name: an object of another type, a key that is None or a bool, text
with a lone surrogate, a record that holds itself or nests too deeply (some 300 levels always pass), an int of more
than 4300 digits.
"""


class Columns(Protocol):
    """Many records as columns: a `pyarrow.RecordBatch` or a `pyarrow.Table`, which stand for a record for each row.

    A processor may yield them among records, or return one. Every row has all columns; a null is stored as null. A
    value is stored as its `as_py()` is by the rule of `Record`: so floats that are not finite as null, binary as
    base64, decimals as text, times as ISO 8601 with none or six digits of a second, and nine where they have
    nanoseconds.

    What cannot be stored, such as text that is not UTF-8, a time before the year 1, or two columns of one name, fails
    the batch, as an exception does: it is parsed again in ever smaller parts, until the record that fails is alone.
    """

    @property
    def num_rows(self) -> int:
        """How many records."""
        ...

    def to_pylist(self) -> list[dict[str, Any]]:
        """Return the records."""
        ...
