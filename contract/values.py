"""The rule of `contract.record.Record`, in Python: what becomes of a record's values as JSON.

Workers and tests share it. An encoder that is faster must store the same and refuse the same.
"""

import dataclasses
import math
from base64 import b64encode
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID


def as_json_value(value: Any, where: str = "") -> Any:
    """Return a value as JSON values by the rule of `Record`. Raises TypeError or ValueError that names the field."""
    value = value.value if isinstance(value, Enum) else value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return _checked(int(value), where, int.__str__)
    if isinstance(value, Mapping):
        return _as_object(value.items(), where)
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json_value(each, f"{where}[{number}]") for number, each in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _as_object(((each.name, getattr(value, each.name)) for each in dataclasses.fields(value)), where)
    text = _as_text(value)
    if text is None:
        raise TypeError(f"{_named(where)}: {type(value).__name__} is no JSON value")
    return _checked(text, where, str.encode)


def as_plain(value: Any) -> Any:
    """Return what an encoder does not know as what it knows: a subclass as its base. Raises TypeError."""
    for base in (str, int, float):
        if isinstance(value, base) and not isinstance(value, bool):  # which an encoder only asks about as a key
            return base(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def find_unwritable(records: list[Any]) -> Exception | None:
    """Return the error of the first record that cannot be stored, None when all can."""
    try:
        for record in records:
            as_json_value(record)
    except (TypeError, ValueError) as error:
        return error
    return None


def _as_object(items: Any, where: str) -> dict[str, Any]:
    result = {}
    for key, value in items:
        plain = key.value if isinstance(key, Enum) else key
        if isinstance(plain, int | float) and not isinstance(plain, bool):
            name: str | None = repr(plain).replace("e+", "e")
        else:
            name = _as_text(plain)
        if name is None:
            raise TypeError(f"{_named(where)}: a key is {key!r:.100}, not text")
        _checked(name, f"{where}.{name}" if where else name, str.encode)
        try:
            result[name] = as_json_value(value, f"{where}.{name}" if where else name)
        except RecursionError:
            if where:
                raise
            raise ValueError(f"{_named(name)}: holds itself, or is nested too deeply") from None
    return result


def _as_text(value: Any) -> str | None:
    """Return the text that stands for a value of these types, None for any other."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode()
    if isinstance(value, datetime | time):
        return value.isoformat().removesuffix("+00:00") + ("Z" if value.isoformat().endswith("+00:00") else "")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _duration(value)
    return str(value) if isinstance(value, Decimal | UUID) else None


def _duration(value: timedelta) -> str:
    """Return a duration as `-P1DT2.5S`: days, and seconds that are less than one."""
    sign, value = ("-", -value) if value < timedelta() else ("", value)
    seconds = f"{value.seconds}.{value.microseconds:06}".rstrip("0").rstrip(".")
    days = f"{value.days}D" if value.days or seconds == "0" else ""
    return f"{sign}P{days}" + (f"T{seconds}S" if seconds != "0" else "")


def _checked(value: Any, where: str, check: Any) -> Any:
    """Return a value that passes `check`; ValueError names the field of one that does not."""
    try:
        check(value)
    except UnicodeEncodeError:
        raise ValueError(f"{_named(where)}: text with a lone surrogate, which UTF-8 cannot hold") from None
    except ValueError as error:
        raise ValueError(f"{_named(where)}: {error}") from None
    return value


def _named(where: str) -> str:
    return f"field {where[:100]!r}" if where else "a record"
