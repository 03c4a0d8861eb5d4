"""What must survive of the plugins' lives: which generations served, what was decided of them, their recent input.

In memory, and written to the ledger behind the same names.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from contract.framing import Framing
from hostd import events
from hostd.errors import Refusal
from hostd.past import Hold, Past
from hostd.plugins import artifact as artifacts
from hostd.plugins.artifact import Artifact, BeingWrittenError
from hostd.plugins.choice import Want, again
from hostd.plugins.generation import Generation, State
from hostd.plugins.history import KEPT_GENERATIONS, History
from hostd.plugins.recent import Recent
from hostd.plugins.store import kept_at
from hostd.plugins.trust import Policy
from hostd.tasks import Tasks
from hostd.workers.batch import Batch


class Book(Protocol):
    """Where it is written; all calls block."""

    def generations(self, most: int) -> list[Past]: ...
    def put_generations(self, rows: list[Past]) -> None: ...
    def streaming(self) -> set[str]: ...
    def holds(self) -> list[Hold]: ...
    def put_hold(self, hold: Hold) -> None: ...
    def drop_hold(self, plugin: str) -> None: ...
    def recent(self) -> dict[str, str]: ...
    def put_recent(self, pieces: dict[str, str]) -> None: ...


class Clerk(Protocol):
    """Who may call the book: `in_thread` once, `write` and `queue` again and again until the disk takes it."""

    async def in_thread(self, function: Callable[..., Any], *args: object) -> Any: ...
    async def write(self, function: Callable[..., None], *args: object) -> None: ...
    def queue(self, function: Callable[..., None], *args: object) -> asyncio.Future[None]: ...


class Register:
    """The plugins' past, up to now. `recall` comes first.

    `rescuable` has, of what served before a restart, the generation that was proven, for a name whose file is broken
    now, or another one; `streaming` has the plugins whose streams were open then.
    """

    def __init__(self, store: Path, book: Book, clerk: Clerk, tasks: Tasks, keep_bytes: Callable[[], int]) -> None:
        self.history = History()
        self.holds: dict[str, Hold] = {}
        self.rescuable: dict[str, Past] = {}
        self.streaming: set[str] = set()
        self._resumable: dict[str, Past] = {}
        self._recent = Recent(keep_bytes)
        self._store = store
        self._book = book
        self._clerk = clerk
        self._tasks = tasks

    async def recall(self) -> None:
        """Read what an earlier daemon wrote."""
        self.history = History(await self._clerk.in_thread(self._book.generations, KEPT_GENERATIONS))
        for name in self.history.plugins():
            last = self.history.last(name)
            assert last is not None
            self._resumable[name] = last
            self.rescuable[name] = self.history.proven(name) or last
        self.streaming = await self._clerk.in_thread(self._book.streaming)
        self.holds = {hold.plugin: hold for hold in await self._clerk.in_thread(self._book.holds)}
        self._recent.restore(await self._clerk.in_thread(self._book.recent))

    def next_number(self, plugin: str) -> int:
        """Return the number of a plugin's next generation."""
        last = self.history.last(plugin)
        return last.number + 1 if last else 1

    def same_as_before(self, want: Want) -> Past | None:
        """Return the generation that a want is: the same bytes and options after a restart, or gone back to."""
        past = want.past or self._resumable.get(want.artifact.manifest.name)
        return past if past is not None and past.key == want.key else None

    def serves(self, want: Want) -> None:
        """Take note that a want serves: what did before the restart is no longer to be gone on with."""
        name = want.artifact.manifest.name
        self.rescuable.pop(name, None)
        if not want.is_decided:
            self._resumable.pop(name, None)

    def forget_removed(self, wanted: Iterable[str]) -> None:
        """Take note of what is wanted after a restart: what has no file any more was removed meanwhile."""
        there = {name for name, past in self.rescuable.items() if Path(past.path).exists()}
        self.rescuable = {name: self.rescuable[name] for name in self.rescuable.keys() & {*wanted, *there}}

    async def bring_back(self, past: Past, policy: Policy) -> Want | None:
        """Return the want for what served once, None when its bytes are lost, or not trusted any more."""
        artifact = await self.restore(past, policy)
        return again(past, artifact) if artifact is not None else None

    def record(self, generation: Generation) -> asyncio.Future[None]:
        """Take note that a generation is current, and whether it is proven; resolved when that is durable.

        Whatever it parses is submitted later, and so is durable no sooner, waited for or not.
        """
        artifact, proven = generation.artifact, generation.state is State.PERMANENT
        past = Past(
            generation.plugin,
            generation.number,
            generation.version,
            artifact.digest,
            generation.key,
            str(artifact.path),
            kept_at(self._store, artifact.digest, artifact.path.name),
            generation.since,
            permanent=proven,
            proven_under=generation.surroundings if proven else "",
        )
        self.history.add(past)
        return self._clerk.queue(self._book.put_generations, [past])

    async def restore(self, past: Past, policy: Policy) -> Artifact | None:
        """Return what served once from its private copy, None when that is lost, or not trusted any more."""
        try:
            return await asyncio.to_thread(artifacts.read, Path(past.kept), self._store, policy, path=Path(past.path))
        except (Refusal, BeingWrittenError, FileNotFoundError):
            return None  # only a rescue: why the folder's own file does not serve has been logged

    def note(self, plugin: str, framing: Framing, batch: Batch) -> None:
        """Take note of a batch that was parsed: it is what the next version is tried with."""
        self._recent.note(plugin, framing, batch)

    def pieces(self, plugin: str) -> list[Batch]:
        """Return what is kept of a plugin's recent input."""
        return self._recent.pieces(plugin)

    def forget_pieces(self, plugin: str) -> None:
        """Drop a plugin's recent input: nothing serves that a next version could be compared with."""
        self._recent.forget(plugin)

    async def save_recent(self) -> None:
        """Write the recent input that has changed."""
        if changed := self._recent.take_changed():
            await self._clerk.write(self._book.put_recent, changed)

    async def hold(self, hold: Hold) -> None:
        """Write a decision, which holds at once."""
        self.holds[hold.plugin] = hold
        await self._clerk.write(self._book.put_hold, hold)
        events.emit(events.PLUGIN_HELD, **_who(hold), reason=hold.reason)

    def release(self, hold: Hold, why: str) -> None:
        """End a decision."""
        if self.holds.pop(hold.plugin, None) is not None:
            events.emit(events.PLUGIN_RELEASED, **_who(hold), reason=why)
            drop = self._clerk.write(self._book.drop_hold, hold.plugin)
            self._tasks.start(_awaited(drop), f"release {hold.plugin}")


async def _awaited(awaitable: Awaitable[None]) -> None:
    await awaitable


def _who(hold: Hold) -> dict[str, Any]:
    return {"plugin": hold.plugin, "generation": hold.generation, "kind": hold.kind, "path": hold.path}
