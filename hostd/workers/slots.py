"""A limit of what goes on at once, first come first served, but for who is told to be in a hurry.

A batch that takes long gives its slot to the next in line and goes on without one, so that a plugin which
hangs until its deadline delays no other plugin.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator


class Slots:
    """`capacity` slots; one held for longer than `handoff_s` is given away."""

    def __init__(self, capacity: int, handoff_s: float) -> None:
        self.capacity = capacity
        self._handoff_s = handoff_s
        self._free = capacity
        self._waiting: deque[tuple[asyncio.Future[None], str]] = deque()

    @property
    def is_waited_for(self) -> bool:
        """Tell whether somebody waits for a slot."""
        return bool(self._waiting)

    def hurry(self, name: str) -> None:
        """Give the next slot to who waits under this name; nothing where nobody does."""
        for entry in self._waiting:
            if entry[1] == name:
                self._waiting.remove(entry)
                self._waiting.appendleft(entry)
                return

    @contextlib.asynccontextmanager
    async def take(self, name: str = "") -> AsyncIterator[None]:
        """Hold a slot, waiting for one under a name."""
        await self._acquire(name)
        held = True

        def hand_off() -> None:
            nonlocal held
            held = False
            self._release()

        timer = asyncio.get_running_loop().call_later(self._handoff_s, hand_off)
        try:
            yield
        finally:
            timer.cancel()
            if held:
                self._release()

    async def _acquire(self, name: str) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, name))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()  # it was our turn already: pass it on
            else:
                with contextlib.suppress(ValueError):  # `_release` has passed over it already
                    self._waiting.remove((turn, name))
            raise

    def _release(self) -> None:
        while self._waiting:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
