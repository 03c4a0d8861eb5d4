"""Standard input, read so that Ctrl-C ends the waiting for it."""

import asyncio
import os
import select
from collections.abc import AsyncIterator
from contextlib import closing

CHUNK_BYTES = 1 << 16
STDIN = 0


async def chunks() -> AsyncIterator[bytes]:
    """Yield what comes, to its end. Raises OSError."""
    with closing(_Waiting()) as waiting:
        while chunk := await waiting.read():
            yield chunk


class _Waiting:
    """A thread that reads cannot be interrupted; one that waits for one of two pipes can."""

    def __init__(self) -> None:
        self._stopped, self._stop = os.pipe()

    async def read(self) -> bytes:
        reading = asyncio.ensure_future(asyncio.to_thread(self._read))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            os.write(self._stop, b"x")
            await asyncio.wait([reading])
            raise

    def _read(self) -> bytes:
        ready = select.poll()
        ready.register(self._stopped, select.POLLIN)
        ready.register(STDIN, select.POLLIN)
        if any(fd == self._stopped for fd, _ in ready.poll()):
            return b""
        try:
            return os.read(STDIN, CHUNK_BYTES)
        except OSError as error:
            error.filename = "standard input"
            raise

    def close(self) -> None:
        os.close(self._stopped)
        os.close(self._stop)
