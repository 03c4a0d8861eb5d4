"""Tells when something is written to an open file: one inotify watch a file, read by the event loop itself.

The folders' own watch goes through several threads, which is no matter for what is rare. Lines that are written
are not rare: they would keep those threads, and whoever waits for the interpreter's lock, busy.

The kernel merges writes that nobody has been told of yet, so a writer faster than the event loop costs no more.
"""

import asyncio
import ctypes
import errno
import os
import sys
from array import array
from collections.abc import Callable

from hostd import events
from hostd.pipeline.sources.file import FileSource

IN_MODIFY = 0x2
EVENT_NUMBERS = 4
"""The number of the watch, the mask, the cookie, and the length of the name."""
OVERFLOWED = -1
"""The watch's number where the kernel has dropped events."""
READ_BYTES = 64 << 10


class Appends:
    """Calls `on_data(source)` in the event loop for a watched file that was written to, or truncated.

    Where the kernel has no inotify, or no watch left, `watch` says so, and somebody else has to look.
    """

    def __init__(self, on_data: Callable[[FileSource], None]) -> None:
        self._on_data = on_data
        self._sources: dict[int, FileSource] = {}
        self._numbers: dict[FileSource, int] = {}
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._fd = -1
        if self._libc is not None:
            self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd >= 0:
            asyncio.get_running_loop().add_reader(self._fd, self._read)
        else:
            self._refused(ctypes.get_errno() if self._libc is not None else errno.ENOSYS)

    @property
    def works(self) -> bool:
        """Tell whether every file so far could be watched."""
        return self._fd >= 0

    def watch(self, source: FileSource) -> bool:
        """Watch an open file, whatever it is called by now; False when it cannot be, nor can any other from now on."""
        if self._fd < 0:
            return False
        assert self._libc is not None
        path = f"/proc/self/fd/{source.fd}".encode()
        number = self._libc.inotify_add_watch(self._fd, path, IN_MODIFY)
        if number < 0:
            self._refused(ctypes.get_errno())
            self.close()
            return False
        self._sources[number] = source
        self._numbers[source] = number
        return True

    def forget(self, source: FileSource) -> None:
        """Watch a file no more."""
        number = self._numbers.pop(source, None)
        # The same file opened again has the same number.
        if number is not None and self._sources.get(number) is source:
            del self._sources[number]
            assert self._libc is not None
            self._libc.inotify_rm_watch(self._fd, number)

    def close(self) -> None:
        """Watch nothing any more. May be called twice."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        self._sources.clear()
        self._numbers.clear()

    def _read(self) -> None:
        try:
            content = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        # A file's events have no name, so that each is four numbers: there may be a hundred thousand a second.
        numbers = set(array("i", content)[::EVENT_NUMBERS])
        if OVERFLOWED in numbers:
            numbers.update(self._sources)
        for number in numbers & self._sources.keys():
            self._on_data(self._sources[number])

    def _refused(self, number: int) -> None:
        events.emit(events.APPENDS_UNWATCHED, reason=os.strerror(number))
