"""What a processor yields."""

from collections.abc import Mapping
from typing import TypeAlias

JsonValue: TypeAlias = None | bool | int | float | str | list["JsonValue"] | Mapping[str, "JsonValue"]
"""A value that JSON (RFC 8259) can hold."""

Record: TypeAlias = Mapping[str, JsonValue] | str
"""One log record: a mapping of JSON values. A ``str`` is short for ``{"message": …}``.

Names follow the OpenTelemetry logs data model where it has one: ``timestamp``, ``severity_text``,
``severity_number``, ``body``.
"""
