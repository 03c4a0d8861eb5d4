"""Source to plugin: by configuration, else the best of those that its name and first bytes are for. Pure."""

from collections.abc import Container, Mapping
from functools import lru_cache

from msgspec import Struct

from contract.manifest import Manifest
from hostd.pipeline.detection import Memory, Ranking, rank

NOBODY = "drop one into the plugins folder, or set processor for its source"

MISSING = "drop it into the plugins folder, or name one that hostd status shows"


class Route(Struct, frozen=True):
    """Which plugin takes a source (None: it waits), and why."""

    plugin: str | None
    why: str


def route(
    name: str,
    head: bytes,
    processor: str | None,
    present: str | None,
    manifests: Mapping[str, Manifest],
    memory: Memory | None = None,
    media_type: str = "",
) -> Route:
    """Choose the plugin, of those named, for a source of this name whose first bytes are `head`.

    The best of the ranking, of equals the one that serves at `present`, and without one the source waits, since the
    wrong parser is worse than none. `memory` is of the last time that this source was routed.
    """
    if processor is not None:
        return configured(processor, manifests)
    return decide(rank(name, head, manifests, memory, media_type), present)


@lru_cache(maxsize=1024)
def _route(plugin: str, why: str) -> Route:
    """Return one object for what thousands of sources may have in common."""
    return Route(plugin, why)


def configured(processor: str, known: Container[str]) -> Route:
    """Take the plugin that the operator names; wait for it if need be."""
    if processor in known:
        return Route(processor, "configured")
    return Route(None, f"its configured processor {processor!r} is not in service; {MISSING}")


def decide(ranking: Ranking, present: str | None = None) -> Route:
    """Take the best of a ranking, or say who is in question."""
    if not ranking.candidates:
        near = "; ".join(f"{each.plugin} is near, but {each.missing}" for each in ranking.near)
        return Route(None, f"no plugin accepts it; {near}{'; ' if near else ''}{NOBODY}")
    if present in ranking.equals:
        return Route(present, next(each.why for each in ranking.candidates if each.plugin == present))
    best = ranking.best
    if len(best) > 1:
        names = " and ".join(each.plugin for each in best)
        return Route(None, f"{names} accept it equally; set processor, or give one a higher priority")
    return _route(best[0].plugin, best[0].why)
