"""What an operator decides of a plugin: go back, pin, unpin. Each holds until the plugin's file changes."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from hostd.errors import HostdError
from hostd.past import PINNED, ROLLED_BACK, Hold, Past
from hostd.plugins.catalog import Catalog
from hostd.plugins.generation import Generation
from hostd.plugins.register import Register
from hostd.plugins.trust import Policy


class Decisions:
    """Makes holds. Each method returns what changed, in words.

    `apply` compares the folder with the catalog and tells what that changed; `digest_at(path)` is what lies there now.
    """

    def __init__(
        self,
        catalog: Catalog,
        register: Register,
        policy: Callable[[], Policy],
        digest_at: Callable[[Path], str | None],
        apply: Callable[[], Awaitable[list[str]]],
    ) -> None:
        self._catalog = catalog
        self._policy = policy
        self._register = register
        self._digest_at = digest_at
        self._apply = apply

    async def roll_back(self, name: str, number: int | None) -> list[str]:
        """Go back to an earlier generation. Raises HostdError when there is none, or its bytes are not kept."""
        current = self._serving(name)
        target = self._register.history.get(name, number) if number is not None else self._before(current)
        problem = None
        if target is None:
            problem = (
                f"there is no {f'generation {number}' if number is not None else 'earlier generation'} to go back to"
            )
        elif target.number == current.number:
            problem = f"generation {target.number} serves already"
        elif await self._register.restore(target, self._policy()) is None:
            problem = f"the bytes of generation {target.number} are not kept, or not trusted any more"
        if target is None or problem:
            others = [past for past in self._register.history.kept(name) if past.number != current.number]
            kept = ", ".join(f"{past.number} ({past.version})" for past in others) or "none"
            raise HostdError(name, problem or "", f"kept beside generation {current.number}: {kept}")
        hold = self._register.holds.get(name)
        kind = hold.kind if hold else ROLLED_BACK  # what is pinned stays pinned, at another generation
        return await self._decide(self._hold(current, kind, target.number, "the operator went back"))

    async def pin(self, name: str) -> list[str]:
        """Keep what serves now whatever else arrives. Raises HostdError when nothing of the name serves."""
        current = self._serving(name)
        return await self._decide(self._hold(current, PINNED, current.number, "the operator pinned it"))

    async def unpin(self, name: str) -> list[str]:
        """Let what lies in the folder decide again. Raises HostdError when nothing is held."""
        hold = self._register.holds.get(name)
        if hold is None:
            raise HostdError(name, "is neither pinned nor rolled back", "see hostd status")
        self._register.release(hold, "the operator released it")
        return [f"{name} is released", *await self._apply()]

    def _hold(self, current: Generation, kind: str, number: int, reason: str) -> Hold:
        """Return a hold until the file changes that counts now: that of what serves, or one set aside already.

        What lies there may be other bytes than those that serve: what was refused changes nothing either.
        """
        hold, artifact = self._register.holds.get(current.plugin), current.artifact
        path, digest = (hold.path, hold.digest) if hold else (str(artifact.path), artifact.digest)
        return Hold(current.plugin, kind, path, self._digest_at(Path(path)) or digest, number, reason)

    async def _decide(self, hold: Hold) -> list[str]:
        name, previous = hold.plugin, self._register.holds.get(hold.plugin)
        await self._register.hold(hold)
        changes = await self._apply()
        if self._serving(name).number != hold.generation:
            if previous is not None:
                await self._register.hold(previous)
            else:
                self._register.release(hold, f"generation {hold.generation} does not come up")
            raise HostdError(name, f"generation {hold.generation} does not come up", "; ".join(changes))
        return [f"{name} is {hold.kind}: generation {hold.generation} serves", *changes]

    def _serving(self, name: str) -> Generation:
        current = self._catalog.current.get(name)
        if current is None:
            known = ", ".join(sorted(self._catalog.current)) or "none"
            raise HostdError(name, "no plugin of this name is in service", f"in service: {known}")
        return current

    def _before(self, current: Generation) -> Past | None:
        warm = self._catalog.warm.get(current.plugin)
        if warm is not None:
            return self._register.history.get(current.plugin, warm.number)
        return self._register.history.before(current.plugin, current.number)
