"""What of some chunks is still to be written, for calls that write as much as they can."""

from collections.abc import Sequence

IOV_MAX = 1024
"""How many pieces one system call takes."""
CACHED_BYTES = 64 << 20
"""How much of what is written through the system's cache may stay there, for readers.

More would push out what others need. And to find new pages for it is slow where a host lends them to a virtual machine:
a fifth of all CPU time, where records come as fast as they can.
"""


def unwritten(chunks: Sequence[bytes | bytearray], count: int = 0) -> list[memoryview]:
    """Return the pieces of chunks of which the first `count` bytes are written."""
    pending = [memoryview(chunk) for chunk in chunks if chunk]
    drop(pending, count)
    return pending


def drop(pending: list[memoryview], count: int) -> None:
    """Take away the first `count` bytes, which are written."""
    while pending and count >= len(pending[0]):
        count -= len(pending.pop(0))
    if count:
        pending[0] = pending[0][count:]
