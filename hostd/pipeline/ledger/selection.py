"""Which dead letters are meant: what `hostd dead` filters by, the same from a command line and from a query string."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from hostd import clock
from hostd.errors import HostdError

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

FILTERS = ("plugin", "source", "generation", "reason", "since", "id")
"""The names that `Selection.parse` takes."""


class Selection(Struct, frozen=True):
    """All dead letters for which everything that is given holds.

    `source` is a name or a glob, `reason` a part of the reason, `since` an RFC 3339 time in UTC. The last two are not
    for users: none with a number over `until`, and none that generation `untried_by` made, or has looked at in vain.
    """

    plugin: str | None = None
    source: str | None = None
    generation: int | None = None
    reason: str | None = None
    since: str | None = None
    id: int | None = None
    until: int | None = None
    untried_by: int | None = None

    @classmethod
    def parse(cls, given: Mapping[str, str | None]) -> "Selection":
        """Return what texts by the names in `FILTERS` say; others are ignored. Raises HostdError."""
        since = given.get("since")
        for name in FILTERS:
            if given.get(name) == "":
                raise HostdError(f"--{name}", "is empty, and would be no filter", "give it a value, or leave it out")
        return cls(
            plugin=given.get("plugin"),
            source=given.get("source"),
            generation=number_in(given, "generation"),
            reason=given.get("reason"),
            since=_time(since) if since is not None else None,
            id=number_in(given, "id"),
        )

    def narrow(self, plugin: str, generation: int, until: int) -> "Selection":
        """Return what of it is of one generation, up to a number."""
        return replace(self, plugin=plugin, generation=generation, until=until)

    def up_to(self, until: int) -> "Selection":
        """Return what of it has a number up to `until`."""
        return replace(self, until=until)

    @property
    def is_all(self) -> bool:
        """Tell whether nothing is filtered."""
        return self == Selection()

    def describe(self) -> str:
        """Return what is given in words."""
        return " ".join(f"{name}={value}" for name in FILTERS if (value := getattr(self, name)) is not None) or "all"

    def clauses(self) -> tuple[list[str], list[object]]:
        """Return conditions of SQL, and their parameters in order.

        `+` keeps a column from choosing an index: rows are looked through by number, a bounded run of them at a time.
        """
        narrow = self.plugin is not None and self.generation is not None
        conditions: list[tuple[str, object]] = [
            ("plugin = ?" if narrow else "+plugin = ?", self.plugin),
            ("generation = ?" if narrow else "+generation = ?", self.generation),
            ("instr(reason, ?) > 0", self.reason),
            ("at >= ?", self.since),
            ("id = ?", self.id),
            ("id <= ?", self.until),
            ("+generation <> ?", self.untried_by),
            ("tried <> ?", self.untried_by),
        ]
        given = [(condition, value) for condition, value in conditions if value is not None]
        if self.source is not None:
            given += [("(name = ? OR name GLOB ?)", self.source)]
        values: list[object] = []
        for condition, value in given:
            values += [value] * condition.count("?")
        return [condition for condition, _ in given], values


def number_in(given: Mapping[str, str | None], name: str) -> int | None:
    """Return a whole number that was given by name, None when it was not. Raises HostdError."""
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise HostdError(f"--{name}", f"{text!r} is no number", "give one as hostd dead list shows it")
    return int(text)


def _time(text: str) -> str:
    """Return a time as the ledger writes it, of an RFC 3339 time (of this place without an offset) or `90m` ago."""
    if ago := _AGO.fullmatch(text):
        when = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    else:
        try:
            when = datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise HostdError(
                "--since", f"{text!r} is no time", "write 2026-01-31T12:00:00Z, 2026-01-31, or 90m, 12h, 7d for ago"
            ) from error
    return clock.written(when)
