"""Generations that keep the sources whose streams only they can go on with, beside what is current.

Each is brought back from its private copy when the first source needs it, and retired when the last one has ended or is
with another; so it is after a restart too.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from hostd.errors import NotKeptError, Refusal
from hostd.plugins import grants
from hostd.plugins.artifact import Artifact
from hostd.plugins.catalog import Catalog, Kept, retire
from hostd.plugins.generation import Generation, State
from hostd.plugins.history import KEPT_GENERATIONS
from hostd.plugins.register import Register
from hostd.plugins.trust import Policy
from hostd.tasks import Tasks

REMEDY = "drop in a version whose open takes that snapshot"


class Keeping:
    """`make` and `prove` bring a generation up, as at any other start."""

    def __init__(
        self,
        catalog: Catalog,
        register: Register,
        policy: Callable[[], Policy],
        make: Callable[[int, Artifact, dict[str, Any] | None], Generation],
        prove: Callable[[Generation], Awaitable[None]],
        tasks: Tasks,
    ) -> None:
        self._catalog = catalog
        self._register = register
        self._policy = policy
        self._make = make
        self._prove = prove
        self._tasks = tasks
        self.awaited: set[str] = set()
        """Plugins that were removed under sources that something else than their current generation kept: these wait,
        and when the plugin comes back they need what kept them."""
        self._bringing: defaultdict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def keep(self, plugin: str, number: int, source: object) -> Generation:
        """Return the generation that is to keep a source, brought back if need be. Raises NotKeptError."""
        key = plugin, number
        async with self._bringing[key]:
            kept = self._catalog.kept.get(key)
            if kept is None:
                kept = self._catalog.kept[key] = Kept(await self._bring_back(plugin, number))
            kept.sources.add(source)
        self.awaited.discard(plugin)
        return kept.generation

    def kept(self, plugin: str, number: int) -> Generation | None:
        """Return a generation that keeps sources, if it is there."""
        kept = self._catalog.kept.get((plugin, number))
        return kept.generation if kept is not None else None

    def leave(self, plugin: str, number: int, source: object) -> None:
        """Take note that a generation need not keep a source any longer; without any it is retired."""
        kept = self._catalog.kept.get((plugin, number))
        if kept is None:
            return
        kept.sources.discard(source)
        if not kept.sources:
            del self._catalog.kept[plugin, number]
            self._retire(kept.generation, "the sources that it kept have ended, or are with another")

    def drop(self, plugin: str, reason: str) -> None:
        """Retire what keeps sources of a plugin, which wait from now on."""
        for key in [key for key in self._catalog.kept if key[0] == plugin]:
            self.awaited.add(plugin)
            self._retire(self._catalog.kept.pop(key).generation, reason)

    def drop_untrusted(self, granted: grants.Grants) -> None:
        """Retire what may not serve any longer."""
        for key, kept in list(self._catalog.kept.items()):
            reason = kept.generation.distrusted
            try:
                grants.check(kept.generation.artifact, granted)
            except Refusal as refusal:
                reason = reason or str(refusal)
            if reason is not None:
                del self._catalog.kept[key]
                self._retire(kept.generation, reason)

    async def _bring_back(self, plugin: str, number: int) -> Generation:
        past = self._register.history.get(plugin, number)
        if past is None:
            raise NotKeptError(f"only the last {KEPT_GENERATIONS} generations are kept; {REMEDY}")
        want = await self._register.bring_back(past, self._policy())
        if want is None:
            raise NotKeptError(f"its bytes are lost, or not trusted any more; {REMEDY}")
        generation = self._make(number, want.artifact, want.options)
        self._catalog.moving.add(generation)
        try:
            await self._prove(generation)
        except BaseException as error:
            self._catalog.moving.discard(generation)
            if isinstance(error, Refusal):
                raise NotKeptError(f"{error}; or {REMEDY}") from error
            raise
        generation.advance(State.KEEPING)
        if plugin not in self._catalog.current:
            self._retire(generation, "its plugin was removed")
            raise NotKeptError("its plugin was removed; drop it in again")
        return generation

    def _retire(self, generation: Generation, reason: str) -> None:
        who = f"{generation.plugin} {generation.number}"
        self._tasks.start(retire(generation, self._catalog, reason), f"retire what kept sources: {who}")
