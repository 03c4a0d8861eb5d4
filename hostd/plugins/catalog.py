"""Which generation of each plugin is current, and which artifacts are not in service and why."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contract.manifest import Manifest
from hostd import clock
from hostd.errors import Refusal, Stage
from hostd.plugins.generation import Generation, State


@dataclass(frozen=True, slots=True)
class Refused:
    """An artifact that is not in service."""

    path: Path
    plugin: str | None
    digest: str | None
    stage: Stage
    reason: str
    since: str


class Catalog:
    """Name to current generation. `switch` and `withdraw` are the only ways to change it."""

    def __init__(self) -> None:
        self.current: dict[str, Generation] = {}
        self.coming: dict[str, Manifest] = {}
        self.refused: dict[Path, Refused] = {}
        self.epoch = 0
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever another generation, or none, has become current."""
        self._listeners.append(listener)

    def expect(self, manifest: Manifest) -> None:
        """Take note that a plugin is on its way into service."""
        self.coming[manifest.name] = manifest

    def unexpect(self, plugin: str) -> None:
        """Take note that a plugin will not come, for now."""
        if self.coming.pop(plugin, None) is not None:
            self._changed()

    def switch(self, generation: Generation) -> Generation | None:
        """Make a started generation current; return the one it takes over from, now draining."""
        generation.advance(State.CURRENT)
        previous = self.current.get(generation.plugin)
        self.current[generation.plugin] = generation
        self.coming.pop(generation.plugin, None)
        if previous is not None:
            previous.advance(State.DRAINING)
        self._changed()
        return previous

    def withdraw(self, plugin: str) -> Generation | None:
        """Take a plugin out of service; return its generation, now draining."""
        generation = self.current.pop(plugin, None)
        if generation is not None:
            generation.advance(State.DRAINING)
            self._changed()
        return generation

    def refuse(self, path: Path, plugin: str | None, digest: str | None, refusal: Refusal) -> None:
        """Note that what lies at `path` is not in service."""
        self.refused[path] = Refused(path, plugin, digest, refusal.stage, str(refusal), clock.timestamp())

    def _changed(self) -> None:
        self.epoch += 1
        for listener in self._listeners:
            listener()
