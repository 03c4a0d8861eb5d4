"""Dead letters to records, when a later generation parses what an earlier one could not.

In the background and behind live data: one plugin's letters one after another, by a worker apart from those of its
live batches, whose loss is no loss of the generation. What comes of a letter is committed in the transaction that
removes it. A letter is tried once by each generation, unless an operator asks for more.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from hostd import clock, events
from hostd.errors import LedgerError
from hostd.pipeline.commit import Committer
from hostd.pipeline.lane import Lane, PostponedError, Tally
from hostd.pipeline.ledger import Ledger
from hostd.pipeline.ledger.letters import PAGE_LETTERS
from hostd.pipeline.ledger.selection import Selection
from hostd.pipeline.recover import FindLive
from hostd.pipeline.runs import side_by_side
from hostd.pipeline.serving import Catalog, Generation
from hostd.tasks import Tasks
from hostd.workers.pool import Pool

LANES_AT_ONCE = 16
"""How many plugins' letters are parsed at once: one that hangs at each of its own does not hold up all others."""
PAGE_BYTES = 256 << 10
"""How much of each is in memory at once, beside what came of it; of one that is read from its source, all of it."""
RETRY_S = 30.0
"""After how long a replay that something else stood in the way of is tried again."""


class Replayer:
    """Replays by itself what is told to `proven`, and on demand with `replay`."""

    def __init__(
        self, *, catalog: Catalog, pool: Pool, committer: Committer, ledger: Ledger, live: FindLive, tasks: Tasks
    ) -> None:
        self._catalog = catalog
        self._pool = pool
        self._committer = committer
        self._ledger = ledger
        self._live = live
        self._tasks = tasks
        self._wanted: set[str] = set()
        self._arrived = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._busy = 0
        self._turns: dict[str, asyncio.Lock] = {}
        self._few = asyncio.Semaphore(LANES_AT_ONCE)
        self._lanes: dict[str, Lane] = {}
        self._children: set[asyncio.Task[None]] = set()

    def proven(self, plugin: str) -> None:
        """Take note that what is current of a plugin is permanent: its letters are parsed again. Returns at once."""
        self._wanted.add(plugin)
        self._quiet.clear()
        self._arrived.set()

    def left_behind(self, generation: Generation) -> None:
        """Take note that a generation has left letters behind: one that is no longer current will not be proven."""
        plugin = generation.plugin
        current = self._catalog.current.get(plugin)
        if current is not None and current is not generation and plugin not in self._catalog.warm:
            self.proven(plugin)

    def changed(self) -> None:
        """Take note that other generations are current: the workers of those that are not any more end at once."""
        for plugin, lane in self._lanes.items():
            if self._catalog.current.get(plugin) is not lane.generation:
                self._tasks.start(lane.crew.kill(), f"end the replay of {plugin}")

    def turn(self, plugin: str) -> asyncio.Lock:
        """Return what is held while a plugin's letters are parsed again: whoever holds it has them for itself."""
        return self._turns.setdefault(plugin, asyncio.Lock())

    @property
    def under_way(self) -> list[str]:
        """The plugins whose letters are being parsed now."""
        return sorted(self._lanes)

    async def run(self) -> None:
        """Replay what is told to `proven`, until cancelled; what is under way ends with it."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                self._busy += 1
                await self._start()
                self._end()
        finally:
            for child in self._children:
                child.cancel()
            await asyncio.gather(*self._children, return_exceptions=True)

    async def _start(self) -> None:
        # All that were proven together are one question to the ledger: at a start, a thousand plugins.
        wanted, self._wanted = self._wanted, set()
        try:
            left = await self._committer.in_thread(self._ledger.dead.generations)
        except LedgerError as error:
            for plugin in wanted:
                self._postpone(plugin, PostponedError(str(error), may_pass=True))
            return
        for plugin in sorted(wanted & left.keys()):
            self._busy += 1
            self._start_child(self._by_itself(plugin, left[plugin]), plugin).add_done_callback(lambda _: self._end())

    def _start_child(self, coroutine: Coroutine[Any, Any, None], plugin: str) -> asyncio.Task[None]:
        child = self._tasks.start(coroutine, f"replay {plugin}")
        self._children.add(child)
        child.add_done_callback(self._children.discard)
        return child

    async def settle(self) -> None:
        """Wait until nothing is left to do but what has to wait for something else."""
        await self._quiet.wait()

    def replay(self, selection: Selection) -> tuple[Tally, asyncio.Task[None]]:
        """Parse the letters of a selection again, whatever tried before; return what is counted, and the task of it."""
        total = Tally()
        return total, self._start_child(self._on_demand(selection, total), selection.describe())

    async def _on_demand(self, selection: Selection, total: Tally) -> None:
        try:
            until = await self._committer.in_thread(self._ledger.dead.last_id)
            left = await self._committer.in_thread(self._ledger.dead.generations)
            for plugin in [name for name in left if selection.plugin in (None, name)]:
                numbers = [number for number in left[plugin] if selection.generation in (None, number)]
                current = self._catalog.current.get(plugin)
                # Its own first: what fails again becomes its own too, and is not to be tried twice.
                numbers.sort(key=lambda number: (current is None or number != current.number, number))
                wide = [selection.narrow(plugin, number, until) for number in numbers]
                try:
                    await self._pass(plugin, wide, lambda _: True, total)
                except PostponedError as postponed:
                    total.postponed.append(str(postponed))
        except LedgerError as error:
            total.postponed.append(str(error))

    async def _by_itself(self, plugin: str, generations: list[int]) -> None:
        current = self._catalog.current.get(plugin)
        if current is None or plugin in self._catalog.warm:
            return  # it was overtaken; what is proven next comes by here again
        mine = [
            Selection(plugin=plugin, generation=number, untried_by=current.number)
            for number in generations
            if number != current.number
        ]
        try:
            if mine:
                await self._pass(plugin, mine, lambda generation: self._is_proven(generation) and generation is current)
        except PostponedError as postponed:
            self._postpone(plugin, postponed)
        except LedgerError as error:
            self._postpone(plugin, PostponedError(str(error), may_pass=True))

    def _postpone(self, plugin: str, postponed: PostponedError) -> None:
        retry_s = RETRY_S if postponed.may_pass else None
        events.emit(events.LETTERS_POSTPONED, plugin=plugin, reason=str(postponed), retry_s=retry_s)
        if retry_s is not None:
            asyncio.get_running_loop().call_later(retry_s, self.proven, plugin)

    async def _pass(
        self,
        plugin: str,
        selections: Iterable[Selection],
        may_go_on: Callable[[Generation], bool],
        total: Tally | None = None,
    ) -> None:
        """Have the current generation parse the letters of some selections. Raises PostponedError."""
        async with self.turn(plugin), self._few:
            generation = self._catalog.current.get(plugin)
            if generation is None:
                raise PostponedError(f"{plugin} is not in service; put it back into the plugins folder")
            began = clock.monotonic()
            lane = Lane(
                generation=generation,
                pool=self._pool,
                committer=self._committer,
                find_row=lambda source: self._committer.in_thread(self._ledger.source, source),
                find_live=self._live,
                may_go_on=lambda: self._catalog.current.get(plugin) is generation and may_go_on(generation),
            )
            self._lanes[plugin] = lane
            try:
                for selection in selections:
                    await self._each_page(selection, lane)
            except PostponedError:
                await lane.committed()  # of what comes before it
                raise
            finally:
                del self._lanes[plugin]
                lane.send()
                lane.say(clock.milliseconds_since(began))
                if total is not None:
                    total.add(lane.tally)
                await lane.crew.kill()

    async def _each_page(self, selection: Selection, lane: Lane) -> None:
        after: int | None = 0
        while after is not None:
            page = await self._committer.in_thread(self._ledger.dead.page, selection, after, PAGE_LETTERS, PAGE_BYTES)
            for run in side_by_side(page.letters):
                await lane.take(run)
            await lane.committed()
            after = page.next

    def _is_proven(self, generation: Generation) -> bool:
        return generation.plugin not in self._catalog.warm

    def _end(self) -> None:
        self._busy -= 1
        if not self._busy and not self._wanted:
            self._quiet.set()
