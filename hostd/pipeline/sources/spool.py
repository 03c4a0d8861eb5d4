"""What was received and lies in no file of anybody's: appended to segments in the state folder until it is committed.

A segment is a plain file, named by where it begins among all that ever came. It is removed once everything in it is
committed and another one is written to. Nothing is made durable here: what counts is, with its commit.
"""

import errno
import os
import re
import time
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from hostd import events
from hostd.pipeline.ledger import Checkpoint, SourceRow
from hostd.state import SPOOL

SEGMENT_BYTES = 8 << 20
"""From how many bytes on the next ones go into another segment: so much more than what waits is on the disk at most."""
HEAD_BYTES = 64 << 10
"""How many of the first bytes are kept for good: a source is routed by them, and they may be a header."""
HEAD = "head"
SEGMENT = r"\d{20}"
PARTS_AT_ONCE = 256
FILLER = b"\n"


class _Segment(Struct):
    path: Path
    begin: int
    size: int
    fd: int

    @property
    def end(self) -> int:
        return self.begin + self.size


def is_spooled(row: SourceRow) -> bool:
    """Tell whether the ledger's row of a source is of one that was received, with its folder in the state folder."""
    return not row.checkpoint.fingerprint_length and Path(row.path).parent.parent.name == SPOOL


def spooled_to(folder: Path) -> int:
    """Return where what lies in the folder of a spool ends, 0 when nothing does. Nothing is changed."""
    paths = [path for path in folder.glob("*") if re.fullmatch(SEGMENT, path.name)]
    return max((int(path.name) + path.stat().st_size for path in paths), default=0)


NOT_KEPT = "what is received is not kept once it is committed"


class Spool:
    """The bytes of one source, by their offset among all that ever came. `recover` comes first.

    Writes go to the kernel's cache, and reads come from there.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._segments: list[_Segment] = []
        self._begins: list[int] = []
        self._head = b""
        self._end = 0
        self._last_at = 0.0
        self._ends_line = True
        self.is_open = False
        """Whether more may come."""
        self.is_awaited = False
        """Whether somebody waits for what came to be committed."""

    @property
    def start(self) -> int:
        """Where what is held begins."""
        return self._segments[0].begin if self._segments else self._end

    @property
    def ends_line(self) -> bool:
        """Whether the last byte that came is a line feed, or none came."""
        return self._ends_line

    def recover(self, committed: int, *, cut: bool) -> None:
        """Take in what an earlier daemon has left beyond what was committed; with `cut`, remove that. Blocks.

        Raises OSError.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        head = self._folder / HEAD
        self._head = head.read_bytes() if head.exists() else b""
        paths = sorted(path for path in self._folder.iterdir() if re.fullmatch(SEGMENT, path.name))
        for path in paths:
            self._take_in(path)
        if cut and self._end > committed:
            self._cut_to(committed)
        if self._end < committed:  # a power failure took what was not on the disk, and was committed from the cache
            self._end = committed
        self.committed(committed, also_last=True)
        last = self._segments[-1] if self._segments else None
        self._ends_line = last is None or not last.size or os.pread(last.fd, 1, last.size - 1) == b"\n"
        self._last_at = last.path.stat().st_mtime if last is not None else time.time()

    def append(self, parts: Sequence[bytes | bytearray | memoryview]) -> int:
        """Append bytes, all of them or none; return where they end. Raises OSError."""
        total = sum(map(len, parts))
        if not total:
            return self._end
        if self._segments and self._segments[-1].size < SEGMENT_BYTES and self._segments[-1].end == self._end:
            segment = self._segments[-1]
        else:
            segment = self._begin_segment()
        if len(parts) > PARTS_AT_ONCE:
            parts = [b"".join(parts)]
        try:
            written = os.pwritev(segment.fd, parts, segment.size)
            if written < total:
                self._write_rest(segment, b"".join(parts)[written:], segment.size + written)
        except OSError:
            os.ftruncate(segment.fd, segment.size)
            raise
        segment.size += total
        self._end += total
        self._ends_line = bytes(parts[-1][-1:]) == b"\n"
        self._last_at = time.time()
        return self._end

    @staticmethod
    def _write_rest(segment: _Segment, rest: bytes, position: int) -> None:
        while rest:
            written = os.pwrite(segment.fd, rest, position)
            if not written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            position, rest = position + written, rest[written:]

    def committed(self, offset: int, *, also_last: bool = False) -> None:
        """Remove the segments in which everything is before `offset`, the last one only if that is asked for.

        Raises OSError, and the next call tries again.
        """
        kept = 0 if also_last else 1
        while len(self._segments) > kept and self._segments[0].end <= offset:
            segment = self._segments[0]
            if segment.begin == 0 and segment.size:
                self._keep_head(os.pread(segment.fd, HEAD_BYTES, 0))
            segment.path.unlink(missing_ok=True)
            del self._segments[0], self._begins[0]
            os.close(segment.fd)

    def size(self) -> int:
        """Return how many bytes came, ever."""
        return self._end

    def idle_for_s(self) -> float:
        """Return for how many seconds nothing came."""
        return time.time() - self._last_at

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; of what is gone only the head, and without that what is held."""
        if offset < self.start:
            if offset < len(self._head):
                return self._head[offset : offset + length]
            if offset or self._head:
                return b""
            offset = self.start
        found = []
        length = min(length, self._end - offset)
        while length > 0:
            segment = self._segments[bisect_right(self._begins, offset) - 1]
            chunk = os.pread(segment.fd, min(length, segment.end - offset), offset - segment.begin)
            if not chunk:
                raise OSError(errno.EIO, f"{segment.path} was cut by somebody else")
            found.append(chunk)
            offset, length = offset + len(chunk), length - len(chunk)
        return found[0] if len(found) == 1 else b"".join(found)

    async def load(self, offset: int, length: int) -> None:
        """Return at once: what came is there."""

    def was_rewritten(self, reached: Checkpoint, looked_at: int) -> bool:  # noqa: ARG002
        """Return False: nobody else writes here."""
        return False

    def checkpoint(self, end: int, tail: bytes) -> Checkpoint:  # noqa: ARG002
        """Return how much was read; there is nothing else to know it by."""
        return Checkpoint(end)

    def let_go(self, committed: int) -> None:
        """Do nothing: what may be removed is told by the commit itself, not by how far was read."""

    def close(self) -> None:
        """Close all segments. May be called twice."""
        for segment in self._segments:
            os.close(segment.fd)
        self._segments.clear()
        self._begins.clear()

    def _take_in(self, path: Path) -> None:
        begin = int(path.name)
        segment = _Segment(path, begin, path.stat().st_size, _open(path))
        if self._segments and self._end < begin:
            self._fill(self._segments[-1], begin - self._end)
        self._segments.append(segment)
        self._begins.append(begin)
        self._end = segment.end

    def _fill(self, segment: _Segment, missing: int) -> None:
        """Make up for bytes that a power failure took from a segment: by blank lines, so that no other moves."""
        reason = f"{missing} bytes are gone since the machine stopped, and were not committed"
        events.emit(events.SPOOL_DAMAGED, source=self._name, offset=segment.end, reason=reason)
        while missing:
            piece = FILLER * min(missing, 1 << 20)
            self._write_rest(segment, piece, segment.size)
            segment.size, missing = segment.size + len(piece), missing - len(piece)

    def _cut_to(self, committed: int) -> None:
        events.emit(events.SPOOL_CUT, source=self._name, offset=committed, size=self._end - max(committed, self.start))
        while self._segments and self._segments[-1].begin >= committed:
            segment = self._segments.pop()
            self._begins.pop()
            os.close(segment.fd)
            segment.path.unlink()
        if self._segments:
            last = self._segments[-1]
            last.size = min(last.size, committed - last.begin)
            os.ftruncate(last.fd, last.size)
        self._end = self._segments[-1].end if self._segments else committed

    def _begin_segment(self) -> _Segment:
        path = self._folder / f"{self._end:020}"
        segment = _Segment(path, self._end, 0, _open(path, os.O_CREAT | os.O_TRUNC))
        self._segments.append(segment)
        self._begins.append(segment.begin)
        return segment

    def _keep_head(self, head: bytes) -> None:
        path = self._folder / HEAD
        temporary = path.with_suffix(".new")
        temporary.write_bytes(head)
        temporary.replace(path)
        self._head = head


def _open(path: Path, flags: int = 0) -> int:
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
