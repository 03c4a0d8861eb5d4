"""Where the two lives meet: what lies in the folder becomes what serves, live.

One loop compares the folder with the catalog; each plugin name has its own task, so that a slow or broken plugin
delays no other. Nothing about the current generation changes before its successor has proven that it can serve, and
the current one stays warm until its successor has proven that it does.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Container, Mapping
from pathlib import Path
from typing import Any

from contract.manifest import Manifest
from hostd import clock, events
from hostd.config import Plugins
from hostd.errors import Refusal
from hostd.pace import Pace
from hostd.past import Past
from hostd.pipeline.commit import Committer
from hostd.pipeline.ledger.book import Book
from hostd.plugins import grants, proof, trial
from hostd.plugins.artifact import Artifact
from hostd.plugins.catalog import Catalog, retire
from hostd.plugins.choice import Want
from hostd.plugins.decisions import Decisions
from hostd.plugins.environment import Environments
from hostd.plugins.folder import Folder
from hostd.plugins.generation import Generation, State
from hostd.plugins.inventory import SETTLE_S, Inventory, settles_in_s
from hostd.plugins.judge import Judge
from hostd.plugins.keeping import Keeping
from hostd.plugins.probation import Probation
from hostd.plugins.refusals import Refusals
from hostd.plugins.register import Register
from hostd.plugins.store import forget_unpacked, remove_others
from hostd.plugins.wanted import Wanted
from hostd.tasks import Tasks
from hostd.watch import Watcher
from hostd.workers.pool import Pool

PAUSE_MOST_S = 0.1
"""How long to pause between two looks, however long they take."""
LOOK_SHARE, LOOK_BURST_S = 0.1, 0.05
"""Of the time, looks take a tenth, also while files are written all the time; a few in a row are made at once."""
SWAP_SHARE, SWAP_BURST_S = 0.1, 0.1
"""The same of the swaps of one plugin: of many versions a second, a few go live, and the last one."""
SWAP_MOST_S = 0.1
"""What counts of a swap that takes longer: others do without the processor meanwhile."""
TIDY_AFTER_S = 0.25
RESCAN_WAIT_S = 60.0
"""How long a rescan waits: what is slow, as installing what a plugin depends on may be, goes on after it."""

Narrow = Callable[[Mapping[str, Manifest]], Awaitable[Container[str]]]
"""Returns which of the plugins that lie in the folder are to serve."""


class Swapper:
    """Keeps the catalog what the folder, and what an operator has decided, say it should be.

    A switch is durable in the ledger before anything that the generation parsed is.
    """

    def __init__(
        self,
        *,
        settings: Plugins,
        watcher: Watcher | None,
        store: Path,
        environments: Environments,
        catalog: Catalog,
        pool: Pool,
        source_field: str,
        book: Book,
        committer: Committer,
        tasks: Tasks,
        narrow: Narrow | None = None,
    ) -> None:
        self.settings = settings
        self.environments = environments
        self.register = Register(store, book, committer, tasks, lambda: self.settings.trial.keep_kib << 10)
        self._judge = Judge(store, lambda: self.settings.trust)
        self._store = store
        self._catalog = catalog
        self._pool = pool
        self._source_field = source_field
        self._background = tasks
        self._narrow = narrow
        self._folder = Folder(settings.folder, watcher, self.look_again)
        self._refusals = Refusals(catalog, self.look_again, self._read_again, self._note_change)
        self._inventory = Inventory(self._folder, store, self.look_again, self._refusals.add_file)
        self._wanted = Wanted(
            catalog, self.register, self._refusals, self._inventory, self._judge, lambda: self.settings
        )
        self.decisions = Decisions(
            catalog, self.register, lambda: self._judge.policy, self._wanted.lying_at, self.apply
        )
        self.probation = Probation(
            catalog, self.register, self._refusals, tasks, lambda: self.settings.probation, self._is_back
        )
        self.keeping = Keeping(catalog, self.register, lambda: self._judge.policy, self._make, self._prove, tasks)
        self._wants: dict[str, Want | None] = {}
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._paces: dict[str, Pace] = {}
        self._proving: dict[str, tuple[Generation, asyncio.Future[None]]] = {}
        # Something may have gone out of use since the store was tidied.
        self._untidy = True
        self._tidying: asyncio.Task[None] | None = None
        self._tidying_fails = ""
        self._hinted_at: float | None = None
        self._again = asyncio.Event()
        self._passing = asyncio.Lock()
        self._journals: list[list[str]] = []
        forget_unpacked(store)

    def look_again(self) -> None:
        """Compare the folder with the catalog soon. Returns at once; many calls are one pass more."""
        if self._hinted_at is None:
            self._hinted_at = clock.monotonic()
        self._again.set()

    async def run(self) -> None:
        """Serve hints until cancelled."""
        pace = Pace(LOOK_SHARE, LOOK_BURST_S)
        while True:
            await self._again.wait()
            began = clock.monotonic()
            await self.look()
            now = clock.monotonic()
            pace.took(now, now - began)
            await asyncio.sleep(min(pace.rest_s(now), PAUSE_MOST_S))

    async def look(self) -> None:
        """Make one pass over the folder. Bringing generations up goes on in tasks of their own."""
        async with self._passing:
            self._again.clear()
            seen_at, self._hinted_at = self._hinted_at or clock.monotonic(), None
            await self._judge_again()
            if not await self._inventory.look(seen_at, self._judge.policy):
                for name in [name for name, generation in self._catalog.current.items() if generation.distrusted]:
                    self._want(name, None)
                return
            wants = await self._wanted.choose()
            if self._narrow is not None:
                needed = await self._narrow({name: want.artifact.manifest for name, want in wants.items()})
                wants = {name: want for name, want in wants.items() if name in needed}
            for name in {*wants, *self._catalog.current, *self._wants}:
                self._want(name, wants.get(name))
            self._tidy_soon()

    async def rescan(self) -> list[str]:
        """Look at everything again, refused artifacts too; return what changed, in words."""
        self._allow_again()
        return await self.apply()

    async def retry(self) -> None:
        """Look at everything again, refused artifacts too."""
        self._allow_again()
        await self.look()

    def _allow_again(self) -> None:
        self._refusals.forget()
        self._inventory.forget_refusals()

    async def apply(self) -> list[str]:
        """Compare the folder with the catalog, and wait; return what changed, in words."""
        changes: list[str] = []
        self._journals.append(changes)
        await self.look()
        await self.settle(RESCAN_WAIT_S)
        self._journals = [journal for journal in self._journals if journal is not changes]
        return changes + [f"{name} is still being prepared" for name, lane in self._lanes.items() if not lane.done()]

    async def settle(self, timeout_s: float | None = None) -> None:
        """Wait until the folder has settled and every name has what it should have, or `timeout_s` have passed."""
        while not self._inventory.settled:
            await asyncio.sleep(SETTLE_S)
            await self.look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while tasks := [task for task in self._lanes.values() if not task.done()]:
                    await asyncio.wait(tasks)

    def _tidy_soon(self) -> None:
        """Tidy in a moment: what was just wanted must not wait for that."""
        if self._tidying is None or self._tidying.done():
            self._tidying = self._background.start(self._tidy_later(), "tidy")

    async def _tidy_later(self) -> None:
        await asyncio.sleep(TIDY_AFTER_S)
        await self.tidy()

    async def tidy(self) -> None:
        """Remove private copies that nothing refers to: of refused, skipped and long retired artifacts."""
        async with self._passing:  # a look puts copies there
            try:
                self._remove_unused()
            except OSError as error:
                if str(error) != self._tidying_fails:
                    self._tidying_fails = str(error)
                    events.emit(events.STORE_KEPT, reason=str(error))
            else:
                self._tidying_fails = ""

    async def close(self) -> None:
        """Stop changing anything, and end the processes of all generations."""
        self._folder.close()
        if self._tidying is not None:
            self._tidying.cancel()
        tasks = [task for task in self._lanes.values() if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        generations = [*self._catalog.current.values(), *self._catalog.warm.values(), *self._catalog.moving]
        await asyncio.gather(*(generation.crew.kill() for generation in generations))

    async def _judge_again(self) -> None:
        catalog = self._catalog
        kept = [each.generation for each in catalog.kept.values()]
        await self._judge.look([*catalog.current.values(), *catalog.warm.values(), *kept])
        self.keeping.drop_untrusted(self.settings.sandbox.grants)
        self._refuse_revoked()
        for name in [name for name, warm in catalog.warm.items() if warm.distrusted]:
            self.probation.confirm_soon(catalog.current[name])  # there is nothing to go back to any more

    def _refuse_revoked(self) -> None:
        """Refuse what serves and is not granted any more what it needs: it does not go on serving meanwhile."""
        for generation in (*self._catalog.current.values(), *self._catalog.warm.values()):
            try:
                grants.check(generation.artifact, self.settings.sandbox.grants)
            except Refusal as refusal:
                if not refusal.transient and not generation.distrusted:
                    generation.distrusted = f"{generation.artifact.display} is not granted any more what it needs"
                    self._refusals.add(Want(generation.artifact, generation.options, 0.0), refusal)

    def _want(self, name: str, want: Want | None) -> None:
        before, self._wants[name] = self._wants.get(name), want
        self._untidy |= before is not None and (want is None or want.key != before.key)
        lane = self._lanes.get(name)
        if lane is not None and not lane.done():
            self._give_up(name, want)
            return  # it looks at _wants again before it ends
        current = self._catalog.current.get(name)
        if (current and current.key) != (want and want.key):
            if want is not None:
                self._catalog.expect(want.artifact.manifest)
            self._lanes[name] = self._background.start(self._serve(name), f"serve {name}")

    def _remove_unused(self) -> None:
        if not self._inventory.settled:
            return  # what a file that may be whole in a moment does without, its last good version may need
        self._untidy = False
        catalog = self._catalog
        wants = {name: want for name, want in self._wants.items() if want}
        generations = (*catalog.current.values(), *catalog.warm.values(), *catalog.moving)
        in_use = [generation.artifact for generation in generations]
        in_use += [want.artifact for want in wants.values()]
        in_use += [known.artifact for known in self._inventory.files.values() if known.artifact]
        digests = self._wanted.digests_at_hand() | {artifact.digest for artifact in in_use}
        awaited = self.keeping.awaited | self.register.streaming
        digests |= self.register.history.digests({*catalog.current, *wants, *awaited})
        remove_others(digests, self._store)
        self.environments.remove_unused(in_use)

    def _give_up(self, name: str, want: Want | None) -> None:
        """Stop installing what only an overtaken want depends on: that may take minutes."""
        generation, proving = self._proving.get(name, (None, None))
        if generation is None or proving is None or generation.state is not State.CHECKED:
            return
        packages = self.environments.packages
        if want is None or packages(want.artifact) != packages(generation.artifact):
            proving.cancel()

    async def _serve(self, name: str) -> None:
        """Bring up what is wanted for `name` until that is what serves; a want that was overtaken is skipped."""
        try:
            while True:
                want, current = self._wants.get(name), self._catalog.current.get(name)
                if (current and current.key) == (want and want.key) or (want and self._refusals.has(want.key)):
                    if self._untidy:
                        await self.tidy()
                    if self._wants.get(name) is want:
                        return
                    continue  # a look meanwhile wants something else, and left it to us
                warm, hold = self._catalog.warm.get(name), self.register.holds.get(name)
                if want is None:
                    assert current is not None
                    await self._withdraw(name, current.distrusted or f"{current.artifact.display} was removed")
                elif warm is not None and warm.key == want.key:
                    warm.artifact = want.artifact
                    reason = hold.reason if hold and want.is_decided else f"{want.artifact.display} is back"
                    await self.probation.leave(self.probation.go_back(name, reason))
                elif current is not None and not want.is_decided and (rest_s := self._rest_s(name)):
                    await asyncio.sleep(rest_s)  # what is wanted by then is what counts
                else:
                    await self._swap(name, want)
        finally:
            self._catalog.unexpect(name)

    def _rest_s(self, name: str) -> float:
        pace = self._paces.get(name)
        return pace.rest_s(clock.monotonic()) if pace is not None else 0.0

    async def _swap(self, name: str, want: Want) -> None:
        began = clock.monotonic()
        try:
            await self._bring_up(name, want)
        finally:
            now = clock.monotonic()
            self._paces.setdefault(name, Pace(SWAP_SHARE, SWAP_BURST_S)).took(now, min(now - began, SWAP_MOST_S))

    async def _bring_up(self, name: str, want: Want) -> None:
        past = self.register.same_as_before(want)
        number = past.number if past else self.register.next_number(name)
        generation = self._make(number, want.artifact, want.options)
        self._catalog.moving.add(generation)
        before = None
        proving = asyncio.ensure_future(self._prove(generation, None if want.past else past))
        self._proving[name] = generation, proving
        try:
            await proving
            before = await self._served_before(want)
            await self._try(generation, want, before)
        except asyncio.CancelledError:
            lane = asyncio.current_task()
            if lane is None or lane.cancelling():
                raise
            return  # given up
        except Refusal as refusal:
            self._untidy = True
            if await self._overtaken(name, want):
                return
            self._refusals.add(want, refusal)
            self.look_again()  # a stand-by, or what served before, may step in
            if before is not None:
                await before.crew.kill()
            return
        finally:
            del self._proving[name]
            self._catalog.moving -= {generation, before}
        if past is not None:
            generation.records, generation.rejected = past.records, past.rejected
        self._untidy |= past is None and name in self.register.rescuable
        self.register.serves(want)
        if not want.is_decided:
            self._refusals.clear(want)
            if name in self.register.holds:
                self.look_again()  # a version above the one that was rolled back: that ends here
        if before is not None:
            self._catalog.keep_warm(before)
        previous = self._catalog.current.get(name)
        overtaken = self._catalog.switch(generation)
        on_probation = not want.is_decided and self.probation.begin(generation)
        cooled = None if on_probation else self._catalog.confirm(name)
        recorded = self.register.record(generation)
        self._say_switched(generation, previous, want.seen_at)
        await recorded  # before the next one goes live: a kill must not leave that alone
        for each in (overtaken, cooled):
            if each is not None:
                await self._retire(each, f"generation {number} took over")

    async def _overtaken(self, name: str, want: Want) -> bool:
        """Wait until the file has settled; tell whether something else is wanted by then."""
        await asyncio.sleep(settles_in_s(want.artifact.path))
        now = self._wants.get(name)
        return now is None or now.key != want.key

    async def _served_before(self, want: Want) -> Generation | None:
        """Start what was proven before a restart when another is to serve now: to compare with, and to go back to."""
        name = want.artifact.manifest.name
        past = self.register.rescuable.get(name)
        if past is None or past.key == want.key or want.is_decided or name in self._catalog.current:
            return None
        proven = await self.register.bring_back(past, self._judge.policy)
        if proven is None:
            return None
        generation = self._make(past.number, proven.artifact, proven.options)
        generation.records, generation.rejected = past.records, past.rejected
        self._catalog.moving.add(generation)
        try:
            await self._prove(generation)
        except Refusal:  # it cannot start any more: it tells nothing, and there is no going back to it
            self._catalog.moving.discard(generation)
            return None
        return generation

    async def _try(self, generation: Generation, want: Want, before: Generation | None) -> None:
        """Have the candidate parse recent input, aside. Raises Refusal for what it no longer parses."""
        tried_against = None
        while not want.is_decided:
            present = self._catalog.current.get(generation.plugin, before)
            if present is None or present is tried_against or present.distrusted:
                break
            await trial.judge(generation, present, self.register.pieces(generation.plugin), self.settings.trial)
            tried_against = present  # unless it was rolled back meanwhile
        generation.advance(State.TRIED)

    def _make(self, number: int, artifact: Artifact, options: dict[str, Any] | None) -> Generation:
        return proof.make(number, artifact, options, self._source_field, self._pool, self.environments)

    async def _prove(self, generation: Generation, past: Past | None = None) -> None:
        await proof.prove(generation, self.environments, self.settings.sandbox.grants, past)

    def _say_switched(self, generation: Generation, previous: Generation | None, seen_at: float) -> None:
        name, number, version = generation.plugin, generation.number, generation.version
        events.emit(
            events.GENERATION_SWITCHED,
            plugin=name,
            generation=number,
            version=version,
            took_over_from=previous.number if previous else None,
            ms=clock.milliseconds_since(seen_at or generation.made_at),
        )
        took_over = f", taking over from {previous.number} ({previous.version})" if previous else ""
        self._note_change(f"{name} {version} is live as generation {number}{took_over}")

    async def _withdraw(self, name: str, reason: str) -> None:
        self._paces.pop(name, None)
        self.register.forget_pieces(name)
        self.keeping.drop(name, reason)
        for generation in self._catalog.withdraw(name):
            self._note_change(f"{name} {generation.version} is retired: {reason}")
            await self._retire(generation, reason)

    async def _retire(self, generation: Generation, reason: str) -> None:
        await retire(generation, self._catalog, reason)
        self._untidy = True
        self.register.history.count(generation.plugin, generation.number, generation.records, generation.rejected)

    def _is_back(self, want: Want, change: str) -> None:
        self._wants[want.artifact.manifest.name] = want
        self._note_change(change)
        self.look_again()

    def _read_again(self, path: Path) -> None:
        self._inventory.forget(path)

    def _note_change(self, change: str) -> None:
        for changes in self._journals:
            changes.append(change)
