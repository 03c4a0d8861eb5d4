"""What speaks for one plugin and one source: which of the manifest's criteria hold, and how well. Pure."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache

from contract.manifest import Manifest
from contract.pattern import Pattern
from hostd.pipeline.detection.head import Head
from hostd.pipeline.detection.shapes import shapes_of

_ROTATED = re.compile(
    r"(\.\d{1,4}|[-._]\d{4}-?\d\d-?\d\d([-_.T]?\d\d([-_:.]?\d\d){0,2})?|[-.]\d{8,14}|\.(old|bak|orig|prev|save)|~)+$"
)
"""What rotation appends to a name."""
_ROTATED_CHARACTERS = 64
"""Of how much of a name's end: there are many ways to read a long row of dates, and each would be tried."""


@dataclass(frozen=True)
class Evidence:
    """How one manifest's criteria fare; None for one that it does not give."""

    manifest: Manifest
    head_read: Head
    name: str | None
    """The glob that fits, empty where none does."""
    head: bool | None
    lines: int | None
    """How many of the lines have its pattern."""
    unless: bool
    """Whether the pattern is found that must not be."""
    media_type: str = ""
    """The one of its media types that the source declares, empty where it declares none of them."""

    @property
    def has_content(self) -> bool:
        """Tell whether the manifest says what is in its sources."""
        return self.manifest.accepts.head is not None or self.manifest.accepts.lines is not None

    @cached_property
    def line_share(self) -> float | None:
        """The share of the lines that its pattern explains, None where it has none.

        Lines that follow the start of a record of several lines are explained too, but for less.
        """
        if self.lines is None:
            return None
        lines = self.head_read.lines
        share = self.lines / max(1, len(lines))
        if self.manifest.framing.start is None:
            return share
        begins = _compiled(self.manifest.framing.start)
        starts = [number for number, line in enumerate(lines) if begins.match(line)]
        before = starts[0] if starts else len(lines)
        return (2 * share + min(1.0, self.lines / max(1, before + len(starts)))) / 3

    @property
    def holds(self) -> tuple[str, ...]:
        """The criteria that hold, in words."""
        found = (("name", self.name), ("media type", self.media_type), ("head", self.head), ("lines", self.lines))
        return tuple(word for word, value in found if value)

    @property
    def fails(self) -> tuple[str, ...]:
        """The criteria that do not hold, in words."""
        name = None if self.media_type else self.name
        found = (("name", name), ("head", self.head), ("lines", self.lines))
        return tuple(word for word, value in found if value is not None and not value) + ("unless",) * self.unless

    @property
    def objection(self) -> str:
        """Why the plugin cannot take the source, whatever its criteria say; empty where it can."""
        if self.manifest.accepts.fallback and self.head_read.is_binary and not self.has_content:
            return "this is not text"
        if self.manifest.header is not None and self.head_read.is_one_line:
            return "its lines end in carriage returns, and all would be one header"
        return ""

    @property
    def accepted(self) -> bool:
        """Tell whether every criterion that is given holds, and there is one."""
        return bool(self.holds) and not self.fails and not self.objection

    @cached_property
    def sample_share(self) -> float:
        """The share of the lines that look like the manifest's samples."""
        return shapes_of(self.manifest).share(self.head_read)


def gather(manifest: Manifest, names: frozenset[str], head: Head, media_type: str = "") -> Evidence:
    """Compare a source with a manifest; `names` is all that it may be called, `media_type` what it declares, if so."""
    accepts = manifest.accepts
    return Evidence(
        manifest,
        head,
        _fitting(accepts.names, names) if accepts.names else None,
        _compiled(accepts.head).search(head.data) if accepts.head is not None else None,
        _count(_compiled(accepts.lines), head) if accepts.lines is not None else None,
        accepts.unless is not None and _compiled(accepts.unless).search(head.data),
        media_type if media_type in accepts.media_types else "",
    )


@lru_cache(maxsize=1024)
def names_of(name: str) -> frozenset[str]:
    """Return what globs are compared with: the name and its last part, in lower case, also as before rotation."""
    whole = name.lower()
    base = whole.rstrip("/").rpartition("/")[2]
    return frozenset((whole, base, _unrotated(base) or base, _unrotated(whole) or whole))


def _unrotated(name: str) -> str:
    return name[:-_ROTATED_CHARACTERS] + _ROTATED.sub("", name[-_ROTATED_CHARACTERS:])


def _fitting(globs: tuple[str, ...], names: frozenset[str]) -> str:
    """Return the glob by which a source is taken, empty without one."""
    return max((found for name in names if (found := _fitting_one(globs, name))), default="")


def _fitting_one(globs: tuple[str, ...], name: str) -> str:
    """Return the last glob that fits a name, empty where that says no."""
    found = next((glob for glob in reversed(globs) if fnmatchcase(name, glob.removeprefix("!").lower())), "!")
    return "" if found.startswith("!") else found


def _count(pattern: Pattern, head: Head) -> int:
    if not pattern.search(head.data):  # one search of all is cheaper than one of each
        return 0
    return sum(pattern.search(line) for line in head.lines)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> Pattern:
    return Pattern(pattern)
