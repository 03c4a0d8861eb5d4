"""The normal forms that processors share: times as RFC 3339 in UTC, severities as OpenTelemetry numbers them.

A time is read by its notation, in `strptime`'s words, and remembered by the minute: neighbouring lines share it.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final

_MOST_REMEMBERED: Final = 10_000
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_ZONES_MINUTES: Final = {
    "Z": 0,
    "UTC": 0,
    "GMT": 0,
    "WET": 0,
    "WEST": 60,
    "BST": 60,
    "CET": 60,
    "CEST": 120,
    "EET": 120,
    "EEST": 180,
    "MSK": 180,
    "JST": 540,
    "KST": 540,
    "AEST": 600,
    "AEDT": 660,
    "NZST": 720,
    "NZDT": 780,
    "EST": -300,
    "EDT": -240,
    "CST": -360,
    "CDT": -300,
    "MST": -420,
    "MDT": -360,
    "PST": -480,
    "PDT": -420,
    "HST": -600,
}
"""The abbreviations that PostgreSQL knows by default and that are found in logs; others have more than one meaning."""

_FIELDS: Final = {
    "Y": r"(?P<year>\d{4})",
    "y": r"(?P<short_year>\d\d)",
    "m": r"(?P<month>\d\d?)",
    "b": r"(?P<month_name>[A-Za-z]{3})",
    "d": r"(?P<day> ?\d\d?)",
    "a": r"[A-Za-z]{3}",
    "H": r"(?P<hour>\d\d)",
    "M": r"(?P<minute>\d\d)",
    "z": r"(?: ?(?P<offset>Z|[+-]\d\d(?::?\d\d)?))?",
    "Z": r"(?: ?(?P<zone>[A-Z][A-Za-z]{0,4}|[+-]\d\d(?:\d\d)?))?",
    "%": "%",
}


class Timestamps(dict[str, str]):
    """Times of one notation to RFC 3339 in UTC: `times[text]`.

    `notation` is written in `strptime`'s codes: `%Y %y %m %b %d %a %H %M %S %z %Z %%`. `%b` and `%a` are English, `%d`
    and `%m` may have one digit, and `%S` takes a fraction after a point or a comma and keeps its digits. `%z` is an
    offset (`Z`, `+02:00`, `+0200`, `+02`) and `%Z` an abbreviation such as `CET`, each after a space or none; where
    there is none, `zone` holds. `zone` is `UTC`, an offset such as `+02:00`, or a name such as `Europe/Berlin`. An hour
    that the clocks repeat is its first. `year` is that of a notation without one, which has no other way to be a time.
    A second 60 stays one.

    `times[text]` raises ValueError for what is no such time. About 50 ns for a text seen lately, 1.5 us for another
    second, 9 us for another minute. Raises ValueError for a notation or a zone that it cannot read.
    """

    def __init__(self, notation: str, *, zone: str | None = None, year: int | None = None) -> None:
        super().__init__()
        self._notation = notation
        self._year = year
        self._zone = read_zone(zone or "UTC")
        self._has_zone = zone is not None
        before, seconds, after = notation.replace(" %z", "%z").replace(" %Z", "%Z").partition("%S")
        if not seconds:
            raise ValueError(f"the notation {notation!r} has no %S")
        self._before, self._after = _expression(before), _expression(after)
        if year is None and not {"year", "short_year"} & {*self._before.groupindex, *self._after.groupindex}:
            raise ValueError(f"the notation {notation!r} has no year: give one")
        self._parts = re.compile(
            rf"({_unnamed(self._before)})([0-5]\d|60)(?:[.,](\d{{1,9}}))?({_unnamed(self._after)})", re.ASCII
        )
        self._minutes: dict[tuple[str, str], str] = {}

    def __missing__(self, text: str) -> str:
        parts = self._parts.fullmatch(text)
        if parts is None:
            raise ValueError(f"{text!r} is not a time like {self._notation}")
        before, second, fraction, after = parts.groups()
        minute = self._minutes.get((before, after)) or self._minute(before, after)
        utc = f"{minute}{second}.{fraction}Z" if fraction else f"{minute}{second}Z"
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        self[text] = utc
        return utc

    def _minute(self, before: str, after: str) -> str:
        """Return `2015-05-17T10:05:` for what is around the seconds."""
        earlier, later = self._before.fullmatch(before), self._after.fullmatch(after)
        assert earlier is not None  # the expression for the whole is made of the two
        assert later is not None
        fields = {**earlier.groupdict(), **later.groupdict()}
        name = fields.get("month_name")
        month = _MONTHS.get(name.lower(), 0) if name else int(fields["month"])
        year = self._year_of(fields)
        local = datetime(year, month, int(fields["day"]), int(fields["hour"]), int(fields["minute"]), tzinfo=UTC)
        zone = self._zone_of(fields)
        try:
            utc = local.replace(tzinfo=zone).astimezone(UTC)
        except OverflowError as error:
            raise ValueError(f"{before!r} is outside of the years 1 to 9999 in UTC") from error
        if utc.second:  # a local mean time of long ago; seconds are copied, so they must not change
            raise ValueError(f"{before!r}: its offset is no whole number of minutes")
        if len(self._minutes) >= _MOST_REMEMBERED:
            self._minutes.clear()
        self._minutes[before, after] = minute = utc.isoformat()[:17]
        return minute

    def _year_of(self, fields: dict[str, str | None]) -> int:
        if year := fields.get("year"):
            return int(year)
        if short := fields.get("short_year"):
            return int(short) + (1900 if int(short) >= 69 else 2000)  # POSIX
        assert self._year is not None  # or __init__ has raised
        return self._year

    def _zone_of(self, fields: dict[str, str | None]) -> tzinfo:
        if offset := fields.get("offset"):
            return read_zone(offset)
        name = fields.get("zone")
        if name is None:
            return self._zone
        if name in _ZONES_MINUTES or name[0] in "+-":
            return read_zone(name)
        if self._has_zone:
            return self._zone
        raise ValueError(f"the zone {name!r} is not known; set the option time_zone")


@lru_cache(maxsize=256)
def timestamps(notation: str, zone: str | None = None, year: int | None = None) -> Timestamps:
    """Return the `Timestamps` of a notation, always the same for the same arguments."""
    return Timestamps(notation, zone=zone, year=year)


def _expression(notation: str) -> re.Pattern[str]:
    pieces = []
    literals = re.split(r"%(.)", notation)
    for number, piece in enumerate(literals):
        if number % 2 == 0:
            pieces.append(re.escape(piece))
        elif piece in _FIELDS:
            pieces.append(_FIELDS[piece])
        else:
            raise ValueError(
                f"the notation {notation!r} has the unknown code %{piece}; known are %{' %'.join(_FIELDS)}"
            )
    return re.compile("".join(pieces), re.ASCII)


def _unnamed(expression: re.Pattern[str]) -> str:
    return re.sub(r"\(\?P<\w+>", "(?:", expression.pattern)


def read_zone(name: str) -> tzinfo:
    """Return the zone of `UTC`, an abbreviation, an offset such as `+02:00`, or a name such as `Europe/Berlin`.

    Raises ValueError for what is none.
    """
    if name in _ZONES_MINUTES:
        minutes = _ZONES_MINUTES[name]
        return timezone(timedelta(minutes=minutes)) if minutes else UTC
    found = re.fullmatch(r"([+-])(\d\d):?(\d\d)?", name, re.ASCII)
    if found is not None:
        offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
        if offset >= timedelta(hours=24):
            raise ValueError(f"the offset {name!r} is a day or more")
        return timezone(-offset if found[1] == "-" else offset)
    from zoneinfo import ZoneInfo  # few need it, and it costs every worker some milliseconds

    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:  # LookupError: what zoneinfo raises for a name it lacks
        raise ValueError(f"{name!r} is no time zone; write UTC, +02:00, or a name such as Europe/Berlin") from error


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER: Final = re.compile(r"(-?\d{1,30})(?:\.(\d{1,9})\d*)?", re.ASCII)


def from_epoch(time: float | str, per_second: int = 1) -> str:
    """Return a time counted from 1970 as RFC 3339 in UTC: in seconds, or with `per_second` 1000 in milliseconds.

    A text keeps the digits of its fraction, at most nine; a float is read to the microsecond. `per_second` is a power
    of ten. Raises ValueError for what is no number, and for what is outside of the years 1 to 9999.
    """
    if isinstance(time, float):
        time = f"{time:.6f}"
        if per_second == 1 and time[0].isdecimal():  # no sign, and a number
            whole, _, fraction = time.partition(".")
            return f"{_second(int(whole))}.{fraction}Z"
    found = _NUMBER.fullmatch(str(time))
    if found is None:
        raise ValueError(f"{time!r} is no number of seconds since 1970")
    seconds, part = divmod(int(found[1]), per_second)
    fraction = str(part).zfill(len(str(per_second)) - 1) if per_second > 1 else found[2] or ""
    if per_second == 1 and found[2] and found[1].startswith("-"):
        seconds, fraction = seconds - 1, str(10 ** len(fraction) - int(fraction)).zfill(len(fraction))
        if len(fraction) > len(found[2]):  # -1.000
            seconds, fraction = seconds + 1, fraction[1:]
    return _second(seconds) + (f".{fraction}Z" if fraction else "Z")


@lru_cache(maxsize=1024)
def _second(seconds: int) -> str:
    try:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]
    except OverflowError as error:
        raise ValueError(f"{seconds} seconds since 1970 are outside of the years 1 to 9999") from error


SYSLOG_SEVERITIES: Final = (
    *(("emerg", 21), ("alert", 19), ("crit", 18), ("err", 17)),
    *(("warning", 13), ("notice", 10), ("info", 9), ("debug", 5)),
)
"""The severities 0 to 7 of syslog and the journal: their names, and their numbers in OpenTelemetry."""

_SEVERITY_WORDS: Final = {
    **dict.fromkeys(("trace", "finest", "verbose", "silly", "all", "t", "v", "finer"), 1),
    **{f"trace{number}": 1 for number in range(1, 9)},
    **dict.fromkeys(("debug", "fine", "d", "dbg", "debug1"), 5),
    "config": 8,
    "debug2": 6,
    "debug3": 7,
    "debug4": 8,
    **dict.fromkeys(("info", "information", "informational", "i", "inf", "log", "note", "system"), 9),
    **dict.fromkeys(("notice", "n"), 10),
    **dict.fromkeys(("warn", "warning", "w", "wrn"), 13),
    **dict.fromkeys(("error", "err", "e", "severe", "eror"), 17),
    **dict.fromkeys(("crit", "critical", "c", "dpanic"), 18),
    **dict.fromkeys(("alert", "a"), 19),
    **dict.fromkeys(("fatal", "f", "emerg", "emergency", "panic", "ftl"), 21),
}


@lru_cache(maxsize=1024)
def severity_number(text: str) -> int | None:
    """Return OpenTelemetry's number of a severity as logs write it (`WARN`, `err`, `I`); None for another word.

    TRACE is 1, DEBUG 5, INFO 9, WARN 13, ERROR 17, FATAL 21. Case does not count. About 80 ns.
    """
    return _SEVERITY_WORDS.get(text.strip().lower())
