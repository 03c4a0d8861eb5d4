"""One file being read as it grows, whatever it is called by now.

A file is known by device and inode, by a fingerprint of its first bytes, and by a marker: the hash of the bytes
just before the checkpoint. All reads are positioned and come from the event loop: they are small, and mostly of
pages that the kernel still holds.
"""

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from contract.framing import Framing
from hostd.pipeline.ledger import Checkpoint, SourceRow

HEAD_BYTES = 4096
FINGERPRINT_BYTES = 256
MARKER_BYTES = 64
MAX_HEADER_BYTES = 1 << 20
NOTHING_READ = Checkpoint()
ENDED_S = 2.0
"""After how long without a write a file that was moved away or removed counts as ended."""


def digest(content: bytes) -> bytes:
    """Return the hash that fingerprints and markers are made of."""
    return hashlib.blake2b(content, digest_size=16).digest()


def is_continued_by(checkpoint: Checkpoint, fd: int, size: int) -> bool:
    """Tell whether the file open at `fd` holds what was read up to `checkpoint`, and maybe more."""
    if not checkpoint.offset or size < checkpoint.offset:
        return False
    first = os.pread(fd, checkpoint.fingerprint_length, 0)
    before = os.pread(fd, checkpoint.marker_length, checkpoint.offset - checkpoint.marker_length)
    return digest(first) == checkpoint.fingerprint and digest(before) == checkpoint.marker


@dataclass(slots=True, eq=False)
class FileSource:
    """One open file. `reached` is how far it was read, `committed` how far that is accounted for.

    `offset` is where the next read begins; it is past `reached` only when a header was skipped.
    """

    id: int
    name: str
    path: Path
    fd: int
    device: int
    inode: int
    processor: str | None = None
    offset: int = 0
    reached: Checkpoint = NOTHING_READ
    committed: Checkpoint = NOTHING_READ
    scanned: int = 0
    """How far was looked, in vain, for the end of a record that is over the limit."""
    moved_away: bool = False
    """The path names another file now, or none: nothing will be appended for long."""
    header: bytes = b""
    copy_of: int | None = None
    """The source that this one is a copy of, and goes on where that was read to."""
    _framed_by: Framing | None = None
    _fingerprint: tuple[int, bytes] = (0, b"")

    def size(self) -> int:
        """Return the file's size in bytes."""
        return os.fstat(self.fd).st_size

    def idle_for_s(self) -> float:
        """Return for how many seconds nothing was written."""
        status, now = os.fstat(self.fd), time.time()
        # A time of modification in the future was set by hand; that of the change of the inode cannot be.
        return now - (status.st_mtime if status.st_mtime <= now else status.st_ctime)

    def has_ended(self) -> bool:
        """Tell whether nothing more will come: the path names another file, and the writer has let go of this one."""
        return self.moved_away and self.idle_for_s() >= ENDED_S

    def head(self) -> bytes:
        """Return the file's first bytes, at most `HEAD_BYTES`."""
        return self.read(0, HEAD_BYTES)

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end of the file."""
        # No more than there is: what is asked for is allocated, and cut short, and leaves the heap in pieces.
        return os.pread(self.fd, max(0, min(length, self.size() - offset)), offset)

    def was_rewritten(self) -> bool:
        """Tell whether what was read is not what the file holds now: it was truncated, or written over."""
        size = self.size()
        return size < max(self.offset, self.scanned) or (
            self.reached.offset > 0 and not is_continued_by(self.reached, self.fd, size)
        )

    def begin_again(self, new_id: int) -> None:
        """Read the file from its start, as another source for the ledger."""
        self.id = new_id
        self.copy_of = None
        self.rewind(NOTHING_READ)
        self.committed = NOTHING_READ
        self._fingerprint = (0, b"")

    def rewind(self, checkpoint: Checkpoint) -> None:
        """Read on from `checkpoint`; its header is looked for again."""
        self.reached = checkpoint
        self.offset = checkpoint.offset
        self.scanned = 0
        self._framed_by = None

    def find_header(self, framing: Framing, *, final: bool) -> bool:
        """Read the header that `framing` declares, once, and skip it; False when it is not all there yet."""
        if self._framed_by == framing:
            return True
        header = b""
        if framing.has_header:
            leading = self.read(0, MAX_HEADER_BYTES)
            end = framing.header_end(leading, final=final or len(leading) == MAX_HEADER_BYTES)
            if end is None:
                return False
            header = leading[:end]
        self.header, self._framed_by = header, framing
        self.offset = max(self.reached.offset, len(header))
        return True

    def advance(self, end: int, tail: bytes) -> None:
        """Take note that everything before `end` was read; `tail` is what was read just before it."""
        if self._fingerprint[0] < FINGERPRINT_BYTES:
            first = os.pread(self.fd, min(FINGERPRINT_BYTES, end), 0)
            self._fingerprint = len(first), digest(first)
        if len(tail) < MARKER_BYTES:
            length = min(MARKER_BYTES, end)
            tail = os.pread(self.fd, length, end - length)
        marker = tail[-MARKER_BYTES:]
        self.reached = Checkpoint(end, *self._fingerprint, len(marker), digest(marker))
        self.offset = end

    def row(self) -> SourceRow:
        """Return what the ledger is to know once everything up to `reached` is accounted for."""
        return SourceRow(self.id, self.name, str(self.path), self.device, self.inode, self.reached)

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
