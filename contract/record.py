"""What a processor yields, and the rule by which that becomes JSON."""

from collections.abc import Mapping
from typing import TypeAlias

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
