"""Memory files that the daemon and a worker share: one end puts bodies in, the other takes them out.

Both have the first `KEPT_BYTES` mapped: a copy in memory takes a quarter of the time of a call that writes. A file
cannot be cut short by anybody, which would be a SIGBUS for who has it mapped. What is taken is copied first and looked
at then, since a worker may go on writing.
"""

import fcntl
import mmap
import os
from collections.abc import Sequence

KEPT_BYTES = 4 << 20
"""How much of a memory file is kept from one body to the next; what is beyond it is written and read by calls."""


class Box:
    """A memory file at `fd`, -1 for none; `owner` gives back the memory of large bodies.

    The mapping holds a second descriptor of the file.
    """

    def __init__(self, fd: int, *, owner: bool = False) -> None:
        self.fd = fd
        self._owner = owner
        self._used = 0
        self._map = mmap.mmap(fd, KEPT_BYTES) if fd >= 0 else None

    @property
    def is_there(self) -> bool:
        """Whether bodies can be put in."""
        return self._map is not None

    @classmethod
    def make(cls, name: str) -> "Box":
        """Make one, or none where the system has no memory files. Raises OSError."""
        if not hasattr(os, "memfd_create"):
            return cls(-1)
        fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, KEPT_BYTES)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
            return cls(fd, owner=True)
        except BaseException:
            os.close(fd)
            raise

    def put(self, body: Sequence[bytes], length: int) -> None:
        """Put a body of `length` bytes in, instead of the one before. Raises OSError."""
        assert self._map is not None
        self._give_back()
        at, self._used = 0, length
        for part in body:
            if length <= KEPT_BYTES:
                self._map[at : at + len(part)] = part
                at += len(part)
                continue
            view = memoryview(part)
            while view:
                count = os.pwrite(self.fd, view, at)
                at, view = at + count, view[count:]

    def take(self, length: int) -> bytes:
        """Return the body of `length` bytes; fewer where they are not there."""
        if self._map is None:
            return b""
        if length <= KEPT_BYTES:
            return self._map[:length]
        body = os.pread(self.fd, length, 0)
        self._used = len(body)
        self._give_back()
        return body

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        if self._map is not None:
            self._map.close()
            os.close(self.fd)
            self._map = None

    def _give_back(self) -> None:
        """Give the memory back that the last body had, beyond what is kept."""
        if self._owner and self._used > KEPT_BYTES:
            self._used = 0
            with mmap.mmap(self.fd, os.fstat(self.fd).st_size) as whole:
                whole.madvise(mmap.MADV_REMOVE, KEPT_BYTES)


NOWHERE = Box(-1)
"""No box: bodies travel through the socket."""
