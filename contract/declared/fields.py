"""What becomes of a captured text: a number, a time, a severity, a JSON value."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from contract.declared.problem import RecipeError
from contract.normal import from_epoch, read_zone, timestamps
from contract.strict_json import decode_json

Convert = Callable[[str], Any]
TYPES: Final = ("string", "int", "float", "bool", "timestamp", "severity", "json")
EPOCHS: Final = {"epoch": 1, "epoch_ms": 10**3, "epoch_us": 10**6, "epoch_ns": 10**9}
RFC3339: Final = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S%z")
_BOOLS: Final = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What is said of one field. `formats` are notations of `contract.Timestamps`, or names of `EPOCHS`."""

    type: str = "string"
    name: str | None = None
    formats: tuple[str, ...] = ()
    zone: str | None = None
    nulls: frozenset[str] = frozenset()

    @property
    def key(self) -> str | None:
        """The record's key, None for the field's own name."""
        return self.name or {"timestamp": "timestamp", "severity": "severity_text"}.get(self.type)

    @property
    def needs_zone(self) -> bool:
        """Tell whether a time may name no zone, so that somebody has to."""
        return self.zone is None and any(each not in EPOCHS for each in self.formats)

    @property
    def needs_year(self) -> bool:
        """Tell whether a time names no year."""
        return any(each not in EPOCHS and not re.search("%[Yy]", each) for each in self.formats)


def read_rule(name: str, written: Any) -> FieldRule:
    """Take what is written of a field, a type or a table whose shape was checked. Raises RecipeError."""
    table: Mapping[str, Any] = {"type": written} if isinstance(written, str) else written
    path = ("fields", name)
    kind, zone = table.get("type", "string"), table.get("zone")
    formats = _formats(path, kind, as_texts(table.get("format")), zone)
    return FieldRule(kind, table.get("name"), formats, zone, frozenset(as_texts(table.get("null"))))


def as_texts(written: Any) -> tuple[str, ...]:
    """Return one text or a list of them, as it may be written, as several."""
    return () if written is None else (written,) if isinstance(written, str) else tuple(written)


def _formats(path: tuple[str, ...], kind: str, written: tuple[str, ...], zone: str | None) -> tuple[str, ...]:
    if kind != "timestamp":
        for key, value in (("format", written), ("zone", zone)):
            if value:
                raise RecipeError((*path, key), f"goes with type {kind!r}", 'write type = "timestamp"')
        return ()
    if not written:
        raise RecipeError(
            path,
            "is a timestamp without a format",
            'add format = "rfc3339", "epoch", or for example "%Y-%m-%d %H:%M:%S"',
        )
    formats: list[str] = []
    for each in written:
        formats += RFC3339 if each == "rfc3339" else [each]
    for each in formats:
        if each in EPOCHS:
            continue
        if "%" not in each:
            raise RecipeError(
                (*path, "format"), f"= {each!r} is no notation", f"write rfc3339, {', '.join(EPOCHS)}, or %Y and so on"
            )
        try:
            timestamps(each, zone, None if re.search("%[Yy]", each) else 2000)
        except ValueError as error:
            about_zone = zone is not None and _is_no_zone(zone)
            raise RecipeError(
                (*path, "zone" if about_zone else "format"), f"cannot be used: {error}", "correct it"
            ) from (error)
    return tuple(formats)


def _is_no_zone(zone: str) -> bool:
    try:
        read_zone(zone)
    except ValueError:
        return True
    return False


def converter(rule: FieldRule, zone: str | None, year: int | None) -> Convert | None:
    """Return what makes a value of a text, None for nothing; `zone` and `year` are the operator's.

    A converter raises ValueError for a text that is none of its kind.
    """
    convert = _CONVERTS.get(rule.type)
    if rule.type == "timestamp":
        convert = _times(rule, zone, year)
    if not rule.nulls:
        return convert
    nulls = rule.nulls
    if convert is None:
        return lambda text: None if text in nulls else text
    inner = convert
    return lambda text: None if text in nulls else inner(text)


def convert_int(text: str) -> int:
    """Return a whole number, of which Python's own notation with `_` is none."""
    if "_" in text:
        raise ValueError(f"{text!r:.100} is no int")
    return int(text)


def _bool(text: str) -> bool:
    value = _BOOLS.get(text.lower())
    if value is None:
        raise ValueError(f"{text!r:.100} is no bool")
    return value


def convert_json(text: str) -> Any:
    """Return the one value of a JSON text."""
    try:
        value, end = decode_json(text, len(text) - len(text.lstrip()))
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error
    if text[end:].strip():
        raise ValueError(f"more than JSON: {text[end : end + 100]!r}")
    return value


_CONVERTS: Final[Mapping[str, Convert]] = {"int": convert_int, "float": float, "bool": _bool, "json": convert_json}


def _times(rule: FieldRule, zone: str | None, year: int | None) -> Convert | None:
    if rule.needs_year and year is None:
        return None  # it stays as it is written: any completion would be a guess
    zone = rule.zone or zone
    readers: list[Convert] = []
    for each in rule.formats:
        if each in EPOCHS:
            readers.append(_epoch(EPOCHS[each]))
        else:
            readers.append(timestamps(each, zone, None if re.search("%[Yy]", each) else year).__getitem__)
    if len(readers) == 1:
        return readers[0]
    return lambda text: _first(readers, text)


def _epoch(per_second: int) -> Convert:
    return lambda text: from_epoch(text, per_second)


def _first(readers: list[Convert], text: str) -> Any:
    for read in readers[:-1]:
        try:
            return read(text)
        except ValueError:
            continue
    return readers[-1](text)
