"""Writing past the system's cache, for what comes in large pieces: from our memory to the disk, by O_DIRECT of open(2).

To find pages in the cache for so much, to fill them, to write them out and to drop them again takes four times the
processor time of a copy to where a disk can take it from. What comes in small pieces is better off in the cache, which
has it for readers.
"""

import errno
import fcntl
import mmap
import os

BLOCK_BYTES = 4096
"""What a place in a file, a place in memory and a length are to be multiples of, for any disk."""
WINDOW_BYTES = 2 << 20
"""How much is copied and written at once. More does not stay in a processor's cache meanwhile, and takes longer."""
LEAST_BYTES = 2 * WINDOW_BYTES
"""From how much on at once it is worth it."""
FLAG = getattr(os, "O_DIRECT", 0)
"""0 where there is no such thing."""


class DirectWriter:
    """Writes to any files, one call at a time."""

    def __init__(self) -> None:
        self._window = memoryview(mmap.mmap(-1, WINDOW_BYTES))

    def write(self, fd: int, pending: list[memoryview], at: int) -> int | None:
        """Write a part of what is pending at a place in a file; return how many bytes.

        That is up to the next block, through the cache, or as many whole blocks as fit in the window, past it. Less
        than a block is left alone: 0. None says that the file takes nothing past the cache. Raises OSError.
        """
        if ahead := -at % BLOCK_BYTES:
            return os.pwrite(fd, pending[0][:ahead], at)
        length = self._fill(pending) // BLOCK_BYTES * BLOCK_BYTES
        if not length:
            return 0
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        try:
            fcntl.fcntl(fd, fcntl.F_SETFL, flags | FLAG)
            return os.pwrite(fd, self._window[:length], at)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            return None
        finally:
            fcntl.fcntl(fd, fcntl.F_SETFL, flags)

    def _fill(self, pending: list[memoryview]) -> int:
        """Copy what fits of it into the window; return how many bytes."""
        at = 0
        for part in pending:
            length = min(len(part), WINDOW_BYTES - at)
            self._window[at : at + length] = part[:length]
            at += length
            if at == WINDOW_BYTES:
                break
        return at
