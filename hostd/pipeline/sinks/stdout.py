"""JSON lines on standard output. What was printed cannot be taken back: a restart may repeat the last ones.

A reader that is slow makes the daemon wait; it does not keep it from stopping. A line of up to 4 KiB is printed whole
or not at all.
"""

import errno
import os
import select
import stat
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase

from hostd.pipeline.ledger import SinkMark
from hostd.pipeline.sinks import Unit
from hostd.pipeline.sinks.pending import CACHED_BYTES, IOV_MAX, drop, unwritten

RWF_DONTCACHE = 0x80
"""Of pwritev2(2), since Linux 6.14: pages are written and given back at once. Not all file systems know it."""
PIPE_BYTES = select.PIPE_BUF
"""As much as a pipe that is ready takes without blocking."""


class StdoutSink:
    """Writes to a file descriptor, 1 by default."""

    name = "stdout"
    unit: Unit = "bytes"
    takes_blocks = False

    def __init__(self, processors: tuple[str, ...] = ("*",), fd: int = 1) -> None:
        self._processors = processors
        self._fd = fd
        self._printed: dict[str, int] = {}
        self._stops = [*os.pipe()]
        """What `interrupt` writes to and a wait reads."""
        self._written, self._most_cached = 0, CACHED_BYTES
        self._ready = select.poll()
        self._ready.register(self._stops[0], select.POLLIN)

    def recover(self) -> None:
        """What was printed stays printed."""

    def takes(self, processor: str) -> bool:
        return any(fnmatchcase(processor, glob) for glob in self._processors)

    def write(self, processor: str, chunks: Sequence[bytes | bytearray]) -> None:
        """Print what of it was not printed yet: a commit that is tried again has the same lines."""
        pending = unwritten(chunks, self._printed.get(processor, 0))
        is_file = stat.S_ISREG(os.fstat(self._fd).st_mode)
        if not is_file:
            self._ready.register(self._fd, select.POLLOUT)
        while pending:
            count = self._write_file(pending) if is_file else self._write_lines(pending[0])
            self._printed[processor] = self._printed.get(processor, 0) + count
            drop(pending, count)

    def _write_lines(self, view: memoryview) -> int:
        self._wait_until_ready()
        return os.write(self._fd, view[: _whole_lines(view, PIPE_BYTES)])

    def _write_file(self, pending: list[memoryview]) -> int:
        """Write as much as one call takes; of a large file past the system's cache, where it has a call for that."""
        if self._written < self._most_cached:
            count = os.writev(self._fd, pending[:IOV_MAX])
        else:
            try:
                count = os.pwritev(self._fd, pending[:IOV_MAX], -1, RWF_DONTCACHE)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    raise
                self._most_cached = sys.maxsize
                return 0
        self._written += count
        return count

    def _wait_until_ready(self) -> None:
        # The descriptor may be shared with whoever started us: it is not ours to make non-blocking.
        if any(fd == self._stops[0] for fd, _ in self._ready.poll()):
            raise OSError(errno.ECANCELED, "hostd stops before all was printed", self.name)

    def place(self, processor: str) -> None:
        """What was printed is nowhere to be found."""

    def sync(self) -> list[SinkMark]:
        return []

    def abandon(self) -> None:
        """What was written is known, and written over."""

    def accept(self) -> None:
        self._printed.clear()

    def interrupt(self) -> None:
        os.write(self._stops[1], b"x")

    def leave(self) -> bool:
        self.close()
        return False

    def close(self) -> None:
        """Standard output is not ours to close."""
        while self._stops:
            os.close(self._stops.pop())


def _whole_lines(view: memoryview, at_most: int) -> int:
    """Return how many bytes the lines take that fit in; `at_most` when not even one does."""
    return bytes(view[:at_most]).rfind(b"\n") + 1 or at_most
