"""Where the two lives meet: what lies in the folder becomes what serves, live.

One loop compares the folder with the catalog; each plugin name has its own task, so that a slow or broken plugin
delays no other. Nothing about the current generation changes before its successor has proven that it can serve.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostd import clock, events
from hostd.errors import Refusal
from hostd.plugins import artifact as artifacts
from hostd.plugins import grants, proof
from hostd.plugins.artifact import Artifact, BeingWrittenError
from hostd.plugins.catalog import Catalog
from hostd.plugins.choice import Want, choose
from hostd.plugins.folder import Folder
from hostd.plugins.generation import Generation, State, generation_key
from hostd.plugins.inventory import SETTLE_S, Inventory
from hostd.tasks import Tasks
from hostd.watch import Watcher
from hostd.workers.pool import Pool

RETRY_S = (1.0, 2.0, 5.0, 15.0, 60.0)
"""After how long an artifact is tried again whose refusal may pass by itself."""


@dataclass(frozen=True, slots=True)
class LastServed:
    """The generation of a plugin that served last, as the ledger has it. `kept` is its private copy's file."""

    number: int
    key: str
    path: Path
    kept: Path
    records: int
    rejected: int


class Swapper:
    """Keeps the catalog what the folder says it should be.

    `record(generation, key)` makes a switch durable; it is called before any batch can go to the generation.
    """

    def __init__(
        self,
        *,
        folder: Path,
        watcher: Watcher | None,
        store: Path,
        catalog: Catalog,
        pool: Pool,
        source_field: str,
        last_served: dict[str, LastServed],
        record: Callable[[Generation, str], Awaitable[None]],
        tasks: Tasks,
    ) -> None:
        self.options: dict[str, dict[str, Any]] = {}
        self.grants: grants.Grants = {}
        self._store = store
        self._catalog = catalog
        self._pool = pool
        self._source_field = source_field
        self._last_served = last_served
        self._record = record
        self._background = tasks
        self._folder = Folder(folder, watcher, self.look_again)
        self._inventory = Inventory(self._folder, store, self.look_again, self._refuse_file)
        self._numbers = {name: served.number for name, served in last_served.items()}
        self._wants: dict[str, Want | None] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._refused_keys: set[str] = set()
        self._tries: dict[str, int] = {}
        # On their way into service or out of it: what they run from stays.
        self._moving: set[Generation] = set()
        self._hinted_at: float | None = None
        self._again = asyncio.Event()
        self._passing = asyncio.Lock()
        self._journals: list[list[str]] = []
        artifacts.forget_unpacked(store)

    def look_again(self) -> None:
        """Compare the folder with the catalog soon. Returns at once; many calls are one pass more."""
        if self._hinted_at is None:
            self._hinted_at = clock.monotonic()
        self._again.set()

    async def run(self) -> None:
        """Serve hints until cancelled."""
        while True:
            await self._again.wait()
            await self.look()

    async def look(self) -> None:
        """Make one pass over the folder. Bringing generations up goes on in tasks of their own."""
        async with self._passing:
            self._again.clear()
            seen_at, self._hinted_at = self._hinted_at or clock.monotonic(), None
            if not await self._inventory.look(seen_at):
                return
            for path in [path for path in self._catalog.refused if path not in self._inventory.files]:
                del self._catalog.refused[path]
            self._forget_refused_keys()
            wants = self._choose()
            for name in {*wants, *self._catalog.current, *self._wants}:
                self._want(name, wants.get(name))
            self._remove_unused()

    async def rescan(self) -> list[str]:
        """Look at everything again, refused artifacts too, and wait; return what changed, in words."""
        changes: list[str] = []
        self._journals.append(changes)
        self._refused_keys.clear()
        self._tries.clear()
        self._inventory.forget_refusals()
        await self.look()
        while not self._inventory.settled:
            await asyncio.sleep(SETTLE_S)
            await self.look()
        await self.settle()
        self._journals = [journal for journal in self._journals if journal is not changes]
        return changes

    async def settle(self) -> None:
        """Wait until every name has what it should have, as of the last look."""
        while tasks := [task for task in self._tasks.values() if not task.done()]:
            await asyncio.wait(tasks)

    async def tidy(self) -> None:
        """Remove private copies that nothing refers to: of refused, skipped and retired artifacts."""
        async with self._passing:  # a look puts copies there
            self._remove_unused()

    def _remove_unused(self) -> None:
        in_use = [generation.artifact for generation in (*self._catalog.current.values(), *self._moving)]
        in_use += [known.artifact for known in self._inventory.files.values() if known.artifact]
        in_use += [want.artifact for want in self._wants.values() if want]
        digests = {artifact.digest for artifact in in_use}
        digests |= {served.kept.parent.name for served in self._last_served.values()}
        for folder in self._store.iterdir():
            if folder.name not in digests:
                artifacts.discard(folder.name, self._store)

    async def close(self) -> None:
        """Stop changing anything, and end the processes of all generations."""
        self._folder.close()
        tasks = [task for task in self._tasks.values() if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(generation.crew.kill() for generation in self._catalog.current.values()))

    def _forget_refused_keys(self) -> None:
        """Keep the keys of what could still be wanted: the others would pile up for as long as the daemon runs."""
        if self._refused_keys:
            digests = {known.artifact.digest for known in self._inventory.files.values() if known.artifact}
            digests |= {served.kept.parent.name for served in self._last_served.values()}
            self._refused_keys = {key for key in self._refused_keys if key.partition(":")[0] in digests}

    def _choose(self) -> dict[str, Want]:
        files = self._inventory.files
        self._refuse_revoked()
        in_service = {name: served.path for name, served in self._last_served.items()}
        in_service |= {name: generation.artifact.path for name, generation in self._catalog.current.items()}
        choice = choose(files.values(), in_service, self.options, lambda want: want.key in self._refused_keys)
        for artifact, refusal in choice.standby:
            if self._note(artifact, refusal):
                events.emit(
                    events.ARTIFACT_STANDBY,
                    path=artifact.display,
                    plugin=artifact.manifest.name,
                    version=artifact.manifest.version,
                    reason=str(refusal),
                )
        for artifact, refusal in choice.conflicts:
            if self._note(artifact, refusal):
                self._refuse(artifact.path, artifact.manifest.name, artifact.digest, refusal)
        for name, generation in self._catalog.current.items():
            if (want := choice.wants.get(name)) and want.key == generation.key:
                generation.artifact = want.artifact  # its file may have another name by now
                self._catalog.refused.pop(want.artifact.path, None)
            # What serves goes on serving while its own file holds something that was refused.
            known = files.get(generation.artifact.path)
            broken = known is not None and (known.artifact is None or self._all_refused(name, known.artifact))
            if known is not None and broken and grants.is_granted(generation.artifact, self.grants):
                choice.wants[name] = Want(generation.artifact, self.options.get(name), known.seen_at)
        for name, served in self._last_served.items():
            known = files.get(served.path)
            broken = known is not None and (known.artifact is None or self._all_refused(name, known.artifact))
            if known is not None and broken and name not in choice.wants and (kept := self._restore(served)):
                choice.wants[name] = Want(kept, self.options.get(name), known.seen_at)
        return choice.wants

    def _refuse_revoked(self) -> None:
        """Refuse what serves and is not granted any more what it needs: it does not go on serving meanwhile."""
        for generation in self._catalog.current.values():
            try:
                grants.check(generation.artifact, self.grants)
            except Refusal as refusal:
                if not refusal.transient and generation.key not in self._refused_keys:
                    self._refused_keys.add(generation.key)
                    artifact = generation.artifact
                    self._refuse(artifact.path, generation.plugin, artifact.digest, refusal)

    def _all_refused(self, name: str, artifact: Artifact) -> bool:
        return artifact.manifest.name == name and generation_key(artifact, self.options.get(name)) in self._refused_keys

    def _note(self, artifact: Artifact, refusal: Refusal) -> bool:
        """Note what is set aside; tell whether that is news."""
        known = self._catalog.refused.get(artifact.path)
        if known is not None and known.digest == artifact.digest and known.reason == str(refusal):
            return False
        self._catalog.refuse(artifact.path, artifact.manifest.name, artifact.digest, refusal)
        return True

    def _restore(self, served: LastServed) -> Artifact | None:
        """Return what served last from its private copy, for a name whose file is broken at start."""
        try:
            return artifacts.read(served.kept, self._store, path=served.path)
        except (Refusal, BeingWrittenError, FileNotFoundError):
            return None  # only a rescue: why the folder's own file is refused has been logged

    def _want(self, name: str, want: Want | None) -> None:
        self._wants[name] = want
        task = self._tasks.get(name)
        if task is not None and not task.done():
            return  # it looks at _wants again before it ends
        current = self._catalog.current.get(name)
        if (current and current.key) != (want and want.key):
            if want is not None:
                self._catalog.expect(want.artifact.manifest)
            self._tasks[name] = self._background.start(self._serve(name), f"serve {name}")

    async def _serve(self, name: str) -> None:
        """Bring up what is wanted for `name` until that is what serves; a want that was overtaken is skipped."""
        try:
            while True:
                want, current = self._wants.get(name), self._catalog.current.get(name)
                if (current and current.key) == (want and want.key) or (want and want.key in self._refused_keys):
                    await self.tidy()
                    if self._wants.get(name) is want:
                        return
                    continue  # a look meanwhile wants something else, and left it to us
                if want is None:
                    assert current is not None
                    revoked = not grants.is_granted(current.artifact, self.grants)
                    gone = "is not granted any more what it needs" if revoked else "was removed"
                    await self._withdraw(name, f"{current.artifact.display} {gone}")
                else:
                    await self._swap(name, want)
        finally:
            self._catalog.unexpect(name)

    async def _swap(self, name: str, want: Want) -> None:
        served = self._last_served.get(name)
        # The same bytes and options after a restart are the same generation.
        number = served.number if served and served.key == want.key else self._numbers.get(name, 0) + 1
        generation = proof.make(number, want.artifact, want.options, self._source_field, self._pool)
        self._moving.add(generation)
        try:
            await proof.prove(generation, self.grants)
        except Refusal as refusal:
            self._refused_keys.add(want.key)
            self._refuse(want.artifact.path, name, want.artifact.digest, refusal)
            if refusal.transient:
                self._retry_later(want)
            self.look_again()  # a stand-by, or what served before, may step in
            return
        finally:
            self._moving.discard(generation)
        if served is not None and served.number == number:
            generation.records, generation.rejected = served.records, served.rejected
        self._numbers[name] = number
        self._last_served.pop(name, None)
        self._tries.pop(want.key, None)
        self._catalog.refused.pop(want.artifact.path, None)
        recorded = asyncio.ensure_future(self._record(generation, want.key))
        previous = self._catalog.switch(generation)
        if previous is not None:
            self._moving.add(previous)
        events.emit(
            events.GENERATION_SWITCHED,
            plugin=name,
            generation=number,
            version=generation.version,
            took_over_from=previous.number if previous else None,
            ms=clock.milliseconds_since(want.seen_at),
        )
        took_over = f", taking over from {previous.number} ({previous.version})" if previous else ""
        self._note_change(f"{name} {generation.version} is live as generation {number}{took_over}")
        await recorded
        if previous is not None:
            await self._retire(previous, f"generation {number} took over")

    async def _withdraw(self, name: str, reason: str) -> None:
        generation = self._catalog.withdraw(name)
        if generation is not None:
            self._note_change(f"{name} {generation.version} is retired: {reason}")
            await self._retire(generation, reason)

    async def _retire(self, generation: Generation, reason: str) -> None:
        """Drain a generation that is no longer current, then end its processes and remove its private copy."""
        began = clock.monotonic()
        crew = generation.crew
        who = {"plugin": generation.plugin, "generation": generation.number, "reason": reason}
        events.emit(events.GENERATION_DRAINING, **who, in_flight=crew.in_flight)
        self._moving.add(generation)
        crew.close()
        await crew.drain(generation.manifest.limits.time_s)
        await crew.kill()
        generation.advance(State.RETIRED)
        self._moving.discard(generation)
        events.emit(events.GENERATION_RETIRED, **who, ms=clock.milliseconds_since(began))

    def _refuse_file(self, path: Path, refusal: Refusal) -> None:
        serving = next((n for n, g in self._catalog.current.items() if g.artifact.path == path), None)
        self._refuse(path, refusal.plugin or serving, refusal.digest, refusal)
        if refusal.transient:
            tries = self._tries[str(path)] = self._tries.get(str(path), 0) + 1
            asyncio.get_running_loop().call_later(retry_delay_s(tries), self._read_again, path)

    def _read_again(self, path: Path) -> None:
        self._inventory.forget(path)
        self.look_again()

    def _refuse(self, path: Path, name: str | None, digest: str | None, refusal: Refusal) -> None:
        self._catalog.refuse(path, name, digest, refusal)
        serving = self._catalog.current.get(name) if name else None
        events.emit(
            events.ARTIFACT_REFUSED,
            path=f"{path.parent.name}/{path.name}",
            plugin=name,
            stage=refusal.stage.value,
            reason=str(refusal),
            digest=digest[:12] if digest else None,
            serving=f"generation {serving.number} ({serving.version})" if serving else None,
        )
        self._note_change(f"{path.name} is refused: {refusal}")

    def _note_change(self, change: str) -> None:
        for changes in self._journals:
            changes.append(change)

    def _retry_later(self, want: Want) -> None:
        tries = self._tries[want.key] = self._tries.get(want.key, 0) + 1

        def again() -> None:
            self._refused_keys.discard(want.key)
            self.look_again()

        asyncio.get_running_loop().call_later(retry_delay_s(tries), again)


def retry_delay_s(tries: int) -> float:
    """Return after how many seconds to try again what has been refused so often."""
    return RETRY_S[min(tries, len(RETRY_S)) - 1]
