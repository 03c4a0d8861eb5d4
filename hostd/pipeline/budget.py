"""How many bytes may be under way at once: what bounds the daemon's memory, whatever the input's size.

One plugin gets half of it at most, and each its first claim: one that hangs on all it is given leaves room for others.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class _Claim:
    size: int
    plugin: str
    met: asyncio.Future[None]


class Budget:
    """`limit` bytes, given in the order of asking as far as each plugin's share allows."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: Counter[str] = Counter()
        self._waiting: list[_Claim] = []

    def try_take(self, size: int, plugin: str) -> bool:
        """Take `size` bytes for a plugin if they are free now, and nobody of the same plugin waits."""
        if any(claim.plugin == plugin for claim in self._waiting) or not self._has_room(size, plugin):
            return False
        self._held[plugin] += size
        return True

    async def take(self, size: int, plugin: str) -> None:
        """Take `size` bytes for a plugin, waiting until they are free."""
        if self.try_take(size, plugin):
            return
        claim = _Claim(size, plugin, asyncio.get_running_loop().create_future())
        self._waiting.append(claim)
        try:
            await claim.met
        except asyncio.CancelledError:
            if claim.met.done() and not claim.met.cancelled():
                self.give(size, plugin)
            elif claim in self._waiting:
                self._waiting.remove(claim)
            raise

    def give(self, size: int, plugin: str) -> None:
        """Give `size` bytes back."""
        self._held[plugin] -= size
        if not self._held[plugin]:
            del self._held[plugin]
        passed_over: set[str] = set()
        for claim in list(self._waiting):
            if claim.met.done():
                self._waiting.remove(claim)
            elif claim.plugin not in passed_over and self._has_room(claim.size, claim.plugin):
                self._waiting.remove(claim)
                self._held[claim.plugin] += claim.size
                claim.met.set_result(None)
            else:
                passed_over.add(claim.plugin)

    def _has_room(self, size: int, plugin: str) -> bool:
        held = self._held.get(plugin, 0)
        return not held or (held + size <= self._limit // 2 and self._held.total() + size <= self._limit)
