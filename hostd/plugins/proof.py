"""A checked artifact to a generation that has proven that it can serve: prepared, then started.

The daemon and `hostd check` share this path, and so its messages.
"""

from typing import Any

from hostd import clock, events
from hostd.errors import Refusal, Stage, WorkerLostError
from hostd.past import Past
from hostd.plugins import grants
from hostd.plugins.artifact import Artifact
from hostd.plugins.environment import Environments
from hostd.plugins.generation import Generation, State
from hostd.workers import wire
from hostd.workers.pool import Pool
from hostd.workers.questions import GenerationBrokenError


def make(
    number: int,
    artifact: Artifact,
    options: dict[str, Any] | None,
    source_field: str,
    pool: Pool,
    environments: Environments,
) -> Generation:
    """Return a checked generation, without a process yet."""
    load = load_message(artifact, options, source_field)
    place = grants.place_of(artifact, environments.packages(artifact))
    crew = pool.crew(load, artifact.manifest.limits.time_s, number, place, artifact.uses)
    return Generation(number, artifact, options, crew, artifact.manifest.compiled_framing())


async def prove(
    generation: Generation, environments: Environments, granted: grants.Grants, past: Past | None = None
) -> None:
    """Take a generation from checked to started: its first worker has imported it and passed its samples.

    One that is what was proven in the `past`, in the same surroundings, has done that, and starts none.
    Raises Refusal, and the generation is refused; nothing of it is left running then.
    """
    began = clock.monotonic()
    artifact = generation.artifact
    try:
        grants.check(artifact, granted)
        await environments.prepare(artifact)
        generation.advance(State.PREPARED)
        pid = await _start(generation, past)
    except BaseException as error:
        if isinstance(error, Refusal):
            generation.advance(State.REFUSED)
        await generation.crew.kill()
        raise
    generation.advance(State.STARTED)
    who = {
        "plugin": generation.plugin,
        "generation": generation.number,
        "version": generation.version,
        "contract": artifact.contract,
        "digest": artifact.digest[:12],
        "path": artifact.display,
    }
    if pid is None:
        events.emit(events.GENERATION_RESUMED, **who)
    else:
        events.emit(events.GENERATION_STARTED, **who, pid=pid, ms=clock.milliseconds_since(began))


async def _start(generation: Generation, past: Past | None) -> int | None:
    """Start the first worker, unless that was proven in the past; return its pid. Raises Refusal."""
    display = generation.artifact.display
    try:
        await generation.crew.settle()
        if past is not None and past.permanent and past.proven_under == generation.surroundings:
            return None
        return await generation.crew.start()
    except GenerationBrokenError as error:
        broken = error.broken
        raise Refusal(Stage.STARTED, broken.where, broken.problem, broken.remedy) from error
    except WorkerLostError as error:
        raise Refusal(
            Stage.STARTED,
            display,
            f"its worker was lost while loading it: {error.reason}",
            "that is no fault of its own, so it is tried again by itself"
            if error.innocent
            else "look for os._exit, native code, or an endless loop at import",
            transient=True,
        ) from error
    except OSError as error:
        raise Refusal(
            Stage.STARTED,
            display,
            f"no worker can be started: {error}",
            "free descriptors or memory",
            transient=True,
        ) from error


def load_message(artifact: Artifact, options: dict[str, Any] | None, source_field: str) -> wire.Load:
    """Return what a worker needs to become a worker of this artifact."""
    manifest, framing = artifact.manifest, artifact.manifest.compiled_framing()
    return wire.Load(
        kind=artifact.kind,
        path=artifact.private,
        digest=artifact.digest,
        display=artifact.display,
        module=artifact.module,
        attribute=artifact.attribute,
        name=manifest.name,
        contract=artifact.contract,
        options=options,
        framing=[manifest.framing.kind, manifest.framing.start, manifest.framing.quote or ""],
        samples=[
            [*(part.hex() for part in sample.cut(framing)), sample.name, list(sample.records), sample.rejected]
            for sample in manifest.samples
        ],
        memory_mib=manifest.limits.memory_mib,
        output_mib=manifest.limits.output_mib,
        source_field=source_field,
        snapshot_kib=manifest.limits.snapshot_kib,
    )
