"""The one limit of busy workers, first come first served.

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
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def is_waited_for(self) -> bool:
        """Tell whether somebody waits for a slot."""
        return bool(self._waiting)

    @contextlib.asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Hold a slot, waiting for one."""
        await self._acquire()
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

    async def _acquire(self) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()  # it was our turn already: pass it on
            else:
                with contextlib.suppress(ValueError):  # `_release` has passed over it already
                    self._waiting.remove(turn)
            raise

    def _release(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
