"""How many bytes may be under way at once: what bounds the daemon's memory, whatever the input's size."""

import asyncio
from collections import deque


class Budget:
    """`limit` bytes, given in the order of asking. One claim over the limit is met when nothing else is held."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def try_take(self, size: int) -> bool:
        """Take `size` bytes if they are free now."""
        if self._waiting or (self._held and self._held + size > self._limit):
            return False
        self._held += size
        return True

    async def take(self, size: int) -> None:
        """Take `size` bytes, waiting until they are free."""
        if self.try_take(size):
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(size)
            raise

    def give(self, size: int) -> None:
        """Give `size` bytes back."""
        self._held -= size
        while self._waiting:
            wanted, turn = self._waiting[0]
            if not turn.done():
                if self._held and self._held + wanted > self._limit:
                    return
                self._held += wanted
                turn.set_result(None)
            self._waiting.popleft()
