"""Captured texts to rows: many records with the same keys, without a dict for each.

What cannot be told by names and rows alone is left to dicts: `layout_of_rows` returns None then. What is evaluated
is written as in `builder`: names of our own and texts as literals, none of it the user's code.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.declared.fields import Convert, convert_int, convert_json
from contract.normal import severity_number
from contract.record import Record
from contract.rows import Rows

Values = Sequence[Any]
LEAST_ROWS = 16
"""Fewer than these in a run are dicts: what each run costs is more than what it saves."""


@dataclass(frozen=True, slots=True)
class LayoutOfRows:
    """The names of the values that `rows` makes of the groups of many records; it raises what a converter does."""

    names: tuple[str, ...]
    optional: frozenset[str]
    rows: Callable[[Iterable[Values]], list[Values]]


def layout_of_rows(
    keys: tuple[str, ...],
    optional: Collection[int],
    converts: Mapping[str, Convert],
    nulls: Mapping[str, frozenset[str]],
    severities: tuple[tuple[str, str], ...],
    constants: Mapping[str, Any],
) -> LayoutOfRows | None:
    """Return how records of texts, each with its key, become rows; None where only dicts will do.

    `optional` are the places of texts that may be None, and are left out then. `nulls` are the texts of keys that mean
    None, which is kept; the others are converted.
    """
    names = (*keys, *(number for _, number in severities), *constants)
    levels = {key for key, _ in severities}
    missing = {keys[place] for place in optional}
    nullable = {*nulls, *(key for key, convert in converts.items() if convert is convert_json)}
    if not keys or len(set(names)) < len(names) or missing & (nullable | levels) or levels & nullable:
        return None
    taken = [f"v{place}" for place in range(len(keys))]
    namespace: dict[str, Any] = {"severity": severity_number}
    values = []
    for place, key in enumerate(keys):
        values.append(
            _value(place, converts.get(key), nulls.get(key, frozenset()), namespace, optional=place in optional)
        )
    values += [f"severity(v{keys.index(key)})" for key, _ in severities]
    for place, constant in enumerate(constants.values()):
        namespace[f"k{place}"] = constant
        values.append(f"k{place}")
    if values == taken:
        return LayoutOfRows(names, frozenset(missing), list)
    line = f"lambda found: [({', '.join(values)},) for ({', '.join(taken)},) in found]"
    rows: Callable[[Iterable[Values]], list[Values]] = eval(line, namespace)  # noqa: S307 - see above
    return LayoutOfRows(names, frozenset(missing), rows)


def _value(
    place: int, convert: Convert | None, nulls: frozenset[str], namespace: dict[str, Any], *, optional: bool
) -> str:
    """Return what makes a value of the text at a place: without a call where there need be none."""
    name = value = f"v{place}"
    if convert is not None:
        namespace[f"c{place}"] = convert
        value = f"c{place}({name})"
    if convert is convert_int:
        value = f"int({name}) if '_' not in {name} else {value}"
    if len(nulls) == 1:
        value = f"None if {name} == {next(iter(nulls))!r} else {value}"
    elif nulls:
        namespace[f"n{place}"] = nulls
        value = f"None if {name} in n{place} else {value}"
    return f"None if {name} is None else {value}" if optional and value != name else value


class Gathered:
    """Records in order, those of one layout side by side as rows."""

    def __init__(self, layout: LayoutOfRows | None) -> None:
        self._layout = layout
        self._rows: list[Values] = []
        self._records: list[Record | Rows] = []

    def add_rows(self, rows: list[Values]) -> None:
        """Add records as rows of the layout."""
        self._rows += rows

    def add(self, records: list[Record]) -> None:
        """Add records of any layout."""
        if records:
            self._end_run()
            self._records += records

    def all(self) -> Rows | list[Record | Rows]:
        """Return what was added."""
        if self._layout is not None and self._rows and not self._records:
            return Rows(self._layout.names, self._rows, optional=self._layout.optional)
        self._end_run()
        return self._records

    def _end_run(self) -> None:
        if self._layout is None or not self._rows:
            return
        rows = Rows(self._layout.names, self._rows, optional=self._layout.optional)
        self._records += rows if len(self._rows) < LEAST_ROWS else [rows]
        self._rows = []
