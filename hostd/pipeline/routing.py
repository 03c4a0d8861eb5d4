"""Source to plugin: by configuration, else by what the manifests accept. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import PurePath

from contract.manifest import Accepts, Manifest
from contract.pattern import Pattern


@dataclass(frozen=True, slots=True)
class Route:
    """Which plugin takes a source (None: it waits), and why."""

    plugin: str | None
    why: str


def route(name: str, head: bytes, configured: str | None, present: str | None, manifests: Iterable[Manifest]) -> Route:
    """Choose the plugin for a source of this name whose first bytes are `head`.

    Every criterion that a manifest gives must hold. Among those that accept, the higher priority wins, then the
    one with more criteria, then head over name; of equals the one that serves at `present`, and without one the
    source waits, since the wrong parser is worse than none.
    """
    by_name = {manifest.name: manifest for manifest in manifests}
    if configured is not None:
        if configured in by_name:
            return Route(configured, "configured")
        return Route(None, f"its configured processor {configured!r} is not in service")
    ranked = sorted(
        ((rank, manifest.name) for manifest in by_name.values() if (rank := _rank(manifest.accepts, name, head))),
        reverse=True,
    )
    if not ranked:
        return Route(None, "no plugin accepts it; drop one into the plugins folder, or set processor for its source")
    best = [plugin for rank, plugin in ranked if rank == ranked[0][0]]
    if present in best:
        return Route(present, describe(by_name[present].accepts))
    if len(best) > 1:
        return Route(
            None,
            f"{' and '.join(sorted(best))} accept it equally; set processor, or give one a higher priority",
        )
    return Route(best[0], describe(by_name[best[0]].accepts))


def describe(accepts: Accepts) -> str:
    """Say by what a manifest accepts sources."""
    criteria = [text for text, given in (("name", accepts.names), ("head", accepts.head)) if given]
    return " and ".join(criteria) or "nothing"


def _rank(accepts: Accepts, name: str, head: bytes) -> tuple[int, int, int] | None:
    criteria = bool(accepts.names) + bool(accepts.head)
    if not criteria:
        return None
    base = PurePath(name).name
    if accepts.names and not any(fnmatchcase(base, glob) or fnmatchcase(name, glob) for glob in accepts.names):
        return None
    if accepts.head and not _compiled(accepts.head).search(head):
        return None
    return accepts.priority, criteria, bool(accepts.head)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> Pattern:
    return Pattern(pattern)
