"""Who may have a decoder: each can take many megabytes, and a folder may hold thousands of archives."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

from hostd import clock

AT_ONCE = 4
IDLE_S = 1.0
"""After how long without a read an archive gives its decoder up to another that needs it."""


class User(Protocol):
    """What uses a decoder."""

    def rest(self) -> None:
        """Give the decoder back."""
        ...


class Decoders:
    """`at_once` decoders, first come first served. Whoever has one keeps it until it rests, or idles."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._idle_since: dict[User, float] = {}
        self._line = asyncio.Lock()
        self._freed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def use(self, user: User) -> AsyncIterator[None]:
        """Wait for a decoder, and have it for the block at least."""
        async with self._line:
            while user not in self._idle_since and len(self._idle_since) >= self._at_once:
                idle = [u for u, since in self._idle_since.items() if clock.monotonic() - since >= IDLE_S]
                if idle:
                    idle[0].rest()
                    continue
                self._freed.clear()
                with contextlib.suppress(TimeoutError):  # none was given back: one may be idle by now
                    await asyncio.wait_for(self._freed.wait(), IDLE_S / 4)
            self._idle_since[user] = float("inf")
        try:
            yield
        finally:
            if user in self._idle_since:
                self._idle_since[user] = clock.monotonic()

    def give_back(self, user: User) -> None:
        """Let another have it. May be called twice."""
        if self._idle_since.pop(user, None) is not None:
            self._freed.set()
