"""One read-only snapshot of the daemon: what serves, what is read, what is refused and why."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec.structs import asdict

from hostd import clock
from hostd.past import Hold
from hostd.pipeline.pump import Pump
from hostd.pipeline.sinks.staged import Backlog
from hostd.pipeline.sources.file import FileSource
from hostd.pipeline.trouble import HeldUp
from hostd.plugins.catalog import Catalog
from hostd.plugins.generation import Generation
from hostd.workers.confinement import Confinement
from hostd.workers.limits import OPEN_FILES


def snapshot(
    *,
    daemon: dict[str, Any],
    catalog: Catalog,
    holds: Mapping[str, Hold],
    confinement: Confinement,
    sources: Iterable[FileSource],
    left_out: int,
    intakes: list[dict[str, Any]],
    pump: Pump,
    held_up: HeldUp | None,
    backlogs: Iterable[Backlog],
) -> dict[str, Any]:
    """Return the status but for dead letters, as JSON values; the shape is part of the interface."""
    return {
        "daemon": daemon,
        "sandbox": {"by": confinement.by, "reason": confinement.reason},
        "plugins": [
            _plugin(generation, catalog.warm.get(name), holds.get(name), confinement)
            | {
                "keeping": [
                    {"generation": number, "version": kept.generation.version, "sources": len(kept.sources)}
                    for (plugin, number), kept in sorted(catalog.kept.items(), key=lambda entry: entry[0])
                    if plugin == name
                ]
            }
            for name, generation in sorted(catalog.current.items())
        ],
        "sources": [_source(source, pump) for source in sorted(sources, key=lambda source: source.name)],
        "left_out": left_out,
        "intakes": intakes,
        "refused": [
            {
                "path": str(refused.path),
                "plugin": refused.plugin,
                "digest": refused.digest,
                "stage": refused.stage.value,
                "reason": refused.reason,
                "since": refused.since,
            }
            for _, refused in sorted(catalog.refused.items())
        ],
        "held_up": asdict(held_up) if held_up is not None else None,
        "undelivered": [
            {
                "kind": backlog.kind,
                "sink": backlog.sink,
                "bytes": backlog.bytes,
                "failing": [
                    {"processor": processor, "reason": reason, "retry_s": round(retry_s, 1)}
                    for processor, (reason, retry_s) in backlog.failing.items()
                ],
            }
            for backlog in backlogs
        ],
    }


def _plugin(
    generation: Generation, warm: Generation | None, hold: Hold | None, confinement: Confinement
) -> dict[str, Any]:
    intensity = generation.crew.intensity
    place, limits = generation.crew.place, generation.manifest.limits
    return {
        "name": generation.plugin,
        "version": generation.version,
        "contract": generation.artifact.contract,
        "generation": generation.number,
        "digest": generation.artifact.digest,
        "path": str(generation.artifact.path),
        "state": "failing" if intensity.is_failing else generation.state.value,
        "since": generation.since,
        "records": generation.records,
        "rejected": generation.rejected,
        "workers": generation.crew.workers,
        "warm": warm.number if warm else None,
        "regressions": generation.regressions,
        "held": {"kind": hold.kind, "path": hold.path, "reason": hold.reason} if hold else None,
        "failing": (
            {
                "losses": intensity.losses,
                "reason": intensity.reason,
                "retry_s": round(intensity.rest_s(clock.monotonic()), 1),
            }
            if intensity.is_failing
            else None
        ),
        "sandbox": {"by": confinement.by, "network": place.network, "paths": list(place.paths)},
        "limits": {"time_s": limits.time_s, "memory_mib": limits.memory_mib, "open_files": OPEN_FILES},
    }


def _source(source: FileSource, pump: Pump) -> dict[str, Any]:
    route = pump.route_of(source)
    return {
        "name": source.name,
        "path": source.path,
        "plugin": route.plugin,
        "why": route.why,
        "kept_by": pump.kept_by(source),
        "offset": source.committed.offset,
        "size": source.size(),
    }
