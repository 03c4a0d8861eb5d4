"""What the life of a byte needs to know of the life of a plugin, and no more."""

from collections.abc import Mapping
from typing import Protocol

from contract.framing import Framing
from contract.manifest import Manifest
from hostd.workers.pool import Crew


class Generation(Protocol):
    """A generation that batches can go to."""

    number: int
    framing: Framing
    crew: Crew
    records: int
    rejected: int
    is_told_of: bool
    """Whether the log says that its `at_once` is broken."""

    @property
    def plugin(self) -> str:
        """The plugin's name."""
        ...

    @property
    def manifest(self) -> Manifest:
        """What the plugin says of itself."""
        ...


class Keeper(Protocol):
    """Generations that are not current any more, and keep the sources whose streams only they can go on with."""

    async def keep(self, plugin: str, number: int, source: object) -> Generation:
        """Return the generation that is to keep a source, brought back if need be. Raises NotKeptError."""
        ...

    def kept(self, plugin: str, number: int) -> Generation | None:
        """Return a generation that keeps sources, if it is there."""
        ...

    def leave(self, plugin: str, number: int, source: object) -> None:
        """Take note that a generation need not keep a source any longer; without any it is retired."""
        ...


class Catalog(Protocol):
    """Which generation of each plugin is current; `epoch` changes whenever that does."""

    epoch: int

    @property
    def manifests(self) -> Mapping[str, Manifest]:
        """What serves and what is on its way into service, by plugin name; one mapping until that changes.

        What a plugin accepts that is on its way waits for it, instead of going to another.
        """
        ...

    @property
    def current(self) -> Mapping[str, Generation]:
        """The current generation by plugin name."""
        ...

    @property
    def warm(self) -> Mapping[str, Generation]:
        """By plugin name the proven generation that takes what the current one fails, while that is on probation."""
        ...
