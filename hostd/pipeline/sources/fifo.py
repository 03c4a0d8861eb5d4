"""What comes through a FIFO: taken as it comes, as far as there is room, and held until it is committed.

A pipe is read once. What was taken from it and not committed is gone when hostd ends: at most once.
"""

import asyncio
import os
import time
from collections.abc import Callable

from hostd.pipeline.ledger import Checkpoint
from hostd.pipeline.sources.marks import MARKER_BYTES

ROOM_BYTES = 256 << 10
"""How much is taken beyond what was read; more, where one record is larger."""
TAKE_BYTES = 64 << 10
WRITERLESS_CHECK_S = 1.0


class Fifo:
    """The bytes that came through the FIFO open at `fd`, counted from `base`. `on_data()` says that more came."""

    def __init__(self, fd: int, base: int, on_data: Callable[[], None]) -> None:
        self._fd = fd
        self._on_data = on_data
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._start = base
        self._read_to = base
        self._room = ROOM_BYTES
        self._timer: asyncio.TimerHandle | None = None
        self._is_listening = False
        self._last_at = time.time()
        self._listen()

    def size(self) -> int:
        """Return how many bytes came, ever."""
        return self._start + len(self._buffer)

    def idle_for_s(self) -> float:
        """Return for how many seconds nothing came."""
        return time.time() - self._last_at

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`, or from the first that are held where those are gone."""
        self._room = max(ROOM_BYTES, length)
        first = max(0, offset - self._start)
        content = bytes(memoryview(self._buffer)[first : first + length])
        self._listen()
        return content

    async def load(self, offset: int, length: int) -> None:
        """Return at once: what came is there."""

    def was_rewritten(self, reached: Checkpoint, looked_at: int) -> bool:  # noqa: ARG002
        """Return False: what came, came."""
        return False

    def checkpoint(self, end: int, tail: bytes) -> Checkpoint:  # noqa: ARG002
        """Return how much was read; there is nothing to know it by."""
        self._read_to = end
        return Checkpoint(end)

    def let_go(self, committed: int) -> None:
        """Hold nothing before `committed`."""
        spare = committed - MARKER_BYTES - self._start
        if spare > 0:
            del self._buffer[:spare]
            self._start += spare
        self._listen()

    def close(self) -> None:
        """Take no more. May be called twice."""
        self._deafen()
        if self._timer is not None:
            self._timer.cancel()

    def _listen(self) -> None:
        has_room = self.size() - self._read_to < self._room
        if has_room and not self._is_listening and self._timer is None:
            self._loop.add_reader(self._fd, self._take)
            self._is_listening = True
        elif not has_room:
            self._deafen()

    def _deafen(self) -> None:
        if self._is_listening:
            self._loop.remove_reader(self._fd)
            self._is_listening = False

    def _take(self) -> None:
        try:
            content = os.read(self._fd, TAKE_BYTES)
        except BlockingIOError:
            return
        if not content:
            # Opened without the right to write, a FIFO that nobody writes to is at its end again and again.
            self._deafen()
            self._timer = self._loop.call_later(WRITERLESS_CHECK_S, self._listen_again)
            return
        self._buffer += content
        self._last_at = time.time()
        self._listen()
        self._on_data()

    def _listen_again(self) -> None:
        self._timer = None
        self._listen()
