"""What an operator decides of a plugin: go back, pin, unpin. Each holds until the plugin's file changes."""

from collections.abc import Awaitable, Callable

from hostd.errors import HostdError
from hostd.past import PINNED, ROLLED_BACK, Hold, Past
from hostd.plugins.catalog import Catalog
from hostd.plugins.generation import Generation
from hostd.plugins.register import Register
from hostd.plugins.trust import Policy


class Decisions:
    """`apply` compares the folder with the catalog, and returns what changed in words; so does each method here."""

    def __init__(
        self,
        catalog: Catalog,
        register: Register,
        policy: Callable[[], Policy],
        apply: Callable[[], Awaitable[list[str]]],
    ) -> None:
        self._catalog = catalog
        self._policy = policy
        self._register = register
        self._apply = apply

    async def roll_back(self, name: str, number: int | None) -> list[str]:
        """Go back to an earlier generation. Raises HostdError when there is none, or its bytes are not kept."""
        current, history = self._serving(name), self._register.history
        target = history.get(name, number) if number is not None else self._before(current)
        lost = target is None or await self._register.restore(target, self._policy()) is None
        if target is None or target.number == current.number or lost:
            kept = ", ".join(str(each) for each in history.numbers(name) if each != current.number) or "none"
            which = f"generation {number}" if number is not None else "earlier generation"
            raise HostdError(name, f"there is no {which} to go back to", f"kept beside the current one: {kept}")
        hold = self._register.holds.get(name)
        path, digest = (hold.path, hold.digest) if hold else (str(current.artifact.path), current.artifact.digest)
        return await self._decide(Hold(name, ROLLED_BACK, path, digest, target.number, "the operator went back"))

    async def pin(self, name: str) -> list[str]:
        """Keep what serves now whatever else arrives. Raises HostdError when nothing of the name serves."""
        current = self._serving(name)
        artifact = current.artifact
        return await self._decide(
            Hold(name, PINNED, str(artifact.path), artifact.digest, current.number, "the operator pinned it")
        )

    async def unpin(self, name: str) -> list[str]:
        """Let what lies in the folder decide again. Raises HostdError when nothing is held."""
        hold = self._register.holds.get(name)
        if hold is None:
            raise HostdError(name, "is neither pinned nor rolled back", "see hostd status")
        self._register.release(hold, "the operator released it")
        return [f"{name} is released", *await self._apply()]

    async def _decide(self, hold: Hold) -> list[str]:
        await self._register.hold(hold)
        return [f"{hold.plugin} is {hold.kind}: generation {hold.generation} serves", *await self._apply()]

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
