"""Which generation of each plugin is current, which one is kept warm, and which artifacts are not in service and why.

While a generation is on probation the one it took over from is warm: proven, and ready to take over again.
"""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field

from contract.manifest import Manifest
from hostd import clock, events
from hostd.errors import Refusal, Stage
from hostd.plugins.generation import Generation, State


class Refused(Struct, frozen=True):
    """An artifact that is not in service."""

    path: Path
    plugin: str | None
    digest: str | None
    stage: Stage
    reason: str
    since: str


class Kept(Struct, frozen=True):
    """A generation that is not current any more, and the sources that it keeps."""

    generation: Generation
    sources: set[object] = field(default_factory=set)


class Catalog:
    """Name to current generation, which `switch`, `go_back` and `withdraw` change, and nothing else."""

    def __init__(self) -> None:
        self.current: dict[str, Generation] = {}
        self.warm: dict[str, Generation] = {}
        self.kept: dict[tuple[str, int], Kept] = {}
        self.coming: dict[str, Manifest] = {}
        # On their way into service or out of it: what they run from stays.
        self.moving: set[Generation] = set()
        self.refused: dict[Path, Refused] = {}
        self.epoch = 0
        self._manifests: dict[str, Manifest] | None = None
        self._listeners: list[Callable[[], None]] = []
        self._told_of_proven: list[Callable[[str], None]] = []

    @property
    def manifests(self) -> dict[str, Manifest]:
        """What serves and what is on its way, by name; one mapping until that changes, since all sources ask for it."""
        if self._manifests is None:
            serving = {name: generation.manifest for name, generation in self.current.items()}
            self._manifests = {**self.coming, **serving}
        return self._manifests

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever another generation, or none, has become current."""
        self._listeners.append(listener)

    def on_proven(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with a plugin's name whenever what is current of it has become permanent."""
        self._told_of_proven.append(listener)

    def expect(self, manifest: Manifest) -> None:
        """Take note that a plugin is on its way into service."""
        self.coming[manifest.name] = manifest
        self._manifests = None

    def unexpect(self, plugin: str) -> None:
        """Take note that a plugin will not come, for now."""
        if self.coming.pop(plugin, None) is not None:
            self._changed()

    def switch(self, generation: Generation) -> Generation | None:
        """Make a tried generation current; return the one that it leaves without a place, now draining.

        A proven one that it takes over from stays warm.
        """
        generation.advance(State.CURRENT)
        name = generation.plugin
        previous = self.current.get(name)
        self.current[name] = generation
        self.coming.pop(name, None)
        if previous is not None and previous.state is State.PERMANENT:
            previous.advance(State.WARM)
            self.warm[name] = previous
            previous = None
        if previous is not None:
            previous.advance(State.DRAINING)
            self.moving.add(previous)
        self._changed()
        return previous

    def keep_warm(self, generation: Generation) -> None:
        """Keep what served before a restart warm for the one that is switched to next."""
        generation.advance(State.WARM)
        self.warm[generation.plugin] = generation

    def confirm(self, plugin: str) -> Generation | None:
        """End the probation of what is current: it is proven. Return the one that was warm, now draining."""
        self.current[plugin].advance(State.PERMANENT)
        cooled = self._cool(plugin)
        self._proven(plugin)
        return cooled

    def go_back(self, plugin: str) -> Generation:
        """Make the warm generation current again; return the one on probation, now rolled back."""
        failed = self.current[plugin]
        failed.advance(State.ROLLED_BACK)
        proven = self.warm.pop(plugin)
        proven.advance(State.PERMANENT)
        self.current[plugin] = proven
        self.moving.add(failed)
        self._changed()
        self._proven(plugin)
        return failed

    def withdraw(self, plugin: str) -> list[Generation]:
        """Take a plugin out of service; return its generations, now draining."""
        generation = self.current.pop(plugin, None)
        if generation is None:
            return []
        generation.advance(State.DRAINING)
        self.moving.add(generation)
        warm = self._cool(plugin)
        self._changed()
        return [generation, *([warm] if warm else [])]

    def refuse(self, path: Path, plugin: str | None, digest: str | None, refusal: Refusal) -> None:
        """Note that what lies at `path` is not in service."""
        self.refused[path] = Refused(path, plugin, digest, refusal.stage, str(refusal), clock.timestamp())

    def _cool(self, plugin: str) -> Generation | None:
        warm = self.warm.pop(plugin, None)
        if warm is not None:
            warm.advance(State.DRAINING)
            self.moving.add(warm)
        return warm

    def _proven(self, plugin: str) -> None:
        for listener in self._told_of_proven:
            listener(plugin)

    def _changed(self) -> None:
        self.epoch += 1
        self._manifests = None
        for listener in self._listeners:
            listener()


async def retire(generation: Generation, catalog: Catalog, reason: str) -> None:
    """Drain a generation that is no longer in service, then end its processes."""
    began = clock.monotonic()
    if generation.state is not State.DRAINING:
        generation.advance(State.DRAINING)
    crew = generation.crew
    who = {"plugin": generation.plugin, "generation": generation.number, "reason": reason}
    events.emit(events.GENERATION_DRAINING, **who, in_flight=crew.in_flight)
    catalog.moving.add(generation)
    crew.close()
    await crew.drain(generation.manifest.limits.time_s)
    await crew.kill()
    generation.advance(State.RETIRED)
    catalog.moving.discard(generation)
    events.emit(events.GENERATION_RETIRED, **who, ms=clock.milliseconds_since(began))
