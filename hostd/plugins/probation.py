"""After the switch: the new generation is confirmed when its time has passed, or rolled back when it fails too much.

Until then the one that it took over from is warm, and takes each batch that the new one fails.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from hostd import clock, events
from hostd.config import Probation as Settings
from hostd.errors import Refusal, Stage
from hostd.past import ROLLED_BACK, Hold
from hostd.plugins.catalog import Catalog, retire
from hostd.plugins.choice import Want
from hostd.plugins.generation import Generation, State
from hostd.plugins.refusals import Refusals
from hostd.plugins.register import Register
from hostd.tasks import Tasks
from hostd.workers.batch import Batch


class Probation:
    """Watches over generations that were just switched to.

    `on_back(want, change)` is told what serves again, and in words what that changes.
    """

    def __init__(
        self,
        catalog: Catalog,
        register: Register,
        refusals: Refusals,
        tasks: Tasks,
        settings: Callable[[], Settings],
        on_back: Callable[[Want, str], None],
    ) -> None:
        self._catalog = catalog
        self._register = register
        self._refusals = refusals
        self._tasks = tasks
        self._settings = settings
        self._on_back = on_back
        self._ends: dict[str, asyncio.TimerHandle] = {}

    def begin(self, generation: Generation) -> bool:
        """Put a generation that was just switched to on probation, whose end comes by itself; tell whether it is."""
        length_s = self._settings().length_s
        if not length_s or generation.plugin not in self._catalog.warm:
            return False

        def end() -> None:
            self._ends.pop(generation.plugin, None)
            if generation.state is State.CURRENT:
                self._tasks.start(self.confirm(generation), f"confirm {generation.plugin}")

        # One a plugin: the ends of what was overtaken would keep all that they refer to.
        if overtaken := self._ends.pop(generation.plugin, None):
            overtaken.cancel()
        self._ends[generation.plugin] = asyncio.get_running_loop().call_later(length_s, end)
        return True

    def regressed(self, plugin: str, number: int, batch: Batch, reason: str) -> None:
        """Take note of a batch that only the proven generation parses; past the allowance, go back to that."""
        generation, warm = self._catalog.current.get(plugin), self._catalog.warm.get(plugin)
        if generation is None or generation.number != number or warm is None:
            return  # it was overtaken meanwhile
        generation.regressions += 1
        allowance = self._settings().allowance
        events.emit(
            events.BATCH_REGRESSED,
            plugin=plugin,
            generation=number,
            fell_back_to=warm.number,
            source=batch.source,
            offset=batch.offset,
            regressions=generation.regressions,
            allowance=allowance,
            reason=reason,
        )
        held = self._register.holds.get(plugin)
        if generation.regressions > allowance and (held is None or held.generation != number):
            artifact = generation.artifact
            found = f"{batch.source} at {batch.offset}: {reason}"
            hold = Hold(plugin, ROLLED_BACK, str(artifact.path), artifact.digest, warm.number, found)
            self._register.holds[plugin] = hold  # from this moment: nothing may swap it in again
            failed = self.go_back(plugin, found)
            self._tasks.start(self._settle(hold, failed), f"roll back {plugin}")

    def go_back(self, plugin: str, reason: str) -> Generation:
        """Make the warm generation current again: one pointer moves, nothing has to be started.

        Returns the one that failed, for the caller to `leave`.
        """
        failed = self._catalog.go_back(plugin)
        proven = self._catalog.current[plugin]
        events.emit(
            events.GENERATION_ROLLED_BACK,
            plugin=plugin,
            generation=failed.number,
            version=failed.version,
            back_to=proven.number,
            reason=reason,
        )
        change = f"{plugin} is back at generation {proven.number} ({proven.version}): {reason}"
        self._on_back(Want(proven.artifact, proven.options, clock.monotonic()), change)
        return failed

    async def leave(self, failed: Generation) -> None:
        """Finish a roll back: make it durable, and retire the generation that failed."""
        await self._register.record(self._catalog.current[failed.plugin])
        self._register.history.count(failed.plugin, failed.number, failed.records, failed.rejected)
        await retire(failed, self._catalog, "it was rolled back")

    async def _settle(self, hold: Hold, failed: Generation) -> None:
        await self._register.hold(hold)
        path = Path(hold.path)
        refusal = Refusal(
            Stage.PROBATION,
            f"{path.parent.name}/{path.name}",
            f"failed what generation {hold.generation} parses: {hold.reason}",
            f"mend it: a changed file is tried again; or have it as it is: hostd rollback {hold.plugin}"
            f" --to {failed.number}",
        )
        self._refusals.report(path, hold.plugin, hold.digest, refusal)
        await self.leave(failed)

    async def confirm_all(self) -> None:
        """End all probations."""
        for name in list(self._catalog.warm):
            await self.confirm(self._catalog.current[name])

    def confirm_soon(self, generation: Generation) -> None:
        """End a generation's probation at once; what is to be durable of it is so later."""
        if generation.state is State.CURRENT:
            warm = self._end(generation)
            self._tasks.start(self._cool(generation, warm), f"confirm {generation.plugin}")

    async def confirm(self, generation: Generation) -> None:
        """End a generation's probation: it is proven. Does nothing when that is no longer the question."""
        if generation.state is State.CURRENT:
            await self._cool(generation, self._end(generation))

    def _end(self, generation: Generation) -> Generation | None:
        warm = self._catalog.confirm(generation.plugin)
        events.emit(
            events.GENERATION_CONFIRMED,
            plugin=generation.plugin,
            generation=generation.number,
            regressions=generation.regressions,
        )
        return warm

    async def _cool(self, generation: Generation, warm: Generation | None) -> None:
        await self._register.record(generation)
        if warm is not None:
            await retire(warm, self._catalog, f"generation {generation.number} is proven")
