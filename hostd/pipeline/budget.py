"""How many bytes may be under way at once: what bounds the daemon's memory, whatever the input's size.

One plugin gets half of it at most, and each its first claim: one that hangs on all it is given leaves room for others.
"""

import asyncio
from collections import Counter
from contextlib import AbstractAsyncContextManager

from msgspec import Struct

from hostd.workers.slots import Slots


class _Claim(Struct, frozen=True, eq=False):
    size: int
    plugin: str
    met: asyncio.Future[None]


EXCESS_SHARE = 8
"""One plugin's batches may yield an eighth of the limit in excess; then they come out before more are parsed."""


class _Turns:
    """The turns of one plugin, and the excess that it is charged with."""

    def __init__(self, at_once: int, most_excess: int) -> None:
        self.excess = 0
        self.slots = Slots(at_once, is_open=lambda: self.excess <= most_excess)


class Budget:
    """`limit` bytes, given in the order of asking as far as each plugin's share allows; each has `at_once` turns."""

    def __init__(self, limit: int, at_once: int) -> None:
        self._limit = limit
        self._at_once = at_once
        self._turns: dict[str, _Turns] = {}
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

    def turn(self, plugin: str) -> AbstractAsyncContextManager[None]:
        """Return what waits for a turn to parse, and takes it, in an `async with`.

        First come first served, a few at once, and none while much excess is charged. Whatever a plugin's later batches
        have yielded, its earlier ones have had their turn, so that they can be delivered, and the excess be discharged.
        """
        turns = self._turns.get(plugin)
        if turns is None:
            turns = self._turns[plugin] = _Turns(self._at_once, self._limit // EXCESS_SHARE)
        return turns.slots.take()

    def charge(self, size: int, plugin: str) -> None:
        """Hold a plugin that has had its turn to `size` bytes that its batch yields beyond what it has taken."""
        if size:
            self._held[plugin] += size
            self._turns[plugin].excess += size

    def discharge(self, size: int, plugin: str) -> None:
        """Give back what was charged."""
        if size:
            self._turns[plugin].excess -= size
            self._turns[plugin].slots.admit()
            self.give(size, plugin)

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
        half = self._limit // 2
        return not held or (
            held + size <= half and sum(min(h, half) for h in self._held.values()) + size <= self._limit
        )
