"""How logs write times: what one looks like, and the format that reads it."""

import re
from dataclasses import dataclass

_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_ZONE = r"(?: ?(?:Z|[+-]\d\d:?\d\d))?"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"


@dataclass(frozen=True, slots=True)
class Notation:
    """One way to write a time. `format` is None for what no format reads, a time without a day for example."""

    expression: str
    format: str | None
    field: str = "timestamp"

    @property
    def compiled(self) -> re.Pattern[str]:
        """The expression, to be matched at a place."""
        return re.compile(self.expression, re.ASCII)


NOTATIONS = (
    Notation(rf"\d{{4}}-\d\d-\d\d[T ]{_CLOCK}{_ZONE}", "rfc3339"),
    Notation(rf"\d{{4}}/\d\d/\d\d {_CLOCK}{_ZONE}", "%Y/%m/%d %H:%M:%S%z"),
    Notation(rf"\d\d/{_MONTH}/\d{{4}}:{_CLOCK} [+-]\d{{4}}", "%d/%b/%Y:%H:%M:%S %z"),
    Notation(rf"\d\d/{_MONTH}/\d{{4}}:{_CLOCK}", "%d/%b/%Y:%H:%M:%S"),
    Notation(rf"{_DAY} {_MONTH} [ \d]\d {_CLOCK} \d{{4}}", "%a %b %d %H:%M:%S %Y"),
    Notation(rf"{_DAY}, \d\d? {_MONTH} \d{{4}} {_CLOCK} [+-]\d{{4}}", "%a, %d %b %Y %H:%M:%S %z"),
    Notation(rf"\d{{4}} {_MONTH} [ \d]\d {_CLOCK}", "%Y %b %d %H:%M:%S"),
    Notation(rf"\d\d? {_MONTH} \d{{4}} {_CLOCK}", "%d %b %Y %H:%M:%S"),
    Notation(rf"\d\d?-{_MONTH}-\d{{4}} {_CLOCK}", "%d-%b-%Y %H:%M:%S"),
    Notation(rf"{_MONTH} +\d{{1,2}} \d{{4}} {_CLOCK}", "%b %d %Y %H:%M:%S"),
    Notation(rf"{_MONTH} [ \d]\d {_CLOCK}", "%b %d %H:%M:%S"),
    Notation(rf"\d\d\.\d\d\.\d{{4}} {_CLOCK}", "%d.%m.%Y %H:%M:%S"),
    Notation(rf"(?:0?[1-9]|1[0-2])/\d\d?/\d{{4}}[ -]{_CLOCK}(?: [AP]M)?", None),
    Notation(rf"\d\d/\d\d/\d\d {_CLOCK}", None),
    Notation(rf"\d\d-\d\d-\d{{4}} {_CLOCK}", None),
    Notation(rf"\d\d/\d\d/\d{{4}} {_CLOCK}", "%d/%m/%Y %H:%M:%S"),
    Notation(rf"\d{{8}} {_CLOCK}", "%Y%m%d %H:%M:%S"),
    Notation(rf"\d{{8}}-{_CLOCK}", "%Y%m%d-%H:%M:%S"),
    Notation(rf"\d\d-\d\d {_CLOCK}", "%m-%d %H:%M:%S"),
    Notation(rf"\d\d/\d\d-{_CLOCK}", "%m/%d-%H:%M:%S"),
    Notation(rf"\d{{4}} {_CLOCK}", None, "time"),
    Notation(r"1\d{9}\.\d{1,9}", "epoch"),
    Notation(r"1[0-9]{12}", "epoch_ms"),
    Notation(r"1[0-9]{9}", "epoch"),
    Notation(r"\d{4}-\d\d-\d\d", None, "date"),
    Notation(_CLOCK, None, "time"),
)
"""The longer before what it begins with; a format is given only where there is one reading."""

_COMPILED = [notation.compiled for notation in NOTATIONS]


def time_at(line: str, position: int) -> tuple[int, int] | None:
    """Return which notation a time at `position` is written in, and where it ends; None when there is none."""
    if not line[position : position + 1].isalnum():
        return None
    for number, compiled in enumerate(_COMPILED):
        found = compiled.match(line, position)
        if found is not None and not line[found.end() : found.end() + 1].isalnum():
            return number, found.end()
    return None
