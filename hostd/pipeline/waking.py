"""All sources woken, a slice at a time: of ten thousand that takes half a second, and nobody waits as long for it."""

import asyncio
from collections.abc import Callable, Iterable

from hostd import clock
from hostd.pipeline.flow import Flow

SLICE_S = 0.002
"""How long a slice is: what is under way takes a slice for each turn of the event loop that it needs."""


class Waking:
    """Calls `wake` with each of some flows, in their order, and returns to the event loop after each slice."""

    def __init__(self, wake: Callable[[Flow], None]) -> None:
        self._wake = wake
        self._waiting: dict[Flow, None] = {}
        self._ended = asyncio.Event()
        self._ended.set()

    def start(self, flows: Iterable[Flow]) -> None:
        """Wake these, the first of them at once. Those that still wait from before stay ahead, so that each comes."""
        self._waiting.update(dict.fromkeys(flows))
        if self._ended.is_set():
            self._ended.clear()
            self._slice()

    def stop(self) -> None:
        """Wake no more."""
        self._waiting.clear()

    async def ended(self) -> None:
        """Wait until all are woken."""
        await self._ended.wait()

    def _slice(self) -> None:
        until = clock.monotonic() + SLICE_S
        while self._waiting:
            flow = next(iter(self._waiting))
            del self._waiting[flow]
            self._wake(flow)
            if clock.monotonic() >= until:
                break
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._slice)
        else:
            self._ended.set()
