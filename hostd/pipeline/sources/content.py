"""The bytes of a source as plugins see them, by their offset: read in place, from a window, or from a pipe's buffer."""

import os
from dataclasses import dataclass
from typing import Protocol

from hostd.pipeline.ledger import Checkpoint
from hostd.pipeline.sources.marks import FINGERPRINT_BYTES, MARKER_BYTES, digest, is_continued


@dataclass(slots=True)
class NotLoadedError(Exception):
    """These bytes are not in memory, or looking at them is too much for one turn: `load` them and ask again."""

    offset: int
    length: int


class Content(Protocol):
    """What holds a source's bytes. Nothing here blocks for longer than a few pages take to read."""

    def size(self) -> int:
        """Return how many bytes there are so far; of an archive that was not read to its end, a number that is less."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end. Raises NotLoadedError."""
        ...

    async def load(self, offset: int, length: int) -> None:
        """Make these bytes readable. Raises OSError."""
        ...

    def was_rewritten(self, reached: Checkpoint, looked_at: int) -> bool:
        """Tell whether what was read up to `reached`, or looked at up to `looked_at`, is not there any more."""
        ...

    def checkpoint(self, end: int, tail: bytes) -> Checkpoint:
        """Return how to know again what was read up to `end`; `tail` is what was read just before it."""
        ...

    def let_go(self, committed: int) -> None:
        """Take note that nothing before `committed` will be read again, except its first bytes."""
        ...

    def close(self) -> None:
        """Let go of what is held beside the file itself."""
        ...


class Fingerprinted:
    """Makes checkpoints of content whose start and last bytes can be read again."""

    __slots__ = ("_fingerprint",)

    def __init__(self) -> None:
        self._fingerprint: tuple[int, bytes] = (0, b"")

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`."""
        raise NotImplementedError

    def checkpoint(self, end: int, tail: bytes) -> Checkpoint:
        """Return how to know again what was read up to `end`; `tail` is what was read just before it."""
        if self._fingerprint[0] < FINGERPRINT_BYTES:
            first = self.read(0, min(FINGERPRINT_BYTES, end))
            self._fingerprint = len(first), digest(first)
        if len(tail) < MARKER_BYTES:
            length = min(MARKER_BYTES, end)
            tail = self.read(end - length, length)
        marker = tail[-MARKER_BYTES:]
        return Checkpoint(end, *self._fingerprint, len(marker), digest(marker))


class Plain(Fingerprinted):
    """A file's bytes as they are. Reads are positioned, small, and mostly of pages that the kernel still holds."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        super().__init__()
        self.fd = fd

    def size(self) -> int:
        """Return the file's size."""
        return os.fstat(self.fd).st_size

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end of the file."""
        # No more than there is: what is asked for is allocated, and cut short, and leaves the heap in pieces.
        return os.pread(self.fd, max(0, min(length, self.size() - offset)), offset)

    async def load(self, offset: int, length: int) -> None:
        """Return at once: the kernel has them."""

    def was_rewritten(self, reached: Checkpoint, looked_at: int) -> bool:
        """Tell whether the file was truncated, or written over."""
        size = self.size()
        return size < looked_at or (reached.offset > 0 and not is_continued(reached, self.read, size))

    def let_go(self, committed: int) -> None:
        """Hold nothing."""

    def close(self) -> None:
        """Hold nothing."""
