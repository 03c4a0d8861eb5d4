"""Reads a pipe, a terminal or a file to its end, in the event loop, as far as there is room."""

import asyncio
import errno
import os
import stat
from collections.abc import Callable

from hostd import events
from hostd.pipeline.faults import explain
from hostd.pipeline.intake.inlet import Inlet, Tap

TAKE_BYTES = 256 << 10


class PipeReader:
    """Gives what comes through `fd` to an inlet; `on_end()` is called once, at its end. The caller closes `fd`.

    The descriptor is left as it is, and may be shared: it is only read when it has something.
    """

    def __init__(self, fd: int, inlet: Inlet, on_end: Callable[[], None]) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._source = inlet.source
        self._tap = Tap(inlet, self._deafen, self._listen)
        self._on_end = on_end
        self._is_listening = False
        self._is_over = False
        self._is_terminal = os.isatty(fd)
        self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        """Of a regular file, and some devices, the kernel tells no event: they can always be read."""

    def start(self) -> None:
        """Begin to read."""
        self._listen()

    def close(self) -> None:
        """Read no more. May be called twice."""
        self._is_over = True
        self._deafen()

    async def emptied(self) -> None:
        """Wait until all that was read is spooled."""
        await self._tap.emptied()

    def _listen(self) -> None:
        if self._is_over or self._is_listening:
            return
        self._is_listening = True
        if not self._is_file:
            try:
                self._loop.add_reader(self._fd, self._take)
            except PermissionError:  # such as /dev/null
                self._is_file = True
        if self._is_file:
            self._loop.call_soon(self._take)

    def _deafen(self) -> None:
        if self._is_listening:
            self._is_listening = False
            if not self._is_file:
                self._loop.remove_reader(self._fd)

    def _take(self) -> None:
        if not self._is_listening:
            return
        try:
            content = os.read(self._fd, TAKE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            content = b""
            if not (self._is_terminal and error.errno == errno.EIO):  # one that was hung up has ended
                self._source.trouble = explain(error)
                events.emit(events.INTAKE_BROKEN, source=self._source.name, reason=self._source.trouble)
        if content:
            self._tap.give(content)
            if self._is_file and self._is_listening:
                self._loop.call_soon(self._take)
            return
        self._is_over = True
        self._deafen()
        self._on_end()
